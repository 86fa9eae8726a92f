"""The scout: what it ends by itself, what it hands on, and that nothing of it is left behind."""

import operator
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.giving_way import GivingWay
from fastvhost.limits import Bucket, Gcra
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.queries import Queries
from fastvhost.resolve.scout import HandedOn, Scout
from fastvhost.resolve.slots import Slots
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker
from fastvhost.service import Service, open_service
from tests.query_forms import FORMS, available
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, Lab, open_lab

SLOTS = 4


@pytest.fixture(params=FORMS, autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Queries]:
    """The form that every scout of a test asks by."""
    form = available(request.param)
    monkeypatch.setattr(Scout.__init__, "__defaults__", (form,))
    return form


class Rig:
    """A scout on a lab, and what it came back with."""

    def __init__(self, lab: Lab) -> None:
        config = config_on(lab)
        self.upstream = Upstream(config.dns, config.dns.servers)
        self.walker = Walker(config, self.upstream)
        lane = replace(self.walker.unknown, bucket=Bucket(Gcra(1e6, 1e6)), slots=Slots(SLOTS))
        self.walker.unknown = lane
        self.lane = lane
        self.found: dict[str, Finding | HandedOn] = {}
        self.given_way: list[int] = []
        """How many had been found when it was the others' turn."""
        giving_way = GivingWay()
        giving_way.to(lambda: self.given_way.append(len(self.found)))
        self.scout = Scout(self.walker, giving_way)

    def ask(self, host: str) -> bool:
        return self.scout.ask(host, partial(self.found.__setitem__, host))

    async def back(self, host: str) -> Any:
        await until(lambda: host in self.found)
        return self.found[host]

    async def walked(self, host: str) -> Finding:
        """Ask, and go on from where the scout handed on."""
        assert self.ask(host)
        found = await self.back(host)
        return found if isinstance(found, Finding) else await self.scout.go_on(host, found)


@asynccontextmanager
async def scouting(*faults: Fault, **lab_options: Any) -> AsyncIterator[tuple[Lab, Rig]]:
    async with open_lab([ZONE], unknown="nxdomain", **lab_options) as lab:
        lab.faults = list(faults)
        rig = Rig(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.scout.listen)
            nursery.start_soon(rig.scout.watch)
            yield lab, rig
            nursery.cancel_scope.cancel()
        rig.scout.close()


async def test_host_that_does_not_exist_is_found_without_a_walk_as_a_walk_would() -> None:
    async with scouting() as (lab, rig):
        assert rig.ask("madeup.test")
        found = await rig.back("madeup.test")
        walked = await rig.walker.walk("madeup.test", admitted_at=None)
        assert isinstance(found, Finding)
        steps = [replace(step, seconds=0.0) for step in (*found.steps, *walked.steps)]
        assert steps[0] == steps[1]
        assert replace(found, steps=()) == replace(walked, steps=())
        assert lab.queries == {("madeup.test", "NAPTR"): 2}
        assert rig.upstream.counters.outcomes == {"NXDOMAIN": 2}
        assert rig.upstream.counters.udp == 2
        assert rig.lane.slots.value == SLOTS


async def test_others_have_a_turn_before_each_three_replies_at_the_latest() -> None:
    async with scouting() as (_, rig):
        for number in range(SLOTS):
            assert rig.ask(f"madeup{number}.test")
        await until(lambda: len(rig.found) == SLOTS)
        assert rig.given_way[0] == 0
        assert max(map(operator.sub, [*rig.given_way[1:], SLOTS], rig.given_way)) <= 3


async def test_any_other_reply_is_handed_on_and_not_asked_for_again() -> None:
    async with scouting() as (lab, rig):
        found = await rig.walked("hosted.example")
        assert found.kind is VerdictKind.HOSTED
        assert lab.queries["hosted.example", "NAPTR"] == 1
        assert rig.lane.slots.value == SLOTS


@pytest.mark.parametrize(
    "fault",
    [
        Fault(effect=Effect.SERVFAIL, name="madeup.test"),
        Fault(effect=Effect.TRUNCATE, name="madeup.test"),
        Fault(delay=0.4, name="madeup.test"),
    ],
    ids=["servfail", "truncated", "slow"],
)
async def test_reply_that_fails_or_is_truncated_or_late_is_for_the_walk(fault: Fault) -> None:
    async with scouting(fault) as (_, rig):
        assert rig.ask("madeup.test")
        handed_on = await rig.back("madeup.test")
        assert isinstance(handed_on, HandedOn)
        found = await rig.scout.go_on("madeup.test", handed_on)
        failed = fault.effect is Effect.SERVFAIL
        assert found.kind is (VerdictKind.UNDETERMINED if failed else VerdictKind.NOT_HOSTED)
        assert rig.lane.slots.value == SLOTS


async def test_server_that_is_not_there_is_met_by_the_walk() -> None:
    async with scouting() as (_, rig):
        rig.upstream._servers = (Endpoint("127.0.0.1", 1),)
        found = await rig.walked("madeup.test")
        assert found.kind is VerdictKind.UNDETERMINED
        assert "refused" in found.reason.lower()


async def test_without_a_slot_nothing_is_asked() -> None:
    async with scouting(Fault(effect=Effect.DROP)) as (lab, rig):
        assert [rig.ask(f"h{number}.test") for number in range(SLOTS + 1)] == [True] * SLOTS + [False]
        assert rig.scout.under_way == SLOTS
        await until(lambda: len(rig.found) == SLOTS)  # each is handed on, with its slot free again
        assert rig.lane.slots.value == SLOTS
        assert rig.ask("again.test")
        for host in list(rig.found):
            found = rig.found[host]
            assert isinstance(found, HandedOn)
            found.under_way.sent.sock.close()
        assert lab.total <= SLOTS + 1


