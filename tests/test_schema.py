"""The tables that are made, those that are found, and those that are refused."""

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from fastvhost.domains.engine import notifications_connection
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.store import Store
from fastvhost.domains.tables import ProxyKind
from fastvhost.errors import StoreError, StoreUnavailableError
from tests import sql_servers

database_url = sql_servers.database_url
sql_server_of = sql_servers.sql_server_of

SCRIPTS = Path("/usr/share/kamailio/db_sqlite")
VERSION = """
CREATE TABLE version
(table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL, UNIQUE (table_name))
"""
OUR_TABLES = {"fastvhost_domain", "fastvhost_attribute", "fastvhost_revision"}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection of the operator's; all of it is committed."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def prepared(url: str, proxy: ProxyKind = "kamailio") -> Store:
    store = Store(url, proxy=proxy)
    store.prepare()
    return store


def versions(url: str) -> dict[str, int]:
    with connected(url) as connection:
        rows = connection.execute(text("SELECT table_name, table_version FROM version"))
        return {name: version for name, version in rows}  # noqa: C416  # mypy: a Row is no pair


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names())


def served(domain: str) -> DomainRecord:
    return DomainRecord(
        domain=domain,
        state=DomainState.ACTIVE,
        first_seen=1.0,
        last_seen=1.0,
        last_verified=1.0,
        next_check=1.0,
    )


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [("kamailio", {"domain": 2, "domain_attrs": 1}), ("opensips", {"domain": 4})],
)
def test_prepare_on_an_empty_database_makes_all_tables_once(
    database_url: str, proxy: ProxyKind, expected: dict[str, int]
) -> None:
    prepared(database_url, proxy).close()
    prepared(database_url, proxy).close()
    ours = dict.fromkeys(OUR_TABLES, 1)
    assert versions(database_url) == {"version": 1, **expected, **ours}
    assert tables(database_url) == {"version", *expected, *ours}


@pytest.mark.server("kamailio")
def test_tables_made_in_sqlite_have_the_columns_of_kamailio_s_script(tmp_path: Path) -> None:
    script, made = tmp_path / "script.db", tmp_path / "made.db"
    prepared(f"sqlite:///{made}").close()
    columns = []
    for path in (script, made):
        with closing(sqlite3.connect(path)) as connection:
            if path == script:
                for name in ("standard", "domain"):
                    connection.executescript((SCRIPTS / f"{name}-create.sql").read_text())
            columns.append(
                {
                    table: [
                        (name, kind.removesuffix(" WITHOUT TIME ZONE"), not_null, default, key)
                        for _, name, kind, not_null, default, key in connection.execute(
                            f"PRAGMA table_info({table})"
                        )
                    ]
                    for table in ("version", "domain", "domain_attrs")
                }
            )
    for found in columns:
        for rows in found.values():
            rows[:] = [(*row[:3], None if row[3] in {None, "NULL"} else row[3], row[4]) for row in rows]
    assert columns[0] == columns[1]


@pytest.mark.server("kamailio")
def test_tables_of_kamailio_s_script_are_used_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.db"
    with closing(sqlite3.connect(path)) as connection:
        for name in ("standard", "domain"):
            connection.executescript((SCRIPTS / f"{name}-create.sql").read_text())
        before = set(connection.execute("SELECT sql FROM sqlite_master WHERE tbl_name LIKE 'domain%'"))
    with closing(prepared(f"sqlite:///{path}")) as store:
        assert store.put([served("a.example")]).added == ["a.example"]
    with closing(sqlite3.connect(path)) as connection:
        assert (
            set(connection.execute("SELECT sql FROM sqlite_master WHERE tbl_name LIKE 'domain%'")) == before
        )
        assert connection.execute("SELECT domain, did FROM domain").fetchall() == [("a.example", None)]


