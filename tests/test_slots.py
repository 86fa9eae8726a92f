"""Slots: who waits, who gives way, and that every slot comes back."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.resolve.slots import Slots


async def use(slots: Slots, seconds: float, ended: list[tuple[float, bool]], *, sent: bool = True) -> None:
    await slots.acquire()
    with slots.hold() as slot:
        if sent:
            slot.note_sent()
        await trio.sleep(seconds)
    ended.append((trio.current_time(), slot.gave_way))


async def test_slow_query_that_nobody_waits_for_takes_its_time(autojump_clock: MockClock) -> None:
    slots, ended = Slots(1), list[tuple[float, bool]]()
    await use(slots, 100.0, ended)
    assert ended == [(100.0, False)]
    assert slots.value == 1


async def test_slow_query_gives_way_once_it_is_slow(autojump_clock: MockClock) -> None:
    slots, slow, quick = Slots(1), list[tuple[float, bool]](), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, slots, 100.0, slow)
        await wait_all_tasks_blocked()
        nursery.start_soon(use, slots, 0.05, quick)
    assert slow == [(pytest.approx(0.2), True)]
    assert quick == [(pytest.approx(0.25), False)]
    assert slots.value == 1


async def test_quick_queries_are_never_ended_for_others(autojump_clock: MockClock) -> None:
    slots, ended = Slots(2), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(use, slots, 0.15, ended)
    assert not any(gave_way for _, gave_way in ended)
    assert slots.value == 2


async def test_each_that_waits_costs_one_slow_query_the_oldest_first(autojump_clock: MockClock) -> None:
    slots, slow, quick = Slots(5), list[tuple[float, bool]](), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(use, slots, 100.0, slow)
            await trio.sleep(0.01)
        await trio.sleep(10)
        for _ in range(2):
            nursery.start_soon(use, slots, 0.05, quick)
        await trio.sleep(1)
        assert len(quick) == 2
        assert [gave_way for _, gave_way in slow] == [True, True]
        nursery.cancel_scope.cancel()
    assert slots.value == 5


async def test_query_that_waits_for_its_budget_is_not_slow(autojump_clock: MockClock) -> None:
    slots, waiting, other = Slots(1), list[tuple[float, bool]](), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: use(slots, 3.0, waiting, sent=False))
        await wait_all_tasks_blocked()
        nursery.start_soon(use, slots, 0.05, other)
    assert waiting == [(3.0, False)]
    assert len(other) == 1


async def test_thousand_silent_queries_leave_room_for_a_quick_one(autojump_clock: MockClock) -> None:
    """At 700 a second, with the 204 slots that unknown hosts have by default."""
    slots, quick = Slots(204), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        for number in range(1_000):
            nursery.start_soon(use, slots, 8.0, [])
            if number % 100 == 99:
                nursery.start_soon(use, slots, 0.05, quick)
            await trio.sleep(1 / 700)
        await trio.sleep(0.5)
        assert len(quick) == 10
        assert not any(gave_way for _, gave_way in quick)
        nursery.cancel_scope.cancel()
    assert slots.value == 204


async def test_cancelled_while_it_waits_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    slots = Slots(1)
    await slots.acquire()
    with trio.move_on_after(5), slots.hold():
        with trio.move_on_after(1) as scope:
            await slots.acquire()
        assert scope.cancelled_caught
        assert slots.value == 0
    assert slots.value == 1


async def test_query_whose_slot_is_needed_no_more_goes_on(autojump_clock: MockClock) -> None:
    """Another slot came free, or who waited has left."""
    slots, ended = Slots(2), list[tuple[float, bool]]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, slots, 5.0, ended)
        await trio.sleep(0.01)
        nursery.start_soon(use, slots, 0.05, [])
        await trio.sleep(0.01)
        nursery.start_soon(use, slots, 0.05, [])
        await trio.sleep(0.1)
        nursery.start_soon(use, slots, 4.0, [])
        await trio.sleep(0.01)
        with trio.move_on_after(0.05):
            await slots.acquire()
    assert ended == [(5.0, False)]
    assert slots.value == 2


async def test_thousands_that_wait_are_served_in_the_order_of_asking(autojump_clock: MockClock) -> None:
    slots, order = Slots(10), list[int]()

    async def wait(number: int) -> None:
        await slots.acquire()
        with slots.hold() as slot:
            slot.note_sent()
            order.append(number)
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        for number in range(3_000):
            nursery.start_soon(wait, number)
            await trio.lowlevel.checkpoint()
    # Ten at a time: of those that come free at one instant Trio shuffles the order.
    rounds = [number // 10 for number in order]
    assert rounds == sorted(rounds)
    assert (len(order), slots.value) == (3_000, 10)