async def test_query_that_cannot_be_sent_is_left_to_the_walk_and_leaves_nothing_open() -> None:
    async with scouting() as (_, rig):
        rig.upstream._servers = (Endpoint("255.255.255.255", 53),)  # EACCES, unless SO_BROADCAST is set
        assert not rig.ask("madeup.test")
        assert rig.lane.slots.value == SLOTS
        assert rig.scout.under_way == 0
        assert rig.upstream.counters.udp == 0


async def test_name_that_fits_no_message_is_not_asked_for() -> None:
    async with scouting() as (_, rig):
        assert not rig.ask("a" * 64 + ".test")
        assert rig.lane.slots.value == SLOTS


async def test_stopped_scout_hands_on_what_is_under_way_and_asks_nothing_more() -> None:
    async with scouting(Fault(delay=0.15)) as (lab, rig):
        assert rig.ask("madeup.test")
        await lab.wait_for_queries(1)
        rig.scout.stop()
        handed_on = rig.found["madeup.test"]
        assert isinstance(handed_on, HandedOn)
        assert not rig.ask("other.test")
        found = await rig.scout.go_on("madeup.test", handed_on)
        assert found.kind is VerdictKind.NOT_HOSTED
        assert lab.queries == {("madeup.test", "NAPTR"): 1}


async def test_walk_that_goes_on_and_is_cancelled_leaves_no_socket_open() -> None:
    async with scouting(Fault(effect=Effect.DROP)) as (lab, rig):
        assert rig.ask("madeup.test")
        await lab.wait_for_queries(1)
        rig.scout.stop()
        handed_on = rig.found["madeup.test"]
        assert isinstance(handed_on, HandedOn)
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.scout.go_on("madeup.test", handed_on)
        assert handed_on.under_way.sent.sock.fileno() == -1


@pytest.mark.parametrize(
    "task", [lambda scout: scout.listen, lambda scout: scout.watch], ids=["listen", "watch"]
)
async def test_tasks_of_the_scout_end_when_cancelled(
    task: Callable[[Scout], Callable[[], Awaitable[None]]],
) -> None:
    async with open_lab([ZONE]) as lab:
        rig = Rig(lab)
        with trio.move_on_after(0.05) as scope:
            await task(rig.scout)()
        assert scope.cancelled_caught
        rig.scout.close()


def scouts(service: Service) -> bool:
    """Whether the scout of a service asks."""

    def landed(found: Finding | HandedOn) -> None:
        if isinstance(found, HandedOn):
            found.under_way.sent.sock.close()

    return service._asking.scout.ask("first.test", landed)


async def test_trusted_server_is_asked_by_walks_only_since_these_learn_what_it_proves() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        for trusted in (False, True):
            async with open_service(config_on(lab, dns={"trusted": trusted})) as service:
                assert scouts(service) is not trusted


async def test_scout_asks_nothing_once_its_server_is_trusted_and_again_once_it_is_not() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(lab)
        async with open_service(config) as service:
            for trusted in (True, False):
                service.reload(config_on(lab, dns={"trusted": trusted}))
                assert scouts(service) is not trusted
                assert (await service.lookup(f"{trusted}.test")).kind is VerdictKind.NOT_HOSTED


@pytest.mark.parametrize("fault", [Fault(delay=0.1), Fault(delay=0.4)], ids=["landed", "handed on"])
async def test_query_under_way_goes_on_as_it_began_when_the_scout_is_configured(fault: Fault) -> None:
    async with scouting(fault) as (lab, rig):
        assert rig.ask("madeup.test")
        await lab.wait_for_queries(1)
        other = Walker(config_on(lab), Upstream(config_on(lab).dns, rig.upstream._servers))
        free = other.unknown.slots.value
        rig.scout.configure(other)
        found = await rig.back("madeup.test")
        assert (rig.lane.slots.value, other.unknown.slots.value) == (SLOTS, free)
        if isinstance(found, HandedOn):
            assert found.walker is rig.walker
            found = await rig.scout.go_on("madeup.test", found)
        assert found.kind is VerdictKind.NOT_HOSTED
        assert (rig.upstream.counters.udp, other.upstream.counters.udp) == (1, 0)
        assert (rig.lane.slots.value, other.unknown.slots.value) == (SLOTS, free)


async def test_slots_are_all_free_again_after_limits_changed_beneath_the_scout() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.1)]
        async with open_service(config_on(lab)) as service, trio.open_nursery() as nursery:
            free = []
            for in_flight in (100, 50, 20):
                service.reload(config_on(lab, limits={"upstream_inflight": in_flight}))
                free.append((service._asking._walker.unknown.slots, in_flight * 8 // 10))
                for number in range(5):
                    nursery.start_soon(service.lookup, f"n{in_flight}-{number}.test{number}")
                await until(lambda: service._asking.scout.under_way >= 5)
            await until(lambda: not service._lookup.under_way)
            assert [(slots.value, most) for slots, most in free] == [(most, most) for _, most in free]


async def test_service_that_stops_answers_those_who_wait_for_the_scout() -> None:
    verdicts = []
    async with open_lab([ZONE], unknown="nxdomain") as lab, trio.open_nursery() as nursery:
        lab.faults = [Fault(delay=0.1)]
        async with open_service(config_on(lab)) as service:

            async def look() -> None:
                verdicts.append(await service.lookup("madeup.test"))

            nursery.start_soon(look)
            await lab.wait_for_queries(1)
        await until(lambda: len(verdicts) == 1)
    assert verdicts[0].kind is VerdictKind.NOT_HOSTED
