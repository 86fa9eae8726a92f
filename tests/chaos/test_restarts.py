"""What the daemon stands on goes and comes back under load: its own processor, its resolver, its database."""

import itertools
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from fastvhost import VerdictKind, open_service
from fastvhost.config import Cache, Config, Dns, Domains, Endpoint, Limits, Listen
from fastvhost.service import Service
from tests import sql_servers
from tests.chaos.asking import Asking
from tests.chaos.form import long_form, report, seeded
from tests.chaos.zone import zone_of
from tests.daemon_process import running_daemon
from tests.sql_servers import SqlServer
from tests.support import OURS, OWN, PdbClient, config_on, free_endpoint, free_port, until, until_true
from tools.dnslab import open_lab

sql_server_of = sql_servers.sql_server_of

HOSTS = [f"h{number}.test" for number in range(60)]

ZONE = zone_of(HOSTS, ttl=1)

RATE = 200.0

STOPPED_SECONDS = 1.0

KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def known_and_unknown(draw: random.Random) -> Iterator[str]:
    for number in itertools.count():
        yield draw.choice(HOSTS)
        yield f"none{number}.invalid"


@asynccontextmanager
async def asked(server: Any, draw: random.Random) -> AsyncIterator[Asking]:
    """Load for as long as the block lasts; no known host may have had another verdict than HOSTED."""
    asking = Asking(server, known_and_unknown(draw), rate=RATE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.run)
        yield asking
        nursery.cancel_scope.cancel()
    for host, kinds in asking.verdicts.items():
        if host in HOSTS:
            assert kinds.keys() == {VerdictKind.HOSTED}, host
        else:
            assert VerdictKind.HOSTED not in kinds, host


async def answers(asking: Asking) -> None:
    """Wait until it goes on answering."""
    before = asking.answered
    await until(lambda: asking.answered >= before + 20, within=30.0)


@long_form
async def test_daemon_stopped_and_continued_answers_on() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        host, port = lab.address
        config = (
            f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
            f'[dns]\nservers = ["{host}:{port}"]\n[cache]\nhosted_ttl = [1, 1]\n[domains]\nstore = ""\n'
        )
        with ExitStack() as stack:
            daemon = await trio.to_thread.run_sync(stack.enter_context, running_daemon(config))
            await trio.to_thread.run_sync(daemon.warm_up, HOSTS, VerdictKind.HOSTED)
            async with asked(daemon.pdb, seeded()) as asking:
                for _ in range(2):
                    await answers(asking)
                    os.kill(daemon.pid, signal.SIGSTOP)
                    await trio.sleep(STOPPED_SECONDS)
                    os.kill(daemon.pid, signal.SIGCONT)
                await until(lambda: asking.answered >= asking.sent - 20, within=30.0)
            log = daemon.log()
            daemon.stop()
    assert "Traceback" not in log
    report(f"stopped twice for {STOPPED_SECONDS:.0f} s: {asking.answered} of {asking.sent} requests answered")


async def resolve(
    endpoint: Endpoint, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    """A resolver in a task of its own, until the scope that it starts with is cancelled."""
    with trio.CancelScope() as scope:
        async with open_lab([ZONE], port=endpoint.port, unknown="nxdomain"):
            task_status.started(scope)
            await trio.sleep_forever()


async def test_resolver_restarted_on_its_port_is_asked_again() -> None:
    resolver = Endpoint("127.0.0.1", free_port())
    config = Config(
        own=OWN,
        listen=Listen(pdb=free_endpoint(), dns=None, admin=None),
        dns=Dns(servers=(resolver,), timeout=0.3),
        cache=Cache(hosted_ttl=(1.0, 1.0)),
        limits=Limits(upstream_qps=20_000.0),
        domains=Domains(store=""),
    )
    async with trio.open_nursery() as nursery, open_service(config) as service:
        runs = await nursery.start(resolve, resolver)
        for host in HOSTS:
            assert (await service.lookup(host)).kind is VerdictKind.HOSTED
        async with asked(service.pdb_endpoint, seeded()) as asking:
            for turn in range(3):
                await answers(asking)
                runs.cancel()
                await answers(asking)
                runs = await nursery.start(resolve, resolver)
                await until_true(lambda turn=turn: is_asked(service, f"back{turn}.invalid"), within=30.0)
        nursery.cancel_scope.cancel()
        refused = service.counters().get("upstream.outcome.Connection refused", 0)
    assert refused
    report(f"resolver restarted 3 times: {asking.answered} answers, {refused} queries met a closed port")


async def is_asked(service: Service, host: str) -> bool:
    """Whether DNS decides on a host, once what is kept of its failure has ended."""
    return (await service.lookup(host)).kind is VerdictKind.NOT_HOSTED


@long_form
@pytest.mark.server("pg_ctlcluster")
async def test_database_whose_connections_are_killed_and_that_restarts_gets_every_domain_once(
    sql_server_of: Callable[[str], SqlServer],
) -> None:
    server = sql_server_of("postgresql")
    url = server.new_database()
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def execute(statement: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(text(statement)))

    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(lab, domains={"store": url, "poll": 0.1}, limits={"upstream_qps": 20_000})
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            killed = 0
            with PdbClient(service.pdb_endpoint) as client:
                for number, host in enumerate(HOSTS):
                    await until_true(lambda host=host: is_hosted(client, host))
                    if number % 4 == 3 and number != 31:
                        killed += len(execute(KILL))
                    if number == 30:
                        await trio.to_thread.run_sync(server.stop)
                    if number == 31:
                        await trio.to_thread.run_sync(server.start)
                await until(lambda: service.counters()["domains.queued"] == 0, within=60.0)
            failures = service.counters()["domains.store_failures"]
    rows = execute("SELECT domain FROM domain ORDER BY domain")
    assert [domain for (domain,) in rows] == sorted(HOSTS)
    assert killed
    assert failures
    report(
        f"PostgreSQL: {killed} connections killed and one restart, {failures} failed writes, no domain lost"
    )


async def is_hosted(client: PdbClient, host: str) -> bool:
    return await client.ask(host) is VerdictKind.HOSTED
