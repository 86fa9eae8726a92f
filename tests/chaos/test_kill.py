"""kill -9 at any moment, again and again, under load: what the store has acknowledged stays, and so do the
operator's rows. No snapshot of the cache is ever torn."""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from fastvhost.model import VerdictKind
from tests import sql_servers
from tests.chaos.asking import Asking
from tests.chaos.form import ROUNDS, long_form, report, seeded
from tests.chaos.ledger import Ledger
from tests.chaos.zone import zone_of
from tests.daemon_process import Daemon
from tests.sql_servers import SqlServer
from tests.support import OURS, PdbClient, until
from tools.dnslab import Effect, Fault, Lab, Zone, open_lab

sql_server_of = sql_servers.sql_server_of

NEW = 40
"""Hosts of each round that nobody has asked for before."""

RATE = 400.0

SHOWN = 10
"""Acknowledged domains that each start is asked for."""


def contested(number: int) -> str:
    """The host of a round that the operator puts in himself."""
    return f"contested{number}.test"


def new_hosts(number: int) -> list[str]:
    hosts = [f"r{number}h{host}.test" for host in range(NEW)]
    return [*hosts[:10], contested(number), *hosts[10:]]


def zone() -> Zone:
    hosts = [host for number in range(ROUNDS) for host in new_hosts(number)]
    published = (f'_vhost._sip.{host}. TXT "v=vhost1" "max-calls=7"' for host in hosts)
    return zone_of(hosts, "elsewhere A 198.51.100.7", *published)


def config(lab: Lab, url: str, snapshot: Path) -> str:
    """Checks come every few seconds and snapshots every second, so that they are killed as well."""
    host, port = lab.address
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
        f'[dns]\nservers = ["{host}:{port}"]\n[limits]\nupstream_qps = 20_000\n'
        f'[cache]\nsnapshot = "{snapshot}"\nsnapshot_every = 1\n'
        f'[domains]\nstore = "{url}"\npoll = 0.2\n[housekeeping]\ncheck_floor = 10\ncheck_ceiling = 10\n'
    )


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.server("pg_ctlcluster"), long_form])]
)
def url(
    request: pytest.FixtureRequest, tmp_path: Path, sql_server_of: Callable[[str], SqlServer]
) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fastvhost.db'}"
    else:
        yield sql_server_of(request.param).new_database()


async def test_daemon_killed_at_any_moment_loses_nothing_acknowledged_and_touches_no_row_of_the_operator_s(
    url: str, tmp_path: Path
) -> None:
    draw, ledger = seeded(), Ledger(url)
    killed_at_start = answered = restored = 0
    async with open_lab([zone()], unknown="nxdomain") as lab:
        daemon = Daemon(tmp_path, config(lab, url, tmp_path / "snapshot"))
        try:
            for number in range(ROUNDS):
                if number % 4 == 0:
                    killed_at_start += 1
                    daemon.launch()
                    await trio.sleep(draw.uniform(0.0, 1.2))
                    daemon.kill()
                    await ledger.verify()
                await trio.to_thread.run_sync(daemon.start)
                assert "ignored, the cache is empty" not in daemon.log()
                restored += "verdicts are back" in daemon.log()
                if number == 0:
                    ledger.operate("his.test", draw)
                await answers_right(daemon, lab, ledger, draw)
                answered += await load_until_killed(daemon, ledger, number, draw)
                await ledger.verify()
            await trio.to_thread.run_sync(daemon.start)
            await answers_right(daemon, lab, ledger, draw)
            daemon.stop()
        finally:
            daemon.kill()
    await ledger.verify()
    report(
        f"{url.partition(':')[0]}: killed {ROUNDS} times under load, {killed_at_start} times at its start; "
        f"{restored} starts from a snapshot, {answered} answers, "
        f"{len(ledger.acknowledged)} domains acknowledged, {len(ledger.operators)} rows of the operator's"
    )


async def answers_right(daemon: Daemon, lab: Lab, ledger: Ledger, draw: random.Random) -> None:
    """Without DNS what the store has is HOSTED; with it, what is elsewhere is NOT_HOSTED."""
    known = sorted(ledger.acknowledged)
    with PdbClient(daemon.pdb) as client:
        lab.faults = [Fault(effect=Effect.DROP)]
        for host in draw.sample(known, min(SHOWN, len(known))):
            assert await client.ask(host) is VerdictKind.HOSTED
        lab.faults = []
        verdict = VerdictKind.PENDING
        while verdict is VerdictKind.PENDING:
            verdict = await client.ask("elsewhere.test")
        assert verdict is VerdictKind.NOT_HOSTED


async def load_until_killed(daemon: Daemon, ledger: Ledger, number: int, draw: random.Random) -> int:
    """Learn, ask, read and operate for two seconds at most; how many answers came.

    Every other time they begin once something new was acknowledged.
    """
    asking, before = Asking(daemon.pdb, hosts(number, ledger), rate=RATE), len(ledger.acknowledged)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.run)
        nursery.start_soon(read_and_operate, ledger, number, draw)
        if number % 2 == 0:
            await until(lambda: len(ledger.acknowledged) > before, within=30.0)
        await trio.sleep(draw.uniform(0.0, 1.9))
        nursery.cancel_scope.cancel()
    daemon.kill()
    for host, kinds in asking.verdicts.items():
        if not host.startswith("none"):
            assert kinds.keys() <= {VerdictKind.HOSTED, VerdictKind.PENDING}, host
    return asking.answered


def hosts(number: int, ledger: Ledger) -> Iterator[str]:
    """New ones, known ones and ones that do not exist, in turn."""
    known = sorted(ledger.acknowledged) or ["none.invalid"]
    new = itertools.cycle(new_hosts(number))
    for turn in itertools.count():
        yield next(new)
        yield known[turn % len(known)]
        yield f"none{number}.{turn}.invalid"


async def read_and_operate(ledger: Ledger, number: int, draw: random.Random) -> None:
    operates_at = trio.current_time() + draw.uniform(0.0, 0.15)
    while True:
        ledger.read()
        if trio.current_time() >= operates_at:
            operates_at = math.inf
            ledger.operate(contested(number), draw)
        await trio.sleep(0.01)
