"""The scout: what it ends by itself, what it hands on, and that nothing of it is left behind."""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.limits import Bucket, Gcra
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.account import UnderWay
from fastvhost.resolve.scout import Scout
from fastvhost.resolve.slots import Slots
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker
from fastvhost.service import open_service
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, Lab, open_lab

SLOTS = 4


class Rig:
    """A scout on a lab, and what it came back with."""

    def __init__(self, lab: Lab) -> None:
        config = config_on(lab)
        self.upstream = Upstream(config.dns, config.dns.servers)
        self.walker = Walker(config, self.upstream)
        lane = replace(self.walker.unknown, bucket=Bucket(Gcra(1e6, 1e6)), slots=Slots(SLOTS))
        self.walker.unknown = lane
        self.lane = lane
        self.scout = Scout(self.walker)
        self.found: dict[str, Finding | UnderWay] = {}

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
        under_way = await rig.back("madeup.test")
        assert isinstance(under_way, UnderWay)
        found = await rig.scout.go_on("madeup.test", under_way)
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
            assert isinstance(found, UnderWay)
            found.sent.sock.close()
        assert lab.total <= SLOTS + 1


class FullEpoll:
    """One that takes no more (epoll_ctl(2), ENOSPC)."""

    def register(self, *_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")


async def test_query_that_cannot_be_watched_is_left_to_the_walk_and_leaves_nothing_open() -> None:
    async with scouting() as (_, rig):
        epoll, rig.scout._epoll = rig.scout._epoll, FullEpoll()  # type: ignore[assignment]
        assert not rig.ask("madeup.test")
        rig.scout._epoll = epoll
        assert rig.lane.slots.value == SLOTS
        assert rig.scout.under_way == 0


async def test_name_that_fits_no_message_is_not_asked_for() -> None:
    async with scouting() as (_, rig):
        assert not rig.ask("a" * 64 + ".test")
        assert rig.lane.slots.value == SLOTS


async def test_stopped_scout_hands_on_what_is_under_way_and_asks_nothing_more() -> None:
    async with scouting(Fault(delay=0.15)) as (lab, rig):
        assert rig.ask("madeup.test")
        await lab.wait_for_queries(1)
        rig.scout.stop()
        under_way = rig.found["madeup.test"]
        assert isinstance(under_way, UnderWay)
        assert not rig.ask("other.test")
        found = await rig.scout.go_on("madeup.test", under_way)
        assert found.kind is VerdictKind.NOT_HOSTED
        assert lab.queries == {("madeup.test", "NAPTR"): 1}


async def test_walk_that_goes_on_and_is_cancelled_leaves_no_socket_open() -> None:
    async with scouting(Fault(effect=Effect.DROP)) as (lab, rig):
        assert rig.ask("madeup.test")
        await lab.wait_for_queries(1)
        rig.scout.stop()
        under_way = rig.found["madeup.test"]
        assert isinstance(under_way, UnderWay)
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.scout.go_on("madeup.test", under_way)
        assert under_way.sent.sock.fileno() == -1


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


async def test_trusted_server_is_asked_by_walks_only_since_these_learn_what_it_proves() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        for trusted in (False, True):
            async with open_service(config_on(lab, dns={"trusted": trusted})) as service:
                assert (service._lookup._flying._scout is None) is trusted
                assert (await service.lookup("madeup.test")).kind is VerdictKind.NOT_HOSTED


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
