"""A service's known domains on real PostgreSQL and MariaDB: shared, told, and while these are away."""

import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from fastvhost.config import Config
from fastvhost.domains import keeper
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests import sql_servers
from tests.sql_servers import MARIADB, SERVED, SqlServer
from tests.support import ZONE, config_on, until, until_true
from tools.dnslab import Lab, open_lab

sql_server_of = sql_servers.sql_server_of

_SOON = 5.0
"""Seconds; far below a poll of 60."""

_OF_LISTENERS = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
LISTENERS = f"SELECT pid {_OF_LISTENERS}"
KILL_LISTENERS = f"SELECT pg_terminate_backend(pid)::int {_OF_LISTENERS}"


def config(lab: Lab, url: str, *, poll: float = 0.1, **sections: Any) -> Config:
    return config_on(lab, domains={"store": url, "poll": poll}, **sections)


def run(url: str, statement: str) -> list[Any]:
    """The first column of what a statement of the operator's answers."""
    # PyMySQL else reads all certificates of the system with every connection: 30 ms.
    arguments = {"ssl_disabled": True} if url.startswith("mysql") else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        return sorted(connection.execute(text(statement)).scalars())


async def answer(url: str, statement: str) -> list[Any]:
    return await trio.to_thread.run_sync(run, url, statement)


async def rows(url: str) -> list[Any]:
    return await answer(url, "SELECT domain FROM domain")


async def stored(service: Service, count: int = 1) -> None:
    await until(lambda: service.counters()["domains.learned"] == count)
    await until(lambda: service.counters()["domains.queued"] == 0)


async def is_listened_to(url: str, count: int) -> None:
    async def is_so() -> bool:
        return len(await answer(url, LISTENERS)) == count

    await until_true(is_so)


@pytest.mark.parametrize("database", SERVED)
async def test_learned_domain_has_its_row_and_is_known_after_a_restart(
    database: str, sql_server_of: Callable[[str], SqlServer]
) -> None:
    url = sql_server_of(database).new_database()
    async with open_lab([ZONE]) as lab:
        async with open_service(config(lab, url)) as service:
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
            await stored(service)
            assert await rows(url) == ["hosted.example"]
        lab.clear_counts()
        async with open_service(config(lab, url)) as service:
            assert (await service.lookup("hosted.example")).reason == "learned from DNS"
        assert lab.total == 0


@pytest.mark.server("pg_ctlcluster")
async def test_second_service_on_postgresql_is_told_and_need_not_poll(
    sql_server_of: Callable[[str], SqlServer],
) -> None:
    url = sql_server_of("postgresql").new_database()
    async with open_lab([ZONE]) as lab:
        settings = config(lab, url, poll=60.0)
        async with open_service(settings) as first, open_service(settings) as second:
            await is_listened_to(url, 2)
            await first.lookup("hosted.example")
            await until(lambda: second.counters()["domains.known"] == 1, within=_SOON)
            asked = lab.total
            assert (await second.lookup("hosted.example")).reason == "learned from DNS"
            assert lab.total == asked


@pytest.mark.parametrize("database", [MARIADB])
async def test_second_service_on_mariadb_finds_out_by_polling(
    database: str, sql_server_of: Callable[[str], SqlServer]
) -> None:
    url = sql_server_of(database).new_database()
    async with open_lab([ZONE]) as lab:
        settings = config(lab, url)
        async with open_service(settings) as first, open_service(settings) as second:
            await first.lookup("hosted.example")
            await until(lambda: second.counters()["domains.known"] == 1, within=_SOON)
            assert await rows(url) == ["hosted.example"]


@pytest.mark.server("pg_ctlcluster")
async def test_listener_whose_connection_is_killed_listens_again_and_misses_nothing(
    sql_server_of: Callable[[str], SqlServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_LISTEN_AGAIN_SECONDS", 0.5)
    url = sql_server_of("postgresql").new_database()
    async with open_lab([ZONE]) as lab:
        settings = config(lab, url, poll=60.0)
        async with open_service(settings) as first, open_service(settings) as second:
            await is_listened_to(url, 2)
            await answer(url, KILL_LISTENERS)
            await is_listened_to(url, 0)
            await first.lookup("hosted.example")  # nobody listens now
            await until(lambda: second.counters()["domains.known"] == 1, within=_SOON)
            await is_listened_to(url, 2)
            await first.lookup("address.example")
            await until(lambda: second.counters()["domains.known"] == 2, within=_SOON)


@pytest.fixture
def sockets_collected() -> Iterator[None]:
    """PyMySQL leaves the socket of a failed connection to the garbage collector once no log has it."""
    yield
    gc.collect()


@pytest.mark.usefixtures("sockets_collected")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("database", SERVED)
async def test_service_answers_while_the_database_is_away_and_stores_what_it_learned_then(
    database: str,
    sql_server_of: Callable[[str], SqlServer],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "_LISTEN_AGAIN_SECONDS", 0.2)
    caplog.set_level(logging.INFO, logger="fastvhost")
    server = sql_server_of(database)
    url = server.new_database()
    async with open_lab([ZONE]) as lab, open_service(config(lab, url)) as service:
        await service.lookup("hosted.example")
        await stored(service)
        server.stop()
        try:
            with trio.fail_after(2.0):
                assert (await service.lookup("hosted.example")).reason == "learned from DNS"
                assert (await service.lookup("address.example")).kind is VerdictKind.HOSTED
                assert (await service.lookup("elsewhere.example")).kind is VerdictKind.NOT_HOSTED
            await until(lambda: service.counters()["domains.store_failures"] >= 2)
            assert service.counters()["domains.queued"] == 1
        finally:
            server.start()
        await until(lambda: service.counters()["domains.queued"] == 0)
        assert await rows(url) == ["address.example", "hosted.example"]
    assert [line.split(";")[-1] for line in lines(caplog, "records")] == [
        " 1 records wait, and it is tried again",
        " 1 records to write",
    ]
    assert len(lines(caplog, "housekeeping waits")) <= 1
    caplog.clear()


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if word in entry.getMessage()]
