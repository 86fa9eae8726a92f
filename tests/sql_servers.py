"""Real PostgreSQL and MariaDB on unix sockets in directories of their own, for as long as a block lasts.

A test module takes the fixtures over by name: `database_url = sql_servers.database_url`, and `sql_server_of`.
"""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

__all__ = [
    "MARIADB",
    "POSTGRESQL",
    "SERVED",
    "SqlServer",
    "SqlServerError",
    "database_url",
    "running_mariadb",
    "running_postgresql",
    "sql_server_of",
]

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.server("pg_ctlcluster"))
MARIADB = pytest.param("mariadb", marks=pytest.mark.server("mariadbd"))
SERVED = (POSTGRESQL, MARIADB)
"""Databases that are servers, as parameters of a test."""

_SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_POLLS = 600
_POLL_SECONDS = 0.05


class SqlServerError(Exception):
    """A server did not start; carries its log."""


class SqlServer:
    """One server process, which can be stopped and started again on the same files."""

    def __init__(
        self, command: Sequence[str], *, log: Path, path: Path, url: Callable[[str], str], first: str
    ) -> None:
        self._command = command
        self._log = log
        self._path = path
        self._url = url
        self._first = first
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return self._url(database)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            SqlServerError: it ended, or did not serve within some 30 s.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(_POLLS):
            if self._answers():
                return
            if self._process.poll() is not None:
                break
            time.sleep(_POLL_SECONDS)
        self.stop()
        raise SqlServerError(self._log.read_text())

    def stop(self) -> None:
        """End it at once, as a crash would: clients find their connections closed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        # PyMySQL leaves the socket of a failed connection to the garbage collector, which warns.
        with closing(socket.socket(socket.AF_UNIX)) as probe:
            if probe.connect_ex(str(self._path)) != 0:
                return False
        try:
            self._execute("SELECT 1")
        except SQLAlchemyError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        engine = create_engine(self.url(self._first), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def running_postgresql() -> Iterator[SqlServer]:
    """PostgreSQL as user `postgres`, since it refuses root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise SqlServerError("PostgreSQL is not installed (Debian: postgresql)")
    with _directory("postgres") as directory:
        files = directory / "files"
        initdb = [str(programs[-1] / "initdb"), "-D", str(files), "-A", "trust", "-U", "postgres", "-N"]
        _run([*_as("postgres"), *initdb, "-E", "UTF8", "--locale=C.UTF-8"], directory)
        settings = (
            "fsync=off",
            "full_page_writes=off",
            "listen_addresses=",
            f"unix_socket_directories={directory}",
            "shared_buffers=64MB",
        )
        command = [*_as("postgres"), str(programs[-1] / "postgres"), "-D", str(files)]
        server = SqlServer(
            [*command, *itertools.chain.from_iterable(("-c", setting) for setting in settings)],
            log=directory / "log",
            path=directory / ".s.PGSQL.5432",
            url=lambda database: f"postgresql+psycopg://postgres@/{database}?host={directory}",
            first="postgres",
        )
        yield from _served(server)


@contextmanager
def running_mariadb() -> Iterator[SqlServer]:
    """MariaDB as user `mysql`, without passwords, on a socket of its own."""
    with _directory("mysql") as directory:
        files, path = directory / "files", directory / "socket"
        options = ["--no-defaults", f"--datadir={files}", *(["--user=mysql"] if os.geteuid() == 0 else [])]
        install = [
            _program("mariadb-install-db"),
            *options,
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]
        _run(install, directory)
        server = SqlServer(
            [
                _program("mariadbd"),
                *options,
                f"--socket={path}",
                f"--pid-file={directory / 'pid'}",
                "--skip-networking",
                "--skip-grant-tables",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--innodb-buffer-pool-size=256M",
                "--innodb-fast-shutdown=2",
            ],
            log=directory / "log",
            path=path,
            url=lambda database: f"mysql+pymysql://root@localhost/{database}?unix_socket={path}",
            first="mysql",
        )
        yield from _served(server)


def _served(server: SqlServer) -> Iterator[SqlServer]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def _directory(user: str) -> Iterator[Path]:
    """A short path, as a unix socket needs, that belongs to `user` where we may give it away."""
    with tempfile.TemporaryDirectory(prefix="fastvhost-sql-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, user, pwd.getpwnam(user).pw_gid)
        yield Path(name)


def _as(user: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    return [_program("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _program(name: str) -> str:
    found = shutil.which(name, path=_SYSTEM_PATH)
    if found is None:
        raise SqlServerError(f"{name} is not installed")
    return found


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SqlServerError(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def sql_server_of() -> Iterator[Callable[[str], SqlServer]]:
    """The server of `postgresql` or `mariadb`, started when it is first asked for."""
    running = {"postgresql": running_postgresql, "mariadb": running_mariadb}
    servers: dict[str, SqlServer] = {}
    with ExitStack() as stack:

        def server_of(database: str) -> SqlServer:
            if database not in servers:
                servers[database] = stack.enter_context(running[database]())
            return servers[database]

        yield server_of


@pytest.fixture(params=["sqlite", *SERVED])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, sql_server_of: Callable[[str], SqlServer]
) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fastvhost.db'}"
    return sql_server_of(request.param).new_database()
