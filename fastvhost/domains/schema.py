"""Making the tables that are absent, and refusing those of a version that we do not know."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, insert, inspect, select

from fastvhost.domains.engine import database_errors, writing
from fastvhost.domains.tables import OWN_METADATA, OWN_VERSIONS, REVISION, ProxyTables
from fastvhost.errors import StoreError, StoreUnavailableError

__all__ = ["folds_case", "prepare_schema"]

_LOCK = 0x66767368
"""Key of PostgreSQL's advisory lock while tables are made: "fvsh"."""


def prepare_schema(engine: Engine, tables: ProxyTables) -> None:
    """Make what is absent, after everything that is there was found fit; several daemons may call it at once.

    A kill in the middle leaves something that the next call completes: MariaDB commits every CREATE by
    itself, so a table's version is written before the table.

    Raises:
        StoreError: a table of another version, or without one; then nothing is changed.
        StoreUnavailableError: see `database_errors`.
    """
    wanted = {**tables.versions, **OWN_VERSIONS}
    with _alone(engine), writing(engine) as connection:
        present = set(inspect(connection).get_table_names())
        written = _written_versions(connection, tables, present)
        for name, version in wanted.items():
            _check(name, version, written.get(name), is_present=name in present)
        tables.version.create(connection, checkfirst=True)
        missing = {name: version for name, version in wanted.items() if name not in written}
        if "version" not in present:
            missing["version"] = 1
        if missing:
            rows = [{"table_name": name, "table_version": version} for name, version in missing.items()]
            connection.execute(insert(tables.version), rows)
        tables.metadata.create_all(connection)
        if "domain" not in present and engine.dialect.name != "mysql":
            # Without it every batch reads all rows for other spellings. A script's table is left as it is.
            connection.exec_driver_sql("CREATE INDEX fastvhost_domain_lower ON domain (lower(domain))")
        OWN_METADATA.create_all(connection)
        if connection.execute(select(REVISION.c.id)).first() is None:
            connection.execute(insert(REVISION), {"id": 1, "revision": 0, "forgotten": 0})


def folds_case(connection: Connection) -> bool:
    """Whether the proxy's table itself takes EXAMPLE.com for example.com, as MariaDB does by default."""
    if connection.dialect.name != "mysql":
        return False
    collation = connection.exec_driver_sql(
        "SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = 'domain' AND column_name = 'domain'"
    ).scalar_one()
    return str(collation).endswith("_ci")


def _written_versions(connection: Connection, tables: ProxyTables, present: set[str]) -> dict[str, int]:
    if "version" not in present:
        return {}
    columns = tables.version.c
    rows = connection.execute(select(columns.table_name, columns.table_version))
    return {name.rstrip(" "): version for name, version in rows}  # OpenSIPS: CHAR, padded


def _check(name: str, wanted: int, written: int | None, *, is_present: bool) -> None:
    if written == wanted or (written is None and not is_present):
        return
    found = "has no version" if written is None else f"has version {written}"
    raise StoreError(
        f"domains.store cannot be used: table {name} {found} in table version, and {wanted} is needed; "
        "nothing was changed"
    )


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Keep other daemons from making the tables until ours are committed; SQLite does so by itself.

    Raises:
        StoreUnavailableError: another daemon is at it for 10 s already.
    """
    match engine.dialect.name:
        case "postgresql":
            take, give = func.pg_advisory_lock(_LOCK), func.pg_advisory_unlock(_LOCK)
        case "mysql":
            take, give = func.get_lock("fastvhost", 10), func.release_lock("fastvhost")
        case _:
            yield
            return
    # On a connection of its own: a lock given back inside the transaction would be free before the commit.
    with database_errors(), engine.connect() as connection:
        if connection.scalar(select(take)) == 0:
            raise StoreUnavailableError("domains.store cannot be used: another daemon is making its tables")
        try:
            yield
        finally:
            connection.execute(select(give))
