"""The database by URL: which forms there are, how each connects, and what its errors mean to us."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fastvhost.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    import psycopg

__all__ = ["CHANNEL", "database_errors", "missing_file", "notifications_connection", "open_engine", "writing"]

CHANNEL = "fastvhost"
"""The channel of PostgreSQL's NOTIFY; the payload is the revision in decimal."""

_WRITES = "fastvhost_writes"

_FILE = "fastvhost_file"

_SQLITE_ERROR = 1
"""SQLite's for faulty SQL and missing tables: operational to its driver, but waiting mends neither."""


_WAL_TRIES = 40
_WAL_SECONDS = 0.05
"""For up to 2 s: other daemons that start at the same time set the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Backend:
    url: str
    """The form of its URLs."""
    extra: str
    """The extra of ours that brings the driver."""
    connect: Mapping[str, str | int]
    """What the driver is told unless the URL says otherwise."""


_BACKENDS: Mapping[str, _Backend] = {
    "sqlite": _Backend(url="sqlite:///FILE", extra="", connect={"timeout": 5}),
    "postgresql+psycopg": _Backend(
        url="postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
        extra="postgresql",
        # A server that vanishes without a reset is noticed in some 20 s; by default TCP takes 15 minutes.
        connect={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 20_000,
            "options": "-c lock_timeout=10000",
        },
    ),
    "mysql+pymysql": _Backend(
        url="mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
        extra="mysql",
        connect={
            "connect_timeout": 5,
            "read_timeout": 30,
            "write_timeout": 30,
            "init_command": "SET SESSION innodb_lock_wait_timeout = 10",
        },
    ),
}
"""By the driver's name; times in seconds, those of 10,000 and more in milliseconds."""


def open_engine(url: str) -> Engine:
    """An engine for `url`; it connects with its first use.

    Raises:
        StoreError: the URL has none of the three forms, or its driver is not installed.
    """
    parsed, backend = _parsed(url)
    connect = {key: value for key, value in backend.connect.items() if key not in parsed.query}
    pool: dict[str, Any] = {}
    if parsed.drivername != "sqlite":
        # READ COMMITTED: after the wait for a lock the next statement sees what the other one committed.
        pool = {"isolation_level": "READ COMMITTED", "pool_recycle": 1800}
    try:
        engine = create_engine(
            parsed,
            connect_args=connect,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=0,
            pool_timeout=10,
            **pool,
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"domains.store cannot be used: {parsed.drivername} needs the driver {error.name}; "
            f"install fastvhost[{backend.extra}]"
        ) from error
    except (SQLAlchemyError, ValueError, TypeError) as error:
        raise StoreError(f"domains.store cannot be used: {_one_line(error)}") from error
    except OSError as error:  # a relative name, and the directory that it counts from is gone
        raise StoreError(f"domains.store cannot be used: {parsed.database}: {error.strerror}") from error
    if parsed.drivername == "sqlite":
        event.listen(engine, "handle_error", partial(_note_file, parsed.database))
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def missing_file(url: str) -> Path | None:
    """The file of an SQLite URL, where none is there yet.

    Raises:
        StoreError: the URL has none of the three forms.
    """
    parsed, _ = _parsed(url)
    if parsed.drivername != "sqlite" or parsed.database is None or parsed.database.startswith("file:"):
        return None
    file = Path(parsed.database)
    return None if file.exists() else file


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, committed when the block ends well; SQLite's lock is held from the start.

    Raises:
        StoreError: see `database_errors`.
    """
    with database_errors(), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn what the database's library raises into a line for an operator.

    Raises:
        StoreUnavailableError: the database is away, busy or full, or it chose us to end a deadlock: later it
            may work.
        StoreError: anything else; the operator must act.
    """
    try:
        yield
    except SQLAlchemyError as error:
        line = f"domains.store cannot be used: {_one_line(error)}"
        raise (StoreUnavailableError(line) if _is_transient(error) else StoreError(line)) from error


def notifications_connection(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection of its own to PostgreSQL, on which LISTEN is issued already. Blocks for up to some 5 s.

    In async code: `await trio.lowlevel.wait_readable(connection.fileno())`, then
    `for notify in connection.notifies(timeout=0)`; the payload of each is a revision. A lost connection
    raises `psycopg.OperationalError` there: open another and catch up with `Store.changes_since`.

    Raises:
        StoreError: not a URL of PostgreSQL, or its driver is missing.
        StoreUnavailableError: the server cannot be reached.
    """
    parsed, backend = _parsed(url)
    if backend.extra != "postgresql":
        raise StoreError("domains.store cannot be used: only PostgreSQL has notifications")
    engine = open_engine(url)
    arguments, options = engine.dialect.create_connect_args(parsed)
    import psycopg  # an extra of ours: there when the URL is PostgreSQL's

    try:
        connection = psycopg.connect(*arguments, **{**backend.connect, **options, "autocommit": True})
        connection.execute(f"LISTEN {CHANNEL}")
    except psycopg.Error as error:
        raise StoreUnavailableError(f"domains.store cannot be used: {_one_line(error)}") from error
    return connection


def _parsed(url: str) -> tuple[URL, _Backend]:
    forms = ", ".join(backend.url for backend in _BACKENDS.values())
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"domains.store cannot be used: not a URL; allowed are {forms}") from error
    backend = _BACKENDS.get(parsed.drivername)
    if backend is None:
        raise StoreError(f"domains.store cannot be used: {parsed.drivername}: allowed are {forms}")
    if parsed.database in {None, "", ":memory:"}:
        raise StoreError(f"domains.store cannot be used: no database is named; it is {backend.url}")
    return parsed, backend


def _note_file(file: str | None, context: ExceptionContext) -> None:
    # SQLite does not say which file it could not open, write or read.
    context.original_exception.__dict__[_FILE] = file


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver is not to open transactions by itself: `_begin_sqlite` does.
    connection.isolation_level = None
    _use_write_ahead_log(connection)
    # What is acknowledged survives the loss of power too, not only of our process; one fsync a batch.
    connection.execute("PRAGMA synchronous = FULL")


def _use_write_ahead_log(connection: Any) -> None:
    """Set what the file then remembers; for this one change SQLite does not wait for a lock by itself."""
    for _ in range(_WAL_TRIES):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            return
        time.sleep(_WAL_SECONDS)
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that becomes a writer later can fail at once where another wrote meanwhile; IMMEDIATE waits.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_transient(error: SQLAlchemyError) -> bool:
    if isinstance(error, PoolTimeoutError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return True
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    return getattr(error.orig, "sqlite_errorcode", None) != _SQLITE_ERROR


def _one_line(error: Exception) -> str:
    """The driver's own words where there are some: SQLAlchemy's have the whole statement in them."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if len(said.args) > 1 and isinstance(said.args[0], int):
        said = Exception(said.args[1])  # PyMySQL: a number, then the words
    file = getattr(said, _FILE, None)
    where = "" if file is None else f"{file}: "
    return where + "; ".join(line.strip() for line in str(said).splitlines() if line.strip())[:300]
