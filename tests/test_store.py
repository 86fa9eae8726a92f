"""The store on SQLite, and on a real PostgreSQL and MariaDB: what is written, and above all what never is."""

import gc
import multiprocessing
import random
import select
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from fastvhost.domains import proxy_rows
from fastvhost.domains.engine import notifications_connection
from fastvhost.domains.housekeeping import Census
from fastvhost.domains.record import Attribute, AttributeType, DecidedBy, DomainRecord, DomainState
from fastvhost.domains.store import MAX_BATCH, Store
from fastvhost.domains.stored import OperatorDids
from fastvhost.errors import StoreError, StoreUnavailableError
from tests import sql_servers
from tests.sql_servers import SqlServer

database_url = sql_servers.database_url
sql_server_of = sql_servers.sql_server_of

INTEGER = Attribute(name="max", type=AttributeType.INTEGER, value="5")
STRING = Attribute(name="realm", type=AttributeType.STRING, value="a b")


def record(domain: str, state: DomainState = DomainState.ACTIVE, **given: Any) -> DomainRecord:
    instants = {"first_seen": 1.0, "last_seen": 2.0, "last_verified": 3.0, "next_check": 100.0}
    return DomainRecord(domain=domain, state=state, **{**instants, **given})


def batch(count: int, prefix: str = "d", **given: Any) -> list[DomainRecord]:
    return [record(f"{prefix}{number:04}.example", **given) for number in range(count)]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with opened(database_url) as store:
        yield store


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with closing(Store(url, proxy="kamailio")) as store:
        store.prepare()
        yield store


@cache
def operator_engine(url: str) -> Engine:
    """Holds no connection while none is used."""
    # PyMySQL else reads all certificates of the system with every connection: 30 ms.
    arguments = {"ssl_disabled": True} if url.startswith("mysql") else {}
    return create_engine(url, poolclass=NullPool, connect_args=arguments)


@contextmanager
def operator(url: str) -> Iterator[Connection]:
    """A connection of the operator's; all of it is committed."""
    with operator_engine(url).begin() as connection:
        yield connection


def run(url: str, *statements: str) -> None:
    with operator(url) as connection:
        for statement in statements:
            connection.execute(text(statement))


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with operator(url) as connection:
        return sorted(tuple(row) for row in connection.execute(text(statement)))


