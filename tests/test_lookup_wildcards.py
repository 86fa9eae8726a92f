"""Names below a wildcard that points at us, as the look-up decides them: kept apart, presumed, overruled."""

from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.coalesce import Flight
from fastvhost.config import Cache, Config, Domains, Own
from fastvhost.model import Finding, VerdictKind
from fastvhost.wildcards import Settle, Wildcards
from tests.support import as_kept
from tests.test_lookup import FAILED, HOSTED, LIMITED, NOT_HOSTED, PLENTY, SOURCE, World, found

CACHE = Cache(hosted_ttl=(0.0, 1e6), not_hosted_ttl=(0.0, 1e6), stale=1_000.0)


class WildWorld(World):
    """A `Lookup` that looks for wildcards; its probes wait until they are settled by hand."""

    def __init__(self, nursery: trio.Nursery, **settings: Any) -> None:
        self.found: list[str] = []
        self.probes: dict[str, Settle] = {}
        wildcards = Wildcards(
            Config(own=Own(), cache=CACHE),
            registrable_domain=lambda host: ".".join(host.split(".")[-2:]),
            probe=self.probes.__setitem__,
        )
        super().__init__(
            nursery,
            cache=CACHE,
            found_hosted=lambda host, _: self.found.append(host),
            wildcards=wildcards,
            **settings,
        )

    async def has_wildcard(self, finding: Finding = HOSTED) -> None:
        """Three names of example.com were HOSTED, and so was the probe that they caused."""
        for label in "abc":
            await self.learn(HOSTED, f"{label}.example.com")
        self.settle_probe(finding)

    def settle_probe(self, finding: Finding) -> None:
        ((_, settle),) = self.probes.items()
        self.probes.clear()
        settle(finding, trio.current_time())


async def test_lookup_names_below_a_wildcard_are_kept_apart_and_not_learned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard()
    assert world.found == ["a.example.com", "b.example.com", "c.example.com"]
    assert world.cache.sizes() == (3, 0)
    for number in range(50):
        verdict = await world.learn(HOSTED, f"h{number}.example.com")
        assert verdict.kind is VerdictKind.HOSTED
        assert world.at_once(f"h{number}.example.com") == as_kept(verdict)
    assert len(world.found) == 3
    assert world.cache.sizes() == (3, 50)


