"""The job, over a walk that is injected: who gets an answer at once, who waits, and who costs a query."""

import logging
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from math import inf, nextafter

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.budgets import Budgets
from fastvhost.cache import VerdictCache
from fastvhost.coalesce import Flight
from fastvhost.config import Cache, Config, Domains, Limits, Own
from fastvhost.domains.table import DomainTable
from fastvhost.host import Address
from fastvhost.limits import Bucket, Gcra
from fastvhost.lookup import Confirm, Lookup
from fastvhost.model import Finding, Lease, Verdict, VerdictKind
from fastvhost.wildcards import Wildcards
from tests.support import as_kept

HOST = "example.com"
SOURCE = ip_address("192.0.2.1")
PLENTY = Limits(source_rate=1e6, zone_rate=1e6, upstream_inflight=10_000)


def found(kind: VerdictKind, ttl: float = 100.0) -> Finding:
    return Finding(kind=kind, ttl=ttl, reason=f"found {kind.name}")


HOSTED = found(VerdictKind.HOSTED)
NOT_HOSTED = found(VerdictKind.NOT_HOSTED)
FAILED = found(VerdictKind.UNDETERMINED)
LIMITED = found(VerdictKind.LIMITED)


class FakeDns:
    """A walk that takes `seconds` and finds `finding`, or raises `fault`."""

    def __init__(self) -> None:
        self.finding = NOT_HOSTED
        self.seconds = 0.0
        self.fault: Exception | None = None
        self.walks: list[tuple[str, bool]] = []

    async def walk(self, host: str, *, admitted_at: float | None) -> Finding:
        self.walks.append((host, admitted_at is None))
        await trio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        return self.finding


