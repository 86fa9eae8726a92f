"""The sweep of a million overdue domains stays within what housekeeping may ask of the upstream."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network

import pytest
import trio
from trio.testing import MockClock

from fastvhost.config import Config, Endpoint, Housekeeping, Limits, Own
from fastvhost.domains.housekeeping import Brake, Census
from fastvhost.domains.keeper import checks_at_once
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.sweep import sweep
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.account import Account
from fastvhost.resolve.reply import Failure, Negative, Reply, RrType
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker

EPOCH = 1_700_000_000.0
SHARE = 0.1
"""What docs/architecture.md leaves to housekeeping."""

OVERDUE = DomainRecord(
    domain="d.example",
    state=DomainState.ACTIVE,
    first_seen=EPOCH,
    last_seen=EPOCH,
    last_verified=EPOCH,
    next_check=EPOCH,
)


class CountingUpstream(Upstream):
    """Pays as the real one does, notes when, and answers that there is no such record."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.dns, [Endpoint("127.0.0.1", 53)])
        self.sent_at: list[float] = []
        self.refused = 0

    async def query(self, _name: str, _rrtype: RrType, account: Account) -> Reply:
        async with account.lane.slot():
            refusal = await account.pay()
            if refusal is not None:
                self.refused += 1
                return Failure(why=refusal.why, limited=refusal.limited)
            self.sent_at.append(trio.current_time())
            await trio.sleep(0.02)
            return Negative(nxdomain=False, ttl=300)


def most_in_a_second(sent_at: Sequence[float]) -> int:
    return max(bisect_right(sent_at, start + 1.0) - first for first, start in enumerate(sent_at))


def config_at(qps: float) -> Config:
    return replace(Config(own=Own(addresses=(ip_network("192.0.2.1"),))), limits=Limits(upstream_qps=qps))


async def sweep_overdue(walker: Walker, checked: Counter[VerdictKind], *, in_flight: int) -> None:
    """All of a million are due, whenever the store is asked; what they publish is asked for too."""
    handed_out = 0

    async def census() -> Census:
        return Census(active=1_000_000, negative=0)

    async def due(now: float, limit: int) -> list[DomainRecord]:
        nonlocal handed_out
        handed_out += limit
        return [replace(OVERDUE, domain=f"d{handed_out - number}.example") for number in range(limit)]

    async def check(domain: str) -> Finding:
        finding = await walker.check(domain)
        checked[finding.kind] += 1
        return finding

    async def save(records: list[DomainRecord]) -> None:
        for record in records:
            await walker.text(f"_vhost._sip.{record.domain}")

    rules = Housekeeping()
    await sweep(
        census=census,
        due=due,
        check=check,
        confirm=check,
        save=save,
        wall_clock=lambda: EPOCH + 86_400.0 + trio.current_time(),
        rules=rules,
        brake=Brake(rules),
        on_alarm=lambda _: None,
        in_flight=in_flight,
    )


@pytest.mark.parametrize("in_flight", [1, 128])
@pytest.mark.parametrize("qps", [10, 100, 1_000])
async def test_sweep_of_a_million_overdue_never_exceeds_its_share_in_any_second(
    autojump_clock: MockClock, qps: float, in_flight: int
) -> None:
    config = config_at(qps)
    upstream = CountingUpstream(config)
    with trio.move_on_after(30.0):
        await sweep_overdue(Walker(config, upstream), Counter(), in_flight=in_flight)
    assert 1 <= most_in_a_second(upstream.sent_at) <= qps * SHARE


@pytest.mark.parametrize("qps", [20, 50, 100, 300, 1_000])
async def test_sweep_of_a_million_overdue_at_once_as_many_as_fit_gets_on(
    autojump_clock: MockClock, qps: float
) -> None:
    """Each of these checks takes all that one may: were there too many, every one would run out of budget."""
    config = config_at(qps)
    upstream, checked = CountingUpstream(config), Counter[VerdictKind]()
    with trio.move_on_after(60.0):
        await sweep_overdue(Walker(config, upstream), checked, in_flight=checks_at_once(config))
    assert most_in_a_second(upstream.sent_at) <= qps * SHARE
    assert checked[VerdictKind.NOT_HOSTED] >= 1
    assert checked[VerdictKind.LIMITED] <= checked[VerdictKind.NOT_HOSTED] / 10


@pytest.mark.parametrize(("qps", "at_once"), [(1, 1), (30, 2), (100, 6), (1_000, 66), (65_535, 128)])
def test_checks_at_once_are_as_many_as_the_budget_lets_end(qps: float, at_once: int) -> None:
    assert checks_at_once(config_at(qps)) == at_once


async def test_sweep_of_a_million_overdue_beside_a_flood_stays_within_the_whole_budget(
    autojump_clock: MockClock,
) -> None:
    qps = 100
    config = config_at(qps)
    upstream = CountingUpstream(config)
    walker = Walker(config, upstream)
    with trio.move_on_after(20.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(sweep_overdue, walker, Counter(), in_flight=128))
            while True:
                nursery.start_soon(partial(walker.walk, admitted_at=None), "known.example")
                await trio.sleep(0.005)
    assert qps / 2 < most_in_a_second(upstream.sent_at) <= qps