async def test_lookup_names_found_while_the_probe_is_under_way_are_kept_apart_until_it_says_no(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    for label in "abc":
        await world.learn(HOSTED, f"{label}.example.com")
    await world.learn(HOSTED, "d.example.com")
    assert world.at_once("d.example.com").kind is VerdictKind.HOSTED
    assert world.found == ["a.example.com", "b.example.com", "c.example.com"]
    world.settle_probe(NOT_HOSTED)
    await world.learn(HOSTED, "d.example.com")
    assert world.found[3:] == ["d.example.com"]
    assert world.cache.sizes() == (4, 0)


async def test_lookup_below_a_wildcard_who_cannot_wait_is_told_hosted_and_dns_has_the_last_word(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard()
    world.dns.finding, world.dns.seconds = NOT_HOSTED, 1.0
    flight = world.flight("own.example.com")
    assert flight.provisional.kind is VerdictKind.HOSTED
    assert flight.provisional.host == "own.example.com"
    assert (await world.lookup.lookup("own.example.com", SOURCE)).kind is VerdictKind.NOT_HOSTED
    assert world.at_once("own.example.com").kind is VerdictKind.NOT_HOSTED


async def test_lookup_name_that_was_not_hosted_is_presumed_nothing_when_that_is_over(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard(found(VerdictKind.HOSTED, 1_000.0))
    verdict = await world.learn(NOT_HOSTED, "own.example.com")
    world.dns.seconds = 1.0
    flight = world.flight("own.example.com", verdict.expires)
    assert flight.provisional.kind is VerdictKind.PENDING
    assert world.flight("other.example.com", verdict.expires).provisional.kind is VerdictKind.HOSTED


async def test_lookup_name_that_was_not_hosted_is_presumed_nothing_while_dns_fails(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard(found(VerdictKind.HOSTED, 1_000.0))
    verdict = await world.learn(NOT_HOSTED, "own.example.com")
    await trio.sleep_until(verdict.expires)
    for _ in range(3):
        verdict = await world.learn(FAILED, "own.example.com")
        assert verdict.kind is VerdictKind.UNDETERMINED
        assert world.at_once("own.example.com") == as_kept(verdict)
        await trio.sleep_until(verdict.expires)
    assert (await world.learn(FAILED, "other.example.com")).kind is VerdictKind.HOSTED


async def test_lookup_below_a_wildcard_no_budget_flight_or_place_to_wait_is_hosted_all_the_same(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    limits = replace(PLENTY, zone_rate=2.0, upstream_inflight=8, waiters=1)
    world = WildWorld(nursery, limits=limits)
    await world.has_wildcard()
    await trio.sleep(10.0)
    world.dns.seconds = 1.0
    flight = world.flight("one.example.com")
    flight.join(lambda _: None)
    assert world.at_once("one.example.com").kind is VerdictKind.HOSTED
    world.flight("two.example.com")
    assert world.at_once("three.example.com").kind is VerdictKind.HOSTED
    assert (world.counters.pending_waiters, world.counters.limited_flights) == (1, 1)
    await trio.sleep(2.0)
    world.dns.seconds = 0.0
    for number in range(20):
        decided = world.decide(f"h{number}.example.com")
        await wait_all_tasks_blocked()
        assert isinstance(decided, Flight) or decided.kind is VerdictKind.HOSTED
    assert world.counters.limited_zone > 0


@pytest.mark.parametrize("failure", [FAILED, LIMITED], ids=["failed", "limited"])
async def test_lookup_below_a_wildcard_a_walk_that_fails_leaves_it_hosted_and_backs_off(
    nursery: trio.Nursery, autojump_clock: MockClock, failure: Finding
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard()
    assert (await world.learn(failure, "x.example.com")).kind is VerdictKind.HOSTED
    if failure is FAILED:
        assert world.at_once("x.example.com").kind is VerdictKind.HOSTED
    assert world.found == ["a.example.com", "b.example.com", "c.example.com"]
    assert world.cache.sizes() == (3, 1 if failure is FAILED else 0)


async def test_lookup_wildcard_that_has_left_takes_with_it_all_that_was_kept_apart(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard()
    await world.learn(found(VerdictKind.HOSTED, 1_000.0), "x.example.com")
    await trio.sleep(95.0)
    world.dns.seconds = 1.0
    flight = world.flight("y.example.com")
    assert flight.provisional.kind is VerdictKind.HOSTED
    world.settle_probe(NOT_HOSTED)
    assert world.flight("y.example.com").provisional.kind is VerdictKind.PENDING
    assert world.flight("x.example.com").provisional.kind is VerdictKind.PENDING
    assert world.at_once("a.example.com").kind is VerdictKind.HOSTED, "that was found by itself"


async def test_lookup_listed_name_below_a_wildcard_is_the_operators_word(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery, domains=Domains(never=("x.example.com", ".sub.example.com")))
    await world.has_wildcard()
    for host in ("x.example.com", "y.sub.example.com"):
        assert world.at_once(host).kind is VerdictKind.NOT_HOSTED
    assert not world.dns.walks


async def test_stands_until_what_is_below_a_wildcard_is_not_repeated(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    await world.has_wildcard()
    now = trio.current_time()
    await world.learn(HOSTED, "kept.example.com")
    await world.learn(FAILED, "presumed.example.com")
    await world.learn(NOT_HOSTED, "own.example.com")
    stands = {
        label: world.lookup.lease(world.at_once(f"{label}.example.com"), now).until > now
        for label in ("a", "kept", "presumed", "own")
    }
    assert stands == {"a": True, "kept": False, "presumed": False, "own": True}


async def test_stands_a_failure_no_longer_than_a_second_since_a_wildcard_may_speak_for_its_host(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = WildWorld(nursery)
    for _ in range(8):
        verdict = await world.learn(FAILED, "x.example.com")
        await trio.sleep_until(verdict.expires)
    verdict = await world.learn(FAILED, "x.example.com")
    now = trio.current_time()
    assert verdict.expires == now + 60.0
    assert world.lookup.lease(world.at_once("x.example.com"), now).until == now + 1.0
    await world.has_wildcard()
    assert world.at_once("x.example.com").kind is VerdictKind.HOSTED


async def test_lookup_name_below_a_wildcard_that_was_hosted_needs_no_second_look(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    confirmed: list[str] = []

    async def confirm(host: str, *, known: bool) -> Finding:
        confirmed.append(host)
        return HOSTED

    world = WildWorld(nursery, confirm=confirm)
    await world.has_wildcard(found(VerdictKind.HOSTED, 1_000.0))
    verdict = await world.learn(HOSTED, "x.example.com")
    await trio.sleep(verdict.expires)
    assert (await world.learn(HOSTED, "x.example.com")).kind is VerdictKind.HOSTED
    await world.learn(NOT_HOSTED, "own.example.com")
    await trio.sleep(verdict.expires)
    await world.learn(HOSTED, "own.example.com")
    assert confirmed == ["own.example.com"]