def test_opensips_tables_of_a_script_with_padded_columns_are_used(database_url: str) -> None:
    serial = {"s": "INTEGER PRIMARY KEY", "p": "SERIAL PRIMARY KEY", "m": "INT AUTO_INCREMENT PRIMARY KEY"}
    with connected(database_url) as connection:
        connection.execute(text(VERSION.replace("VARCHAR", "CHAR")))
        connection.execute(text("INSERT INTO version VALUES ('domain', 4)"))
        connection.execute(
            text(f"""CREATE TABLE domain (id {serial[database_url[0]]}, domain CHAR(64) DEFAULT '' NOT NULL,
            attrs CHAR(255) DEFAULT NULL, accept_subdomain INTEGER DEFAULT 0 NOT NULL,
            last_modified TIMESTAMP DEFAULT '1990-01-01 00:00:01' NOT NULL, UNIQUE (domain))""")
        )
        connection.execute(text("INSERT INTO domain (domain, attrs) VALUES ('His.example', 'x=y')"))
    with closing(prepared(database_url, "opensips")) as store:
        assert store.operator_rows() == {"his.example"}
        assert store.put([served("a.example"), served("his.example")]).added == ["a.example"]
        assert store.operator_rows() == {"his.example"}
        assert not store.put([served("a.example")]).changed


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("'domain', 1", "table domain has version 1 in table version, and 2 is needed"),
        (
            "'domain', 2), ('domain_attrs', 2",
            "table domain_attrs has version 2 in table version, and 1 is needed",
        ),
        ("'other', 2", "table domain has no version in table version, and 2 is needed"),
        (
            "'domain', 2), ('fastvhost_domain', 2",
            "table fastvhost_domain has version 2 in table version, and 1 is needed",
        ),
    ],
)
def test_table_of_another_version_is_one_line_and_changes_nothing(
    database_url: str, version: str, told: str
) -> None:
    with connected(database_url) as connection:
        connection.execute(text(VERSION))
        connection.execute(text(f"INSERT INTO version VALUES ({version})"))  # noqa: S608
        connection.execute(text("CREATE TABLE domain (id INTEGER, domain VARCHAR(64))"))
    before = versions(database_url)
    store = Store(database_url, proxy="kamailio")
    with pytest.raises(
        StoreError, match=f"^domains.store cannot be used: {told}; nothing was changed$"
    ) as caught:
        store.prepare()
    store.close()
    assert not isinstance(caught.value, StoreUnavailableError)
    assert (versions(database_url), tables(database_url)) == (before, {"version", "domain"})


def test_prepare_after_a_kill_between_version_and_table_completes(database_url: str) -> None:
    with connected(database_url) as connection:
        connection.execute(text(VERSION))
        connection.execute(
            text("INSERT INTO version VALUES ('version', 1), ('domain', 2), ('fastvhost_domain', 1)")
        )
    with closing(prepared(database_url)) as store:
        assert store.put([served("a.example")]).added == ["a.example"]


def test_prepare_by_several_daemons_at_once_makes_the_tables_once(database_url: str) -> None:
    stores = [Store(database_url, proxy="kamailio") for _ in range(4)]
    faults: list[Exception] = []
    together = threading.Barrier(len(stores))

    def prepare(store: Store) -> None:
        together.wait()
        try:
            store.prepare()
        except Exception as fault:  # noqa: BLE001  # shown by the assertion
            faults.append(fault)

    threads = [threading.Thread(target=prepare, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread, store in zip(threads, stores, strict=True):
        thread.join()
        store.close()
    assert not faults
    assert tables(database_url) == {"version", "domain", "domain_attrs", *OUR_TABLES}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fastvhost.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///f",
        "oracle://h/d",
        "mysql://h/d",
        "postgresql://h/d",
        "postgresql+psycopg://h",
    ],
)
def test_url_of_another_form_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(StoreError, match=r"^domains.store cannot be used: [^\n]*$"):
        Store(url, proxy="kamailio")


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("postgresql+psycopg://h/d", "psycopg", r"fastvhost\[postgresql\]"),
        ("mysql+pymysql://h/d", "pymysql", r"fastvhost\[mysql\]"),
    ],
)
def test_missing_driver_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, url: str, driver: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(StoreError, match=f"needs the driver {driver}; install {extra}$"):
        Store(url, proxy="kamailio")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql"])
def test_server_that_is_not_there_is_unavailable_and_no_password_is_told(scheme: str) -> None:
    pytest.importorskip(scheme.partition("+")[2])
    store = Store(f"{scheme}://user:secret@127.0.0.1:1/d", proxy="kamailio")
    with pytest.raises(StoreUnavailableError, match=r"^domains.store cannot be used: [^\n]*$") as caught:
        store.prepare()
    store.close()
    assert "secret" not in str(caught.value)


def test_file_that_is_no_database_is_not_worth_another_try(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.db"
    path.write_text("no database" * 1000)
    with closing(Store(f"sqlite:///{path}", proxy="kamailio")) as store, pytest.raises(StoreError) as caught:
        store.prepare()
    assert not isinstance(caught.value, StoreUnavailableError)


def test_store_that_was_never_prepared_is_not_worth_another_try(database_url: str) -> None:
    with closing(Store(database_url, proxy="kamailio")) as store, pytest.raises(StoreError) as caught:
        store.load()
    assert not isinstance(caught.value, StoreUnavailableError)


def test_notifications_without_postgresql_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="only PostgreSQL has notifications"):
        notifications_connection(f"sqlite:///{tmp_path / 'f.db'}")