class World:
    """A `Lookup` and its neighbours."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        own: Own | None = None,
        cache: Cache | None = None,
        limits: Limits = PLENTY,
        domains: Domains | None = None,
        upstream: Bucket | None = None,
        denied: Callable[[str, float], Finding | None] | None = None,
        confirm: Confirm | None = None,
        found_hosted: Callable[[str, Finding], None] | None = None,
        wildcards: Wildcards | None = None,
    ) -> None:
        config = Config(
            own=own or Own(addresses=(ip_network("192.0.2.10"),)),
            cache=cache or Cache(hosted_ttl=(0.0, 1e6), not_hosted_ttl=(0.0, 1e6), stale=1_000.0),
            limits=limits,
            domains=domains or Domains(),
        )
        self.dns = FakeDns()
        self.cache = VerdictCache(config.cache)
        self.budgets = Budgets(
            limits,
            upstream=upstream or Bucket(Gcra(1e6, 1e6)),
            registrable_domain=lambda host: ".".join(host.split(".")[-2:]),
        )
        self.lookup = Lookup(
            config,
            table=DomainTable(config.domains),
            cache=self.cache,
            budgets=self.budgets,
            walk=self.dns.walk,
            confirm=confirm,
            found_hosted=found_hosted,
            nursery=nursery,
            denied=denied,
            wildcards=wildcards,
        )
        self.counters = self.lookup.counters

    def decide(self, host: str = HOST, now: float | None = None) -> Verdict | Flight:
        return self.lookup.decide(host, SOURCE, trio.current_time() if now is None else now)

    def at_once(self, host: str = HOST, now: float | None = None) -> Verdict:
        decided = self.decide(host, now)
        assert isinstance(decided, Verdict)
        return decided

    def flight(self, host: str = HOST, now: float | None = None) -> Flight:
        decided = self.decide(host, now)
        assert isinstance(decided, Flight)
        return decided

    async def learn(self, finding: Finding, host: str = HOST) -> Verdict:
        """Look `host` up, at once, and find `finding`."""
        self.dns.finding, self.dns.seconds = finding, 0.0
        verdict = await self.lookup.lookup(host, SOURCE)
        self.dns.walks.clear()
        return verdict


def just_before(instant: float) -> float:
    return nextafter(instant, -inf)


# Coalescing


async def test_lookup_thousand_askers_of_one_host_cause_one_walk_and_share_its_verdict(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.seconds = 0.5
    verdicts = []

    async def ask() -> None:
        verdicts.append(await world.lookup.lookup(HOST, SOURCE))

    async with trio.open_nursery() as askers:
        for _ in range(1_000):
            askers.start_soon(ask)
    assert trio.current_time() == 0.5
    assert world.dns.walks == [(HOST, False)]
    assert len(verdicts) == 1_000
    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert verdicts[0].kind is VerdictKind.NOT_HOSTED
    assert (world.counters.walks, world.counters.joined, world.lookup.under_way) == (1, 999, 0)


@pytest.mark.parametrize(
    "spellings",
    [
        ["example.com", "EXAMPLE.com", "example.com.", "Example.Com."],
        ["xn--bcher-kva.example", "bücher.example", "BÜCHER.example.", "bu\u0308cher\u3002example"],
    ],
)
async def test_lookup_spellings_of_one_host_share_a_flight_and_an_entry(
    spellings: list[str], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.seconds = 0.5
    flights = [world.flight(spelling) for spelling in spellings]
    assert all(flight is flights[0] for flight in flights)
    await trio.sleep(1)
    verdicts = [world.at_once(spelling) for spelling in spellings]
    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert world.dns.walks == [(spellings[0], False)]


async def test_lookup_different_hosts_fly_apart(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery)
    assert world.flight("a.example") is not world.flight("b.example")
    await wait_all_tasks_blocked()
    assert sorted(world.dns.walks) == [("a.example", False), ("b.example", False)]


# Expiry


@pytest.mark.parametrize("finding", [NOT_HOSTED, FAILED], ids=lambda finding: finding.kind.name)
async def test_lookup_unknown_host_is_walked_again_at_the_instant_of_expiry(
    finding: Finding, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    verdict = await world.learn(finding)
    assert world.at_once(now=just_before(verdict.expires)) == as_kept(verdict)
    assert world.dns.walks == []
    world.flight(now=verdict.expires)
    await wait_all_tasks_blocked()
    assert world.dns.walks == [(HOST, False)]
    assert world.counters.hits_unknown == 1


async def test_lookup_hosted_is_refreshed_before_expiry_while_answered_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    verdict = await world.learn(HOSTED)
    await trio.sleep_until(just_before(90.0))
    assert world.at_once() is verdict
    assert world.lookup.under_way == 0
    await trio.sleep_until(90.0)
    world.dns.seconds = 2.0
    for _ in range(100):
        assert world.at_once() is verdict
    await trio.sleep(3)
    assert world.dns.walks == [(HOST, True)]
    assert world.at_once().expires == 192.0
    assert (world.counters.refreshes, world.counters.hits_hosted) == (1, 102)


async def test_lookup_hosted_that_nobody_asks_for_is_not_refreshed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep(10_000)
    assert world.dns.walks == []


@pytest.mark.parametrize("finding", [HOSTED, NOT_HOSTED], ids=lambda finding: finding.kind.name)
async def test_lookup_hosted_at_the_instant_of_expiry_waits_for_what_dns_says_now(
    finding: Finding, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep_until(100.0)
    world.dns.finding, world.dns.seconds = finding, 2.0
    flight = world.flight()
    assert world.flight() is flight
    assert (flight.provisional.kind, flight.provisional.reason) == (
        VerdictKind.HOSTED,
        "stale: found HOSTED",
    )
    verdict = await world.lookup.lookup(HOST, SOURCE)
    assert (verdict.kind, verdict.expires) == (finding.kind, 202.0)
    assert world.dns.walks == [(HOST, True)]


async def test_lookup_hosted_expiring_while_refreshed_joins_the_refresh(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep_until(99.0)
    world.dns.seconds, world.dns.finding = 2.0, NOT_HOSTED
    assert world.at_once().kind is VerdictKind.HOSTED
    await trio.sleep_until(100.0)
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.NOT_HOSTED
    assert trio.current_time() == 101.0
    assert world.dns.walks == [(HOST, True)]


async def test_lookup_hosted_that_left_is_not_hosted_and_unknown_from_then_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep_until(90.0)
    world.dns.finding = NOT_HOSTED
    world.at_once()
    await wait_all_tasks_blocked()
    verdict = world.at_once()
    assert (verdict.kind, verdict.expires) == (VerdictKind.NOT_HOSTED, 190.0)
    await trio.sleep_until(190.0)
    world.flight()
    await wait_all_tasks_blocked()
    assert world.dns.walks == [(HOST, True), (HOST, False)]


async def test_lookup_ttl_zero_answers_those_waiting_and_walks_for_the_next(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.finding = found(VerdictKind.HOSTED, ttl=0.0)
    for _ in range(3):
        assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.HOSTED
    assert world.dns.walks == [(HOST, False), (HOST, True), (HOST, True)]


# Stale


async def test_lookup_hosted_while_dns_fails_is_stale_at_once_with_back_off_until_stale_ends(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.dns.finding = FAILED
    await trio.sleep_until(100.0)
    first = await world.lookup.lookup(HOST, SOURCE)
    assert (first.kind, first.expires) == (VerdictKind.HOSTED, 130.0)
    next_walk, waits = 100.0, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    for number, wait in enumerate(waits, start=1):
        next_walk += wait
        await trio.sleep_until(just_before(next_walk))
        assert world.at_once().reason == "stale: found HOSTED"
        await wait_all_tasks_blocked()
        assert len(world.dns.walks) == number
        await trio.sleep_until(next_walk)
        assert world.at_once().kind is VerdictKind.HOSTED
        await wait_all_tasks_blocked()
        assert len(world.dns.walks) == number + 1
    await trio.sleep_until(just_before(1_100.0))
    stale = await world.lookup.lookup(HOST, SOURCE)
    assert (stale.kind, stale.expires) == (VerdictKind.HOSTED, 1_100.0)
    await trio.sleep_until(1_100.0)
    verdict = await world.lookup.lookup(HOST, SOURCE)
    assert (verdict.kind, verdict.expires) == (VerdictKind.UNDETERMINED, 1_101.0)
    assert world.at_once() == as_kept(verdict)
    assert set(world.dns.walks) == {(HOST, True)}
    assert world.counters.hits_stale == 2 * len(waits)


async def test_lookup_hosted_whose_failure_is_long_ago_waits_for_dns_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.dns.finding = FAILED
    await trio.sleep_until(100.0)
    await world.lookup.lookup(HOST, SOURCE)
    world.dns.finding = NOT_HOSTED
    await trio.sleep_until(just_before(161.0))
    assert world.at_once().kind is VerdictKind.HOSTED
    await wait_all_tasks_blocked()
    assert world.at_once().kind is VerdictKind.NOT_HOSTED


async def test_lookup_hosted_whose_failure_is_a_minute_past_its_back_off_asks_dns_first(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.dns.finding = FAILED
    await trio.sleep_until(100.0)
    await world.lookup.lookup(HOST, SOURCE)
    world.dns.finding = NOT_HOSTED
    await trio.sleep_until(161.0)
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.NOT_HOSTED


async def test_lookup_hosted_long_past_its_stale_end_is_still_looked_up_as_known(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, source_rate=1.0))
    await world.learn(HOSTED)
    world.dns.finding = FAILED
    await trio.sleep_until(5_000.0)
    for _ in range(10):
        assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.UNDETERMINED
        await trio.sleep(61)
    assert world.dns.walks == [(HOST, True)] * 10


async def test_lookup_hosted_after_dns_recovered_is_fresh_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep_until(100.0)
    world.dns.finding = FAILED
    await world.lookup.lookup(HOST, SOURCE)
    world.dns.finding = HOSTED
    await trio.sleep_until(101.0)
    world.at_once()
    await wait_all_tasks_blocked()
    verdict = world.at_once()
    assert (verdict.reason, verdict.expires, verdict.failures) == ("found HOSTED", 201.0, 0)


@pytest.mark.parametrize("stale", [0.0, 5.0])
async def test_lookup_past_the_stale_end_a_refresh_under_way_promises_nothing_any_more(
    stale: float, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, cache=Cache(stale=stale))
    await world.learn(HOSTED)
    await trio.sleep_until(99.0)
    world.dns.seconds, world.dns.finding = 8.0, FAILED
    world.at_once()
    await trio.sleep_until(100.0 + stale)
    assert world.flight().provisional.kind is VerdictKind.PENDING
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.UNDETERMINED


async def test_lookup_hosted_over_the_known_budget_is_stale_and_tried_again_a_second_later(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.dns.finding = LIMITED
    await trio.sleep_until(100.0)
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.HOSTED
    assert world.at_once(now=just_before(101.0)).kind is VerdictKind.HOSTED
    world.dns.finding = NOT_HOSTED
    await trio.sleep_until(101.0)
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.NOT_HOSTED


async def test_lookup_walk_that_was_limited_is_answered_and_not_kept(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    assert (await world.learn(LIMITED)).kind is VerdictKind.LIMITED
    world.flight()


# Caps and budgets


@pytest.mark.parametrize(("hosts", "limited"), [(2, 0), (3, 0), (4, 1), (50, 47)])
async def test_lookup_flights_at_their_most_limit_further_hosts_at_once(
    hosts: int, limited: int, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, upstream_inflight=3))
    world.dns.seconds = 1.0
    decided = [world.decide(f"h{number}.example") for number in range(hosts)]
    verdicts = [one for one in decided if isinstance(one, Verdict)]
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.LIMITED] * limited
    assert world.counters.limited_flights == limited
    await trio.sleep(2)
    world.flight("later.example")


async def test_lookup_flights_at_their_most_leave_hits_joiners_and_known_hosts_alone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, upstream_inflight=1))
    verdict = await world.learn(HOSTED)
    other = await world.learn(NOT_HOSTED, "other.example")
    world.dns.seconds = 1_000.0
    flight = world.flight("slow.example")
    assert world.at_once("flood.example").kind is VerdictKind.LIMITED
    assert world.flight("slow.example") is flight
    assert world.at_once() is verdict
    assert world.at_once("other.example") == as_kept(other)
    await trio.sleep_until(100.0)
    world.flight()
    await wait_all_tasks_blocked()
    assert world.dns.walks[-1] == (HOST, True)


async def test_lookup_refreshes_at_their_most_answer_known_hosts_stale(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, upstream_inflight=1))
    await world.learn(HOSTED, "a.example")
    await world.learn(HOSTED, "b.example")
    world.dns.seconds = 1_000.0
    await trio.sleep_until(100.0)
    world.flight("a.example")
    assert world.at_once("b.example").reason == "stale: found HOSTED"
    assert world.lookup.under_way == 1


@pytest.mark.parametrize(("askers", "pending"), [(2, 0), (3, 0), (4, 1), (50, 47)])
async def test_lookup_waiters_at_their_most_are_told_pending(
    askers: int, pending: int, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, waiters=3))
    world.dns.seconds = 1.0
    told: list[VerdictKind] = []

    async def ask() -> None:
        told.append((await world.lookup.lookup(HOST, SOURCE)).kind)

    async with trio.open_nursery() as all_askers:
        for _ in range(askers):
            all_askers.start_soon(ask)
    assert told.count(VerdictKind.PENDING) == pending
    assert told.count(VerdictKind.NOT_HOSTED) == askers - pending
    assert world.counters.pending_waiters == pending


async def test_lookup_waiter_that_left_makes_room(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery, limits=replace(PLENTY, waiters=1))
    world.dns.seconds = 10.0
    with trio.move_on_after(1):
        await world.lookup.lookup(HOST, SOURCE)
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.NOT_HOSTED


async def test_lookup_waiters_of_an_expired_hosted_at_their_most_are_told_what_was_believed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, waiters=1))
    await world.learn(HOSTED)
    world.dns.seconds = 1.0
    await trio.sleep_until(100.0)
    world.flight().join(lambda _: None)
    assert world.at_once().reason == "stale: found HOSTED"


def limited_by(world: World) -> tuple[int, int, int]:
    counters = world.counters
    return counters.limited_source, counters.limited_zone, counters.limited_upstream


@pytest.mark.parametrize(
    ("limits", "upstream", "reason", "counted"),
    [
        (replace(PLENTY, source_rate=1.0), None, "the source budget is spent", (1, 0, 0)),
        (replace(PLENTY, zone_rate=1.0), None, "the zone budget is spent", (0, 1, 0)),
        (PLENTY, Gcra(1.0, 2.0), "the upstream budget is spent", (0, 0, 1)),
    ],
)
async def test_lookup_over_a_budget_is_limited_and_counted_by_which(
    limits: Limits,
    upstream: Gcra | None,
    reason: str,
    counted: tuple[int, int, int],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    world = World(nursery, limits=limits, upstream=None if upstream is None else Bucket(upstream))
    for name in ("a", "b"):
        world.flight(f"{name}.example.com")
        assert limited_by(world) == (0, 0, 0)
    verdict = world.at_once("c.example.com")
    assert (verdict.kind, verdict.reason, verdict.expires) == (VerdictKind.LIMITED, reason, 0.0)
    assert limited_by(world) == counted
    await wait_all_tasks_blocked()
    assert len(world.dns.walks) == 2


async def test_lookup_hits_joiners_and_refreshes_spend_no_budget(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    tight = replace(PLENTY, source_rate=1.0, zone_rate=1.0)
    world = World(nursery, limits=tight, upstream=Bucket(Gcra(0.001, 3.0)))
    await world.learn(HOSTED)
    await trio.sleep(50)
    world.dns.seconds = 1.0
    for _ in range(1_000):
        world.at_once()
        world.decide("slow.example.com")
    await trio.sleep_until(100.0)
    for _ in range(1_000):
        world.decide()
    assert limited_by(world) == (0, 0, 0)
    world.flight("third.example.net")  # the last of three tokens
    assert limited_by(world) == (0, 0, 0)
    assert world.at_once("fourth.example.net").kind is VerdictKind.LIMITED


# What is proved without asking


def denied_under(zone: str) -> Callable[[str, float], Finding | None]:
    def denied(host: str, now: float) -> Finding | None:
        return replace(NOT_HOSTED, ttl=60.0, reason="proved") if host.endswith(f".{zone}") else None

    return denied


async def test_lookup_host_that_is_proved_absent_is_answered_at_once_at_no_cost(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=Limits(source_rate=1.0, zone_rate=1.0), denied=denied_under("example.com"))
    for number in range(1_000):
        verdict = world.at_once(f"h{number}.example.com")
        assert (verdict.kind, verdict.expires) == (VerdictKind.NOT_HOSTED, 60.0)
        assert verdict.reason == "proved"
    assert (world.counters.denied, world.counters.walks) == (1_000, 0)
    assert world.cache.sizes() == (0, 0)
    world.flight("other.example.net")


async def test_lookup_host_that_is_proved_absent_is_answered_while_no_flight_has_room(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, upstream_inflight=1), denied=denied_under("example.com"))
    world.dns.seconds = 1.0
    world.flight("a.example.net")
    assert world.at_once("b.example.net").kind is VerdictKind.LIMITED
    assert world.at_once("b.example.com").kind is VerdictKind.NOT_HOSTED


async def test_lookup_known_host_is_never_denied_by_a_proof(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Neither one that was HOSTED, stale or to be looked up again, nor one on the operator's list."""
    domains = Domains(always=("listed.example.com",))
    world = World(nursery, domains=domains, denied=denied_under("example.com"))
    world.cache.settle("known.example.com", HOSTED, 0.0)
    assert world.at_once("listed.example.com").kind is VerdictKind.HOSTED
    assert world.at_once("known.example.com").kind is VerdictKind.HOSTED
    await trio.sleep_until(100.0)
    world.flight("known.example.com")
    assert world.counters.denied == 0


