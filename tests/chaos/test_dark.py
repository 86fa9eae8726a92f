"""Ten virtual minutes without DNS: the real service, its store and its sockets on a clock that jumps."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from trio.testing import MockClock

from fastvhost import VerdictKind, open_service
from tests.chaos.form import report
from tests.chaos.zone import zone_of
from tests.support import PdbClient, config_on
from tools.dnslab import Effect, Fault, open_lab

DARK = 600.0
STEP = 10.0
"""Virtual seconds between two rounds of questions."""

LEARNED = [f"learned{number}.test" for number in range(5)]
CACHED = [f"cached{number}.test" for number in range(5)]
"""Over the quota of learned domains, so that only the cache has them."""

ZONE = zone_of(LEARNED + CACHED, ttl=60)

EPOCH = 1_800_000_000.0


@pytest.fixture
def clock() -> MockClock:
    """Jumps when nothing has happened for some milliseconds: sockets and the store's thread are real."""
    return MockClock(autojump_threshold=0.001)


def stored(folder: Path) -> list[Any]:
    """What the store has of each domain, with whether the proxy is to serve it."""
    statement = (
        "SELECT known.domain, known.state, known.failures, row.id IS NOT NULL FROM fastvhost_domain AS known "
        "LEFT JOIN domain AS row ON row.domain = known.domain ORDER BY known.domain"
    )
    engine = create_engine(f"sqlite:///{folder}/fastvhost.db", poolclass=NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look once a virtual second, for an hour."""
    with trio.fail_after(3_600.0):
        while not await condition():  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(1.0)


def most_in_a_second(times: list[float]) -> int:
    counts = Counter(int(at) for at in times)
    return max(counts.values(), default=0)


async def test_ten_minutes_without_dns_lose_no_hosted_host_and_no_row(
    tmp_path: Path, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastvhost.service.time", SimpleNamespace(time=lambda: EPOCH + clock.current_time()))
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(
            lab,
            domains={"store": f"sqlite:///{tmp_path}/fastvhost.db", "learn_most": len(LEARNED), "poll": 30.0},
            housekeeping={"check_floor": 10.0, "check_ceiling": 60.0},
        )
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            for host in LEARNED + CACHED:
                assert (await service.lookup(host)).kind is VerdictKind.HOSTED
            whole = [(host, "active", 0, True) for host in LEARNED]

            async def is_whole() -> bool:
                return stored(tmp_path) == whole

            await eventually(is_whole)
            lab.faults = [Fault(effect=Effect.DROP)]
            lab.clear_counts()
            began = trio.current_time()
            unknown: Counter[VerdictKind] = Counter()
            hosted = 0
            with PdbClient(service.pdb_endpoint) as client:
                while trio.current_time() < began + DARK:
                    for host in LEARNED + CACHED:
                        assert await client.ask(host) is VerdictKind.HOSTED, host
                        hosted += 1
                    unknown[await client.ask(f"none{hosted}.invalid")] += 1
                    await trio.sleep(STEP)
                asked, worst = lab.total, most_in_a_second(list(lab.times))
                failed = stored(tmp_path)
                lab.faults = []

                async def is_fresh() -> bool:
                    found = [await service.lookup(host) for host in CACHED]
                    return not any("stale" in verdict.reason for verdict in found)

                await eventually(is_fresh)
                light = trio.current_time() - began - DARK
                assert await client.ask("light.invalid") is VerdictKind.NOT_HOSTED
            await eventually(is_whole)
    assert [(domain, state, served) for domain, state, _, served in failed] == [
        (domain, state, served) for domain, state, _, served in whole
    ]
    assert all(failures for _, _, failures, _ in failed)
    assert asked < 2 * DARK, "a query a second or two, whatever is asked for"
    assert unknown.keys() <= {VerdictKind.PENDING, VerdictKind.UNDETERMINED}
    report(
        f"dark for {DARK:.0f} s: {hosted} answers, all HOSTED; {asked} DNS queries, "
        f"{worst} in the worst second; fresh again after {light:.0f} s"
    )