def served(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT domain, did FROM domain")


def attributes(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT did, name, type, value FROM domain_attrs")


# What is written


def test_record_is_read_back_as_it_was_put(store: Store) -> None:
    full = record(
        "a.example",
        DomainState.DISABLED,
        decided_by=DecidedBy.OPERATOR,
        did="a",
        next_check=1_700_000_000.125,
        failures=1,
        negatives=2,
        negative_since=4.5,
        disabled_at=5.5,
        evidence="SRV _sip._udp.a.example: 10 10 5060 edge",
        attributes=(INTEGER, STRING),
    )
    store.put([full, record("b.example")])
    assert store.get("a.example") == full
    assert store.get("b.example") == record("b.example")
    assert store.get("c.example") is None


def test_active_domain_has_its_row_and_attributes_and_loses_them_with_its_state(
    store: Store, database_url: str
) -> None:
    active = record("a.example", did="a", attributes=(STRING, INTEGER))
    result = store.put([active, record("b.example", attributes=(INTEGER,))])
    assert (result.changed, result.added, result.removed, result.revision) == (
        True,
        ["a.example", "b.example"],
        [],
        1,
    )
    assert served(database_url) == [("a.example", "a"), ("b.example", None)]
    assert attributes(database_url) == [
        ("a", "max", 0, "5"),
        ("a", "realm", 2, "a b"),
        ("b.example", "max", 0, "5"),
    ]
    result = store.put([replace(active, state=DomainState.DISABLED)])
    assert (result.changed, result.added, result.removed, result.revision) == (True, [], ["a.example"], 2)
    assert served(database_url) == [("b.example", None)]
    assert attributes(database_url) == [("b.example", "max", 0, "5")]


@pytest.mark.parametrize("state", [state for state in DomainState if state is not DomainState.ACTIVE])
def test_domain_in_any_other_state_has_no_row(store: Store, database_url: str, state: DomainState) -> None:
    result = store.put([record("a.example", state, attributes=(INTEGER,))])
    assert (result.changed, result.added, result.removed, result.revision) == (False, [], [], 1)
    assert served(database_url) == attributes(database_url) == []


def test_put_again_changes_nothing_and_makes_no_revision(store: Store, database_url: str) -> None:
    records = batch(20, attributes=(INTEGER, STRING))
    store.put(records)
    before = rows(database_url, "SELECT * FROM domain"), rows(database_url, "SELECT * FROM fastvhost_domain")
    again = store.put([replace(one, first_seen=50.0) for one in records])
    assert (again.changed, again.added, again.removed, again.revision) == (False, [], [], 1)
    assert before == (
        rows(database_url, "SELECT * FROM domain"),
        rows(database_url, "SELECT * FROM fastvhost_domain"),
    )


def test_put_of_what_nobody_else_asks_for_makes_no_revision(store: Store) -> None:
    store.put(batch(2))
    result = store.put(batch(2, last_seen=60.0, first_seen=50.0, failures=3))
    assert (result.changed, result.revision) == (False, 1)
    assert store.get("d0001.example") == record("d0001.example", last_seen=60.0, failures=3)


def test_did_and_attributes_that_change_are_changed_in_the_proxy_s_tables(
    store: Store, database_url: str
) -> None:
    store.put([record("a.example", attributes=(INTEGER, STRING))])
    changed = record("a.example", did="b", attributes=(replace(INTEGER, value="6"), STRING))
    result = store.put([changed])
    assert (result.changed, result.added, result.removed, result.revision) == (True, [], [], 2)
    assert served(database_url) == [("a.example", "b")]
    assert attributes(database_url) == [("b", "max", 0, "6"), ("b", "realm", 2, "a b")]
    assert store.put([replace(changed, attributes=())]).changed
    assert attributes(database_url) == []


def test_attributes_of_domains_with_one_did_come_and_go_by_domain(store: Store, database_url: str) -> None:
    both = [record(name, did="one", attributes=(INTEGER,)) for name in ("a.example", "b.example")]
    store.put(both)
    assert attributes(database_url) == [("one", "max", 0, "5")] * 2
    assert not store.put(both).changed
    store.put([replace(both[0], state=DomainState.REMOVED)])
    assert attributes(database_url) == [("one", "max", 0, "5")]


def test_row_that_the_operator_took_out_comes_back_with_the_next_put(store: Store, database_url: str) -> None:
    store.put([record("a.example", attributes=(INTEGER,))])
    run(database_url, "DELETE FROM domain", "DELETE FROM domain_attrs")
    result = store.put([record("a.example", attributes=(INTEGER,))])
    assert (result.changed, result.added, result.revision) == (True, ["a.example"], 2)
    assert attributes(database_url) == [("a.example", "max", 0, "5")]


def test_bad_records_are_refused_alone_and_bad_attributes_too(store: Store, database_url: str) -> None:
    bad = replace(INTEGER, value="many")
    result = store.put(
        [
            record("Bad.example"),
            record("a.example", attributes=(bad, STRING)),
            record("b.example", did=""),
        ]
    )
    assert [(one.domain, one.why) for one in result.refused] == [
        ("Bad.example", "not the canonical spelling, which is bad.example"),
        ("a.example", "attribute 'max': type 0 and the value is no 32-bit integer"),
        ("b.example", "an empty did"),
    ]
    assert served(database_url) == [("a.example", None)]
    assert attributes(database_url) == [("a.example", "realm", 2, "a b")]
    assert store.get("a.example") == record("a.example", attributes=(STRING,))


def test_of_two_records_of_one_domain_the_later_counts(store: Store) -> None:
    store.put([record("a.example"), record("a.example", DomainState.REJECTED)])
    assert store.get("a.example") == record("a.example", DomainState.REJECTED)


def test_empty_batch_does_nothing(store: Store) -> None:
    assert store.put([]).revision == 0


@pytest.mark.parametrize("count", [MAX_BATCH, MAX_BATCH + 1])
def test_batch_at_its_bound_is_written_and_over_it_is_the_caller_s_mistake(
    tmp_path: Path, count: int
) -> None:
    with opened(f"sqlite:///{tmp_path / 'fastvhost.db'}") as store:
        if count > MAX_BATCH:
            with pytest.raises(ValueError, match="at most 5000"):
                store.put(batch(count))
        else:
            assert len(store.put(batch(count, attributes=(STRING,))).added) == count


def test_opensips_rows_carry_attributes_in_their_column(database_url: str) -> None:
    with closing(Store(database_url, proxy="opensips")) as store:
        store.prepare()
        one = record("a.example", did="x", attributes=(INTEGER, STRING))
        assert store.put([one]).added == ["a.example"]
        assert not store.put([one]).changed
        found = rows(database_url, "SELECT domain, attrs, accept_subdomain FROM domain")
        assert [(domain.rstrip(), attrs.rstrip(), sub) for domain, attrs, sub in found] == [
            ("a.example", "max=5;realm=a b", 0)
        ]
        assert store.operator_rows() == set()
        assert store.operator_dids() == OperatorDids()
        refused = store.put([replace(one, attributes=(replace(STRING, value="a;b"),))])
        assert [(one.domain, refused.changed) for one in refused.refused] == [("a.example", True)]
        assert rows(database_url, "SELECT attrs FROM domain") == [(None,)]


# What the operator wrote


def test_operator_s_row_of_any_spelling_keeps_ours_out(store: Store, database_url: str) -> None:
    run(
        database_url,
        "INSERT INTO domain (domain, did) VALUES ('A.Example', 'his')",
        "INSERT INTO domain_attrs (did, name, type, value) VALUES ('a.example', 'max', 0, '9')",
    )
    before = rows(database_url, "SELECT * FROM domain"), rows(database_url, "SELECT * FROM domain_attrs")
    for state in (DomainState.ACTIVE, DomainState.DISABLED, DomainState.ACTIVE, DomainState.REMOVED):
        result = store.put([record("a.example", state, attributes=(STRING,))])
        assert (result.changed, result.added, result.removed) == (False, [], [])
    assert before == (
        rows(database_url, "SELECT * FROM domain"),
        rows(database_url, "SELECT * FROM domain_attrs"),
    )
    assert store.operator_rows() == store.load().operator == {"a.example"}
    dids = store.operator_dids()
    assert dids.of_domains | dids.of_attributes == {"his", "a.example"}


def test_our_row_that_the_operator_edits_is_his(store: Store, database_url: str) -> None:
    store.put([record("a.example"), record("b.example")])
    assert store.operator_rows() == set()
    run(database_url, "UPDATE domain SET did = 'his' WHERE domain = 'a.example'")
    assert store.operator_rows() == {"a.example"}
    assert not store.put([record("a.example", DomainState.REMOVED)]).changed
    assert served(database_url) == [("a.example", "his"), ("b.example", None)]


def test_row_that_the_operator_puts_in_place_of_ours_is_his(store: Store, database_url: str) -> None:
    store.put([record("a.example", attributes=(INTEGER,))])
    # SQLite gives it the id of the row that was deleted.
    run(
        database_url,
        "DELETE FROM domain",
        "INSERT INTO domain (domain) VALUES ('a.example')",
        "DELETE FROM domain_attrs",
        "INSERT INTO domain_attrs (did, name, type, value) VALUES ('a.example', 'max', 0, '5')",
    )
    assert store.operator_rows() == {"a.example"}
    both = frozenset({"a.example"})
    assert store.operator_dids() == OperatorDids(of_domains=both, of_attributes=both)
    assert not store.put([record("a.example", DomainState.REMOVED)]).changed
    assert served(database_url) == [("a.example", None)]
    assert attributes(database_url) == [("a.example", "max", 0, "5")]


def test_id_of_a_deleted_row_of_ours_may_become_another_row_of_ours(store: Store, database_url: str) -> None:
    store.put([record("a.example", attributes=(INTEGER,))])
    run(database_url, "DELETE FROM domain", "DELETE FROM domain_attrs")
    store.put([record("b.example", attributes=(INTEGER,))])
    assert not store.put([record("a.example", DomainState.REMOVED)]).changed
    assert store.put([record("b.example", DomainState.REMOVED)]).removed == ["b.example"]
    assert served(database_url) == attributes(database_url) == []


def test_attribute_of_a_name_that_the_operator_has_under_the_did_is_not_written(
    store: Store, database_url: str
) -> None:
    run(
        database_url,
        "INSERT INTO domain_attrs (did, name, type, value) VALUES ('one', 'max', 0, '9')",
        "INSERT INTO domain_attrs (did, name, type, value) VALUES ('one', 'x', 2, 'y')",
    )
    one = record("a.example", did="one", attributes=(INTEGER, STRING))
    store.put([one])
    assert attributes(database_url) == [
        ("one", "max", 0, "9"),
        ("one", "realm", 2, "a b"),
        ("one", "x", 2, "y"),
    ]
    store.put([replace(one, state=DomainState.REMOVED)])
    assert attributes(database_url) == [("one", "max", 0, "9"), ("one", "x", 2, "y")]


def operator_does(draw: random.Random, names: list[str]) -> list[str]:
    """Something that an operator's tool would do; his rows have the did `his` or the value 9."""
    name = draw.choice(names)
    spelling = draw.choice([name, name.upper()])
    take_out = f"DELETE FROM domain WHERE lower(domain) = '{name}'"  # noqa: S608
    attribute = "INSERT INTO domain_attrs (did, name, type, value) VALUES"
    return draw.choice(
        [
            [take_out],
            [take_out, f"INSERT INTO domain (domain, did) VALUES ('{spelling}', 'his')"],  # noqa: S608
            [f"UPDATE domain SET did = 'his' WHERE domain = '{name}'"],  # noqa: S608
            ["DELETE FROM domain WHERE did = 'his'"],
            [f"{attribute} ('d', 'max', 0, '9')"],
            [f"{attribute} ('{name}', 'realm', 2, '9')"],
            ["UPDATE domain_attrs SET value = '9' WHERE did = 'd'"],
            ["DELETE FROM domain_attrs WHERE value = '9'"],
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_operator_s_rows_stay_as_they_are_through_any_sequence(
    store: Store, database_url: str, seed: int
) -> None:
    draw = random.Random(seed)
    names = [f"d{number}.example" for number in range(8)]
    wanted: dict[str, DomainRecord] = {}
    for _ in range(20):
        run(database_url, *operator_does(draw, names))
        his_domains = rows(database_url, "SELECT * FROM domain WHERE did = 'his'")
        his_attributes = rows(database_url, "SELECT * FROM domain_attrs WHERE value = '9'")
        for name in draw.sample(names, draw.randint(1, 8)):
            state = draw.choice([DomainState.ACTIVE, DomainState.ACTIVE, *DomainState])
            chosen = tuple(draw.sample([INTEGER, STRING], draw.randint(0, 2)))
            wanted[name] = record(name, state, did=draw.choice([None, "d"]), attributes=chosen)
        store.put(list(wanted.values()))
        assert rows(database_url, "SELECT * FROM domain WHERE did = 'his'") == his_domains
        assert rows(database_url, "SELECT * FROM domain_attrs WHERE value = '9'") == his_attributes
        theirs = {row[1].lower() for row in his_domains}
        assert store.operator_rows() == theirs
        ours = [
            one for one in wanted.values() if one.state is DomainState.ACTIVE and one.domain not in theirs
        ]
        assert rows(
            database_url, "SELECT domain, coalesce(did, '') FROM domain WHERE coalesce(did, '') <> 'his'"
        ) == (sorted((one.domain, one.did or "") for one in ours))
        said = {(row[1], row[2]) for row in his_attributes}
        assert rows(
            database_url, "SELECT did, name, type, value FROM domain_attrs WHERE value <> '9'"
        ) == sorted(
            (did, each.name, each.type, each.value)
            for one in ours
            for each in one.attributes
            if ((did := one.did or one.domain), each.name) not in said
        )
        assert not store.put(list(wanted.values())).changed


@pytest.mark.parametrize("database", sql_servers.SERVED)  # SQLite has one writer at a time
def test_row_that_the_operator_puts_in_during_our_batch_is_his(
    sql_server_of: Callable[[str], SqlServer], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sql_server_of(database).new_database()
    records = batch(5)
    written = threading.Event()

    genuine = proxy_rows._insert_uncontested

    def insert_late(*given: Any) -> Any:
        if not written.is_set():
            written.set()
            run(url, "INSERT INTO domain (domain, did) VALUES ('d0003.example', 'his')")
        return genuine(*given)

    monkeypatch.setattr(proxy_rows, "_insert_uncontested", insert_late)
    with opened(url) as store:
        result = store.put(records)
        assert result.added == [one.domain for one in records if one.domain != "d0003.example"]
        assert ("d0003.example", "his") in served(url)
        assert store.operator_rows() == {"d0003.example"}
        assert store.put([replace(one, state=DomainState.REMOVED) for one in records]).changed
        assert served(url) == [("d0003.example", "his")]


# Reading


def test_load_tells_active_others_operator_s_rows_and_revision(store: Store, database_url: str) -> None:
    store.put([record(f"{state.value}.example", state) for state in DomainState])
    run(database_url, "INSERT INTO domain (domain) VALUES ('HIS.example')")
    loaded = store.load()
    assert loaded.active == ["active.example"]
    assert loaded.operator == {"his.example"}
    assert loaded.others == {
        f"{state.value}.example": state
        for state in (DomainState.PENDING, DomainState.DISABLED, DomainState.REJECTED)
    }
    assert loaded.revision == 1


def test_find_pages_by_name_and_state(store: Store) -> None:
    store.put([*batch(7), *batch(3, "p", state=DomainState.PENDING)])
    pages = []
    after = ""
    while page := store.find(after=after, limit=4):
        pages.append([one.domain[:5] for one in page])
        after = page[-1].domain
    assert pages == [
        ["d0000", "d0001", "d0002", "d0003"],
        ["d0004", "d0005", "d0006", "p0000"],
        ["p0001", "p0002"],
    ]
    assert [one.domain for one in store.find(DomainState.PENDING, "p0000.example", limit=9)] == [
        "p0001.example",
        "p0002.example",
    ]


def test_changes_since_a_revision_are_those_of_later_batches(store: Store) -> None:
    store.put(batch(3))
    store.put([record("d0001.example", DomainState.DISABLED), record("new.example")])
    store.put([record("d0002.example", last_seen=70.0)])
    changes = store.changes_since(1)
    assert changes.states == {"d0001.example": DomainState.DISABLED, "new.example": DomainState.ACTIVE}
    assert (changes.revision, changes.complete) == (2, True)
    later = store.changes_since(2)
    assert (later.states, later.revision, later.complete) == ({}, 2, True)
    assert len(store.changes_since(0).states) == 4


def test_tombstones_written_before_are_removed_and_who_missed_them_is_told(store: Store) -> None:
    store.put(batch(3))
    store.put(batch(2, state=DomainState.REMOVED))
    assert store.remove_tombstones(1.0) == 0
    assert store.changes_since(1).complete
    assert store.remove_tombstones(1e11) == 2
    assert store.get("d0000.example") is None
    assert store.get("d0002.example") is not None
    assert not store.changes_since(1).complete
    assert store.changes_since(2).complete


def test_due_are_claimed_oldest_first_until_the_lease_ends(store: Store) -> None:
    states = [DomainState.ACTIVE, DomainState.DISABLED, DomainState.ACTIVE, DomainState.PENDING]
    store.put(
        [
            record(f"d{number}.example", state, next_check=100.0 - number)
            for number, state in enumerate(states)
        ]
    )
    assert store.due(97.5, 9, 60.0) == []
    assert [one.domain for one in store.due(98.0, 9, 60.0)] == ["d2.example"]
    found = store.due(100.0, 1, 60.0)
    assert [(one.domain, one.next_check) for one in found] == [("d1.example", 99.0)]
    assert [one.domain for one in store.due(100.0, 9, 60.0)] == ["d0.example"]
    assert store.due(157.9, 9, 60.0) == []
    assert [one.domain for one in store.due(158.0, 9, 60.0)] == ["d2.example"]


# Several at once


def test_due_by_two_daemons_at_once_gives_each_domain_to_one(database_url: str) -> None:
    with opened(database_url) as first, opened(database_url) as second, ThreadPoolExecutor(4) as threads:
        first.put(batch(200))
        claims = [threads.submit(store.due, 1000.0, 10, 60.0) for _ in range(10) for store in (first, second)]
        found = [one.domain for claim in claims for one in claim.result()]
    assert sorted(found) == [one.domain for one in batch(200)]


def test_puts_by_two_daemons_at_once_leave_one_row_each_and_ordered_revisions(database_url: str) -> None:
    with opened(database_url) as first, opened(database_url) as second, ThreadPoolExecutor(5) as threads:
        seen: dict[str, int] = {}
        ended = threading.Event()

        def follow() -> None:
            revision = 0
            while True:
                last = ended.is_set()
                changes = first.changes_since(revision)
                revision = changes.revision
                seen.update(dict.fromkeys(changes.states, revision))
                if last:
                    return

        follower = threads.submit(follow)
        puts = [
            threads.submit(store.put, batch(20, prefix))
            for prefix in ("a", "b", "c", "d", "e")
            for store in (first, second)
        ]
        results = [put.result() for put in puts]
        ended.set()
        follower.result()
        assert sorted(name for result in results for name in result.added) == [
            name for name, _ in served(database_url)
        ]
        assert sorted(result.revision for result in results if result.changed) == [1, 2, 3, 4, 5]
        assert len(seen) == len(first.load().active) == 100


def _put_for_ever(url: str, ready: Any) -> None:
    with opened(url) as store:
        turn = 0
        while True:
            state = DomainState.REMOVED if turn % 2 else DomainState.ACTIVE
            store.put(batch(300, state=state, attributes=(INTEGER, STRING), last_seen=float(turn)))
            turn += 1
            ready.set()


def test_kill_in_the_middle_of_a_batch_leaves_all_of_it_or_nothing(database_url: str) -> None:
    processes = multiprocessing.get_context("spawn")
    ready = processes.Event()
    writer = processes.Process(target=_put_for_ever, args=(database_url, ready))
    writer.start()
    try:
        assert ready.wait(60)
        writer.join(0.25)
    finally:
        writer.kill()
        writer.join()
    with opened(database_url) as store:
        found = store.find(limit=1000)
        assert len(found) == 300
        assert len({(one.state, one.last_seen) for one in found}) == 1
        held = 300 if found[0].state is DomainState.ACTIVE else 0
        assert (len(served(database_url)), len(attributes(database_url))) == (held, 2 * held)
        assert store.operator_rows() == set()
        store.put(batch(300, state=DomainState.ACTIVE))
        assert len(served(database_url)) == 300


# The database goes and comes


# PyMySQL leaves the socket of a failed connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("database", sql_servers.SERVED)
def test_server_that_goes_is_unavailable_and_served_again_when_it_is_back(
    sql_server_of: Callable[[str], SqlServer], database: str
) -> None:
    server = sql_server_of(database)
    with opened(server.new_database()) as store:
        store.put(batch(3))
        server.stop()
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match=r"^domains.store cannot be used: [^\n]+$"):
                    store.put(batch(5))
                with pytest.raises(StoreUnavailableError):
                    store.load()
        finally:
            server.start()
        assert len(store.put(batch(5)).added) == 2
    gc.collect()


def test_sqlite_that_another_program_keeps_locked_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.db"
    with opened(f"sqlite:///{path}?timeout=0.05") as store, closing(sqlite3.connect(path)) as other:
        store.put(batch(3))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            store.put(batch(5))
        assert len(store.load().active) == 3
        other.rollback()
        assert len(store.put(batch(5)).added) == 2


def test_sqlite_write_ahead_log_lets_a_proxy_read_while_we_write(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.db"
    with opened(f"sqlite:///{path}") as store, closing(sqlite3.connect(path)) as proxy:
        store.put(batch(3))
        proxy.execute("BEGIN")
        assert proxy.execute("SELECT count(*) FROM domain").fetchone() == (3,)
        assert len(store.put(batch(5)).added) == 2
        assert proxy.execute("SELECT count(*) FROM domain").fetchone() == (3,)


def test_table_that_is_dropped_is_for_the_operator_to_mend(store: Store, database_url: str) -> None:
    run(database_url, "DROP TABLE domain_attrs")
    with pytest.raises(StoreError) as caught:
        store.put([record("a.example", attributes=(INTEGER,))])
    assert not isinstance(caught.value, StoreUnavailableError)
    assert store.get("a.example") is None


@pytest.mark.server("pg_ctlcluster")
def test_notification_carries_the_revision_once_it_is_committed(
    sql_server_of: Callable[[str], SqlServer],
) -> None:
    url = sql_server_of("postgresql").new_database()
    with opened(url) as store, notifications_connection(url) as listener:
        store.put(batch(2))
        store.put(batch(2, last_seen=80.0))
        store.put(batch(1, state=DomainState.DISABLED))
        payloads: list[str] = []
        while len(payloads) < 2:
            assert select.select([listener], [], [], 10)[0]
            payloads += [notify.payload for notify in listener.notifies(timeout=0)]
    assert payloads == ["1", "2"]


def test_due_record_planned_beyond_the_horizon_is_due_as_well(store: Store) -> None:
    """A clock that was a year ahead planned it: else it would not be checked for a year."""
    store.put([record("near.example", next_check=150.0), record("far.example", next_check=9e9)])
    assert store.due(100.0, 10, 60.0) == []
    assert [due.domain for due in store.due(100.0, 10, 60.0, horizon=1e6)] == ["far.example"]
    assert store.due(100.0, 10, 60.0, horizon=1e6) == []


def test_census_counts_active_domains_and_their_negatives(store: Store) -> None:
    assert store.census() == Census(active=0, negative=0)
    turned = record("b.example", negatives=1, negative_since=1.0)
    store.put([record("a.example"), turned, record("c.example", state=DomainState.DISABLED, negatives=3)])
    assert store.census() == Census(active=2, negative=1)


@pytest.mark.parametrize("word", [DomainState.ACTIVE, DomainState.REJECTED])
@pytest.mark.parametrize("dns", [DomainState.ACTIVE, DomainState.DISABLED, DomainState.REMOVED])
def test_operator_s_word_stands_against_what_dns_says(
    store: Store, word: DomainState, dns: DomainState
) -> None:
    store.put([record("a.example", state=word, decided_by=DecidedBy.OPERATOR)])
    revision = store.load().revision
    result = store.put([record("a.example", state=dns, decided_by=DecidedBy.DNS, negatives=3)])
    stands = store.get("a.example")
    assert stands is not None
    assert (stands.state, stands.decided_by, stands.negatives) == (word, DecidedBy.OPERATOR, 3)
    assert not result.changed
    if word is not dns:
        assert store.changes_since(revision).states == {"a.example": word}, "who wrote hears of it"


def test_operator_s_later_word_replaces_his_earlier_one(store: Store) -> None:
    for word in (DomainState.ACTIVE, DomainState.REJECTED, DomainState.REMOVED, DomainState.ACTIVE):
        store.put([record("a.example", state=word, decided_by=DecidedBy.OPERATOR)])
        stands = store.get("a.example")
        assert stands is not None
        assert stands.state is word