# Callers and stops


async def test_lookup_caller_cancelled_harms_no_other(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.seconds = 2.0
    verdicts = []

    async def patient() -> None:
        verdicts.append(await world.lookup.lookup(HOST, SOURCE))

    async with trio.open_nursery() as askers:
        askers.start_soon(patient)
        with trio.move_on_after(1) as hasty:
            await world.lookup.lookup(HOST, SOURCE)
        assert hasty.cancelled_caught
        askers.start_soon(patient)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.NOT_HOSTED] * 2
    assert world.dns.walks == [(HOST, False)]


async def test_lookup_all_callers_cancelled_the_flight_lands_and_is_kept(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.seconds = 2.0
    with trio.move_on_after(1):
        async with trio.open_nursery() as askers:
            for _ in range(10):
                askers.start_soon(world.lookup.lookup, HOST, SOURCE)
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    assert world.at_once().expires == 102.0
    assert world.lookup.under_way == 0
    assert len(world.dns.walks) == 1


async def test_lookup_hit_is_a_checkpoint(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery)
    await world.learn(NOT_HOSTED)
    with trio.testing.assert_checkpoints():
        await world.lookup.lookup(HOST, SOURCE)
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.lookup.lookup(HOST, SOURCE)
    assert scope.cancelled_caught


async def test_lookup_when_the_service_stops_waiting_callers_are_undetermined(
    autojump_clock: MockClock,
) -> None:
    verdicts = []
    async with trio.open_nursery() as askers, trio.open_nursery() as flights:
        world = World(flights)
        world.dns.seconds = 60.0

        async def ask(host: str) -> None:
            verdicts.append(await world.lookup.lookup(host, SOURCE))

        for host in ("a.example", "a.example", "b.example"):
            askers.start_soon(ask, host)
        await trio.sleep(1)
        flights.cancel_scope.cancel()
    assert [(verdict.kind, verdict.reason) for verdict in verdicts] == [
        (VerdictKind.UNDETERMINED, "the service stopped")
    ] * 3
    assert world.cache.sizes() == (0, 0)
    assert world.lookup.under_way == 0


async def test_lookup_flight_that_had_no_turn_before_the_stop_lands_all_the_same(
    autojump_clock: MockClock,
) -> None:
    told: list[Verdict] = []
    async with trio.open_nursery() as flights:
        World(flights).flight().join(told.append)
        flights.cancel_scope.cancel()
    assert [verdict.reason for verdict in told] == ["the service stopped"]


async def test_lookup_after_the_stop_raises_and_leaves_no_flight(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as flights:
        world = World(flights)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            await world.lookup.lookup(HOST, SOURCE)
    assert world.lookup.under_way == 0
    assert world.counters.walks == 0


# Faults


async def test_lookup_walk_that_raises_is_undetermined_counted_and_harms_no_other(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(nursery)
    world.dns.fault = ZeroDivisionError("fault of ours")
    world.dns.seconds = 1.0
    verdicts = []

    async def ask() -> None:
        verdicts.append(await world.lookup.lookup("faulty.example", SOURCE))

    async with trio.open_nursery() as askers:
        askers.start_soon(ask)
        askers.start_soon(ask)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.UNDETERMINED] * 2
    assert verdicts[0].ttl(trio.current_time()) == 1.0
    assert world.counters.walk_faults == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "ZeroDivisionError: fault of ours" in caplog.text
    world.dns.fault = None
    assert (await world.lookup.lookup("sound.example", SOURCE)).kind is VerdictKind.NOT_HOSTED


async def test_lookup_walk_that_raises_for_a_hosted_serves_it_stale(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    await trio.sleep_until(100.0)
    world.dns.fault = ZeroDivisionError("fault of ours")
    assert (await world.lookup.lookup(HOST, SOURCE)).reason == "stale: found HOSTED"


@pytest.mark.parametrize(("second", "logged"), [(0.0, 1), (just_before(60.0), 1), (60.0, 2), (61.0, 2)])
async def test_lookup_walks_that_raise_are_logged_once_a_minute(
    second: float,
    logged: int,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(nursery)
    world.dns.fault = ZeroDivisionError("fault of ours")
    for number in range(10):
        await world.lookup.lookup(f"a{number}.example", SOURCE)
    await trio.sleep_until(second)
    for number in range(10):
        await world.lookup.lookup(f"b{number}.example", SOURCE)
    assert len(caplog.records) == logged
    assert world.counters.walk_faults == 20


async def test_lookup_host_pushed_out_while_refreshed_flies_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, cache=Cache(hosted_entries=1, hosted_ttl=(0.0, 1e6)))
    await world.learn(HOSTED)
    await trio.sleep_until(100.0)
    world.dns.seconds = 5.0
    flight = world.flight()
    world.cache.settle("pusher.example", HOSTED, 100.0)
    assert world.flight() is flight
    await trio.sleep(10)
    assert world.dns.walks == [(HOST, True)]


# What is never walked


@pytest.mark.parametrize(
    ("literal", "kind", "host"),
    [
        ("192.0.2.10", VerdictKind.HOSTED, "192.0.2.10"),
        ("192.0.2.11", VerdictKind.NOT_HOSTED, "192.0.2.11"),
        ("[2001:DB8::0:1]", VerdictKind.HOSTED, "[2001:db8::1]"),
        ("[2001:db9::]", VerdictKind.NOT_HOSTED, "[2001:db9::]"),
        ("[::ffff:192.0.2.10]", VerdictKind.HOSTED, "192.0.2.10"),
    ],
)
async def test_lookup_literal_is_compared_and_never_walked(
    literal: str, kind: VerdictKind, host: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    own = Own(addresses=(ip_network("192.0.2.10"), ip_network("2001:db8::/64")))
    world = World(nursery, own=own, limits=replace(PLENTY, source_rate=1.0))
    for _ in range(10):
        verdict = await world.lookup.lookup(literal, SOURCE)
        assert (verdict.kind, verdict.host) == (kind, host)
    assert world.dns.walks == []
    assert world.counters.literals == 10
    assert world.cache.sizes() == (0, 0)


MALFORMED = ["", ".", "a..b", "-a.example", "a_b.example", "a.1", "a b", "256.1.1.1", "::1", "[::1", "a/b"]


@pytest.mark.parametrize("text", [*MALFORMED, f"{'a' * 64}.example", ".".join("a" * 127) + ".aaa", "\ud800"])
async def test_lookup_malformed_is_said_so_and_never_walked(
    text: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, source_rate=1.0))
    for _ in range(10):
        verdict = await world.lookup.lookup(text, SOURCE)
        assert (verdict.kind, verdict.host) == (VerdictKind.MALFORMED, text)
    assert world.dns.walks == []
    assert world.counters.malformed == 10


@pytest.mark.parametrize(
    "text",
    ["", "_", "-", "a..b", "a_b", "!", "a b", "[::1]", "\u0130 ", "\ud800", "a" * 64, ".".join("a" * 127)],
)
@pytest.mark.parametrize("domains", [Domains(always=(".ours.example",)), Domains(never=(".ours.example",))])
async def test_lookup_malformed_under_a_listed_suffix_is_still_malformed(
    text: str, domains: Domains, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=domains)
    assert world.at_once(f"{text}.ours.example").kind is VerdictKind.MALFORMED
    assert (world.counters.malformed, world.counters.listed) == (1, 0)


async def test_lookup_longer_than_any_host_under_a_listed_suffix_is_malformed_or_hosted_once_it_is_shorter(
    nursery: trio.Nursery,
) -> None:
    world = World(nursery, domains=Domains(always=(".example.com",)))
    assert world.at_once("a." * 2_000 + "example.com").kind is VerdictKind.MALFORMED
    decomposed = "u\u0308." * 80 + "example.com"
    assert world.at_once(decomposed).kind is VerdictKind.MALFORMED
    decomposed = ".".join(["u\u0308" + 30 * "o\u0308"] * 4) + ".example.com"
    assert len(decomposed) > 253
    assert world.at_once(decomposed).kind is VerdictKind.HOSTED
    assert world.dns.walks == []


@pytest.mark.parametrize(
    "spelling",
    ["a.ours.example", "A.OURS.example", "a.ours.example.", "bücher.ours.example", "a\uff0eours.example"],
)
@pytest.mark.parametrize(
    ("domains", "kind"),
    [
        (Domains(always=(".ours.example",)), VerdictKind.HOSTED),
        (Domains(never=(".ours.example",)), VerdictKind.NOT_HOSTED),
    ],
)
async def test_lookup_below_a_listed_suffix_is_the_operators_word_and_never_walked(
    spelling: str, domains: Domains, kind: VerdictKind, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=domains)
    verdict = world.at_once(spelling)
    assert (verdict.kind, verdict.expires) == (kind, inf)
    assert (world.counters.listed, world.lookup.under_way) == (1, 0)


async def test_lookup_listed_name_goes_before_what_the_cache_says(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=Domains(always=(HOST,), never=(".example.net",)))
    world.cache.settle(HOST, NOT_HOSTED, 0.0)
    world.cache.settle("a.example.net", HOSTED, 0.0)
    assert world.at_once("EXAMPLE.com.").kind is VerdictKind.HOSTED
    assert world.at_once("a.example.net").kind is VerdictKind.NOT_HOSTED
    assert world.counters.listed == 2


async def test_lookup_unlisted_sibling_of_a_listed_name_is_walked(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=Domains(always=(HOST, ".ours.example")))
    for host in ("www.example.com", "ours.example", "xours.example"):
        world.flight(host)


async def test_decide_known_host_starts_no_task(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery, domains=Domains(always=("listed.example",)))
    await world.learn(HOSTED)
    await world.learn(NOT_HOSTED, "other.example")
    before = len(nursery.child_tasks)
    for host in (HOST, "other.example", "listed.example", "192.0.2.10", "mal_formed"):
        world.at_once(host)
    assert len(nursery.child_tasks) == before


async def test_lookup_zone_with_its_share_of_flights_is_limited_and_others_are_not(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, upstream_inflight=8))
    world.dns.seconds = 1_000.0
    for number in range(2):
        world.flight(f"h{number}.silent.example.test")
    assert world.at_once("h2.silent.example.test").kind is VerdictKind.LIMITED
    assert world.counters.limited_flights == 1
    world.flight("h.example.org")


async def test_lookup_u_labels_over_their_rate_are_limited_and_a_labels_are_not(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    kinds = [world.at_once(f"\u00fc{number}.1").kind for number in range(150)]
    assert 19 <= kinds.count(VerdictKind.MALFORMED) <= 20
    assert kinds[20:] == [VerdictKind.LIMITED] * 130
    assert world.counters.limited_u_labels == kinds.count(VerdictKind.LIMITED)
    assert world.at_once("a_b").kind is VerdictKind.MALFORMED
    await trio.sleep(0.011)
    assert world.at_once("\u00fc.1").kind is VerdictKind.MALFORMED


async def test_lookup_tells_the_walk_when_it_was_admitted(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The token that was taken then ages from then on, however late the walk's task starts."""
    admitted: list[float | None] = []

    async def walk(host: str, *, admitted_at: float | None) -> Finding:
        admitted.append(admitted_at)
        return HOSTED

    world = World(nursery)
    world.lookup._flying._walk = walk
    now = trio.current_time()
    world.lookup.decide(HOST, SOURCE, now)
    autojump_clock.jump(0.3)
    await wait_all_tasks_blocked()
    assert admitted == [now]


# Sources


def as_source(number: int) -> Address:
    return IPv4Address(0x0A00_0000 + number)


async def test_decide_source_that_was_told_hosted_walks_while_the_upstream_is_spent_on_new_ones(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, upstream=Bucket(Gcra(8.0, 4.0)))
    await world.learn(HOSTED)
    now = trio.current_time()
    assert world.lookup.decide(HOST, SOURCE, now).kind is VerdictKind.HOSTED  # type: ignore[union-attr]
    for number in range(100):
        world.lookup.decide(f"h{number}.zone{number}.test", as_source(number), now)
    assert world.counters.limited_upstream > 90
    stranger = world.lookup.decide("new.test", as_source(200), now)
    assert isinstance(stranger, Verdict)
    assert stranger.kind is VerdictKind.LIMITED
    assert isinstance(world.lookup.decide("new.test", SOURCE, now), Flight)


@pytest.mark.parametrize("host", ["listed.example", "a.suffix.example"])
async def test_decide_source_that_was_told_hosted_by_the_operator_s_word_is_established(
    host: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=Domains(always=("listed.example", ".suffix.example")))
    world.lookup.decide("listed.example", None, 0.0)
    assert len(world.budgets.sources) == 0
    world.lookup.decide(host, SOURCE, 0.0)
    assert len(world.budgets.sources) == 1


async def test_decide_source_that_asked_for_anything_else_is_not_established(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=Domains(never=("never.example",)))
    await world.learn(NOT_HOSTED)
    for host in (HOST, "never.example", "new.example", "192.0.2.10", "no_host"):
        world.decide(host)
    assert len(world.budgets.sources) == 0


async def test_decide_beyond_source_queries_known_domains_are_answered_and_all_else_is_limited(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    limits = replace(PLENTY, source_queries=4.0)
    world = World(nursery, limits=limits, domains=Domains(always=("a.listed",), never=(".b.listed",)))
    await world.learn(HOSTED, "hosted.example")
    await world.learn(NOT_HOSTED, "elsewhere.example")
    now = trio.current_time() + 50.0
    kinds = [world.decide("elsewhere.example", now).kind for _ in range(9)]  # type: ignore[union-attr]
    assert kinds == [VerdictKind.NOT_HOSTED] * 8 + [VerdictKind.LIMITED]
    for host, kind in {
        "hosted.example": VerdictKind.HOSTED,
        "Hosted.Example.": VerdictKind.HOSTED,
        "A.listed": VerdictKind.HOSTED,
        "x.b.listed": VerdictKind.NOT_HOSTED,
        "elsewhere.example": VerdictKind.LIMITED,
        "new.example": VerdictKind.LIMITED,
        "192.0.2.10": VerdictKind.LIMITED,
        "no_host": VerdictKind.LIMITED,
        "bücher.example": VerdictKind.LIMITED,
    }.items():
        assert world.at_once(host, now).kind is kind, host
    assert world.dns.walks == []
    assert world.counters.limited_queries == 6


async def test_decide_beyond_source_queries_others_and_queries_without_source_are_answered(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, source_queries=1.0))
    await world.learn(NOT_HOSTED)
    now = trio.current_time()
    for _ in range(100):
        limited = world.at_once(now=now)
    assert limited.kind is VerdictKind.LIMITED
    for source in (None, as_source(1)):
        verdict = world.lookup.decide(HOST, source, now)
        assert isinstance(verdict, Verdict)
        assert verdict.kind is VerdictKind.NOT_HOSTED


async def test_decide_beyond_source_queries_a_known_domain_that_fell_due_is_looked_up_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, source_queries=1.0))
    await world.learn(HOSTED)
    await trio.sleep_until(101.0)
    for _ in range(3):
        world.decide("new.example")
    assert world.flight(HOST).provisional.kind is VerdictKind.HOSTED
    assert world.counters.limited_queries == 1
    assert world.counters.refreshes == 1


# Answers that stand without asking


def stands(world: World, verdict: Verdict, now: float) -> float:
    return world.lookup.lease(verdict, now).until


async def test_stands_hosted_verdict_as_long_as_it_lives_and_is_asked_about_when_its_refresh_is_due(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    for now, look_at, until in ((1.0, 11.0, 61.0), (85.0, 90.0, 100.0), (90.0, 91.0, 100.0)):
        verdict = world.at_once(now=now)
        assert world.lookup.lease(verdict, now) == Lease(until=until, look_at=look_at)
    assert world.counters.refreshes == 1


async def test_stands_hosted_verdict_no_longer_than_it_lives_after_a_refresh_that_failed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.cache.settle(HOST, FAILED, 99.5)
    assert stands(world, world.at_once(now=99.6), 99.6) == 100.0


async def test_stands_negative_verdict_until_it_expires(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(NOT_HOSTED)
    assert stands(world, world.at_once(now=1.0), 1.0) == 61.0
    assert stands(world, world.at_once(now=95.0), 95.0) == 100.0


async def test_stands_not_a_verdict_that_was_replaced_or_is_in_no_cache(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    verdict = world.at_once(now=1.0)
    world.cache.forget(HOST)
    assert stands(world, verdict, 1.0) <= 1.0
    assert stands(world, world.at_once("foo_bar"), 0.0) <= 0.0
    assert stands(world, world.at_once("192.0.2.10"), 0.0) <= 0.0


async def test_stands_a_stale_answer_for_a_second_and_no_longer_than_it_may_be_believed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    world.cache.settle(HOST, FAILED, 100.0)
    stale = world.at_once(now=101.0)
    assert stale.reason.startswith("stale")
    assert stands(world, stale, 101.0) == 102.0
    ends = 1_100.0
    world.cache.settle(HOST, FAILED, ends - 1.0)
    assert stands(world, world.at_once(now=ends - 0.5), ends - 0.5) == ends


async def test_stands_the_operators_word_for_ten_seconds(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, domains=Domains(always=(HOST,)))
    assert stands(world, world.at_once(now=5.0), 5.0) == 65.0


async def test_stands_nothing_while_queries_are_charged_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery, limits=replace(PLENTY, source_queries=100.0))
    await world.learn(HOSTED)
    assert stands(world, world.at_once(now=1.0), 1.0) <= 1.0


# Flips


class SecondLook:
    """The confirming walk: finds `finding`, and remembers who paid."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        self.paid_by_known: list[bool] = []

    async def __call__(self, host: str, *, known: bool) -> Finding:
        await trio.lowlevel.checkpoint()
        assert host == HOST
        self.paid_by_known.append(known)
        return self.finding


@pytest.mark.parametrize("before", [NOT_HOSTED, FAILED])
@pytest.mark.parametrize("second", [HOSTED, NOT_HOSTED, FAILED, LIMITED])
async def test_lookup_host_that_was_not_hosted_is_hosted_only_if_the_second_look_says_so(
    before: Finding, second: Finding, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    look, told = SecondLook(second), list[str]()
    world = World(nursery, confirm=look, found_hosted=lambda host, _: told.append(host))
    await world.learn(before)
    await trio.sleep(200)
    world.dns.finding = HOSTED
    verdict = await world.lookup.lookup(HOST, SOURCE)
    assert verdict.kind is second.kind
    assert look.paid_by_known == [False]
    assert told == ([HOST] if second is HOSTED else [])
    hosted = second is HOSTED
    assert (world.counters.flips_confirmed, world.counters.flips_refuted) == (hosted, not hosted)


@pytest.mark.parametrize("before", [None, HOSTED])
async def test_lookup_host_that_is_new_or_was_hosted_needs_no_second_look(
    before: Finding | None, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    look = SecondLook(NOT_HOSTED)
    world = World(nursery, confirm=look)
    if before is not None:
        await world.learn(before)
        await trio.sleep(100)
    world.dns.finding = HOSTED
    assert (await world.lookup.lookup(HOST, SOURCE)).kind is VerdictKind.HOSTED
    assert look.paid_by_known == []


# Slow zones


async def slow_down(world: World, zone: str, walks: int = 5) -> None:
    """Walks in `zone` that fail slowly, while another zone is answered."""
    for number in range(walks):
        world.dns.finding, world.dns.seconds = FAILED, 2.0
        flight = world.flight(f"h{number}.{zone}")
        await trio.sleep(1)
        world.dns.finding, world.dns.seconds = NOT_HOSTED, 0.0
        await world.lookup.lookup(f"n{number}.sound.example{number}", SOURCE)
        world.dns.finding = FAILED
        await until_landed(flight)


async def until_landed(flight: Flight) -> None:
    landed = trio.Event()
    flight.join(lambda _: landed.set())
    await landed.wait()


async def test_lookup_unknown_host_of_a_zone_set_aside_is_undetermined_at_once_and_never_not_hosted(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await slow_down(world, "slow.test")
    now = trio.current_time()
    verdict = world.at_once("other.slow.test")
    assert (verdict.kind, verdict.expires) == (VerdictKind.UNDETERMINED, now + 1.0)
    assert verdict.reason == "slow.test is slow and set aside for now"
    assert (world.counters.slow_zone, world.lookup.zones_set_aside, world.lookup.under_way) == (1, 1, 0)
    world.flight("host.example")


async def test_lookup_probe_of_a_zone_set_aside_that_is_answered_lets_all_look_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await slow_down(world, "slow.test")
    await trio.sleep(1)
    world.dns.finding, world.dns.seconds = NOT_HOSTED, 0.1
    probe = world.flight("first.slow.test")
    assert world.at_once("second.slow.test").kind is VerdictKind.UNDETERMINED
    await until_landed(probe)
    world.flight("second.slow.test")


async def test_lookup_known_host_is_refreshed_though_unknown_ones_had_its_zone_set_aside(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    await world.learn(replace(HOSTED, ttl=20.0), "ours.slow.test")
    await slow_down(world, "slow.test")
    assert world.at_once("new.slow.test").kind is VerdictKind.UNDETERMINED
    await trio.sleep_until(18.5)
    world.dns.walks.clear()
    assert world.at_once("ours.slow.test").kind is VerdictKind.HOSTED
    await wait_all_tasks_blocked()
    assert world.dns.walks == [("ours.slow.test", True)]


async def test_lookup_known_hosts_of_a_zone_set_aside_are_answered_stale_and_probed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    for number in range(8):
        await world.learn(replace(HOSTED, ttl=10.0), f"h{number}.slow.test")
    await world.learn(replace(HOSTED, ttl=10.0), "ours.sound.test")
    await trio.sleep_until(11)
    # The refreshes are answered by nobody, but for the one of another zone.
    world.dns.finding, world.dns.seconds = FAILED, 2.0
    for number in range(5):
        world.flight(f"h{number}.slow.test")
    await trio.sleep(1)
    world.dns.finding, world.dns.seconds = HOSTED, 0.0
    await world.lookup.lookup("ours.sound.test", SOURCE)
    world.dns.finding = FAILED
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    world.dns.walks.clear()
    verdict = world.at_once("h6.slow.test")
    assert (verdict.kind, verdict.reason) == (VerdictKind.HOSTED, "stale: found HOSTED")
    await wait_all_tasks_blocked()
    assert world.dns.walks == []
    await trio.sleep(1)
    world.decide("h6.slow.test")
    await wait_all_tasks_blocked()
    assert world.dns.walks == [("h6.slow.test", True)]


async def test_lookup_outage_sets_no_zone_aside(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery)
    world.dns.finding, world.dns.seconds = FAILED, 2.0
    async with trio.open_nursery() as askers:
        for number in range(100):
            askers.start_soon(world.lookup.lookup, f"h{number}.zone{number % 10}.test", SOURCE)
    assert world.lookup.zones_set_aside == 0
    world.flight("new.zone1.test")
