"""Turns: how many at a time, who waits, and that nothing is left of them."""

import pytest
import trio
from trio.testing import MockClock

from fastvhost.resolve.turns import Turns


@pytest.mark.parametrize(("tasks", "seconds"), [(1, 1.0), (2, 1.0), (3, 2.0), (7, 4.0)])
async def test_turns_of_one_key_are_taken_so_many_at_a_time(
    tasks: int, seconds: float, autojump_clock: MockClock
) -> None:
    turns = Turns(2)

    async def work(key: str) -> None:
        async with turns.turn(key):
            await trio.sleep(1.0)

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(work, "a")
        nursery.start_soon(work, "b")
    assert trio.current_time() == seconds
    assert len(turns) == 0


async def test_turn_that_is_cancelled_while_waiting_or_held_leaves_nothing(autojump_clock: MockClock) -> None:
    turns = Turns(1)

    async def work(seconds: float) -> None:
        with trio.move_on_after(seconds):
            async with turns.turn("a"):
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for seconds in (3.0, 1.0, 2.0, 5.0):
            nursery.start_soon(work, seconds)
    assert len(turns) == 0
    async with turns.turn("a"):
        assert len(turns) == 1
