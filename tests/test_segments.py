"""The queue of keys: first in, first out, and looked through while it changes."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.segments import Segments

MANY = [f"h{number}" for number in range(3_000)]


def test_keys_leave_in_the_order_in_which_they_came() -> None:
    queue = Segments()
    queue.extend(MANY)
    assert len(queue) == 3_000
    assert [queue.popleft() for _ in MANY] == MANY
    assert len(queue) == 0


@given(st.lists(st.one_of(st.just("pop"), st.integers(0, 1_500)), max_size=20))
@settings(deadline=None)
def test_queue_any_calls_is_as_a_deque(calls: list[str | int]) -> None:
    queue, expected = Segments(), deque[str]()
    for call in calls:
        if isinstance(call, int):
            queue.extend(MANY[:call])
            queue.append("last")
            expected.extend([*MANY[:call], "last"])
        else:
            for _ in range(min(700, len(expected))):
                assert queue.popleft() == expected.popleft()
        assert (list(queue), len(queue)) == (list(expected), len(expected))


def test_pieces_are_all_keys_in_order_and_each_is_short() -> None:
    queue = Segments()
    for key in MANY[:1_000]:
        queue.append(key)
    queue.extend(MANY[1_000:])
    pieces = list(queue.pieces())
    assert [key for piece in pieces for key in piece] == MANY
    assert max(map(len, pieces)) == 256


def test_pieces_of_a_queue_that_changes_leave_out_only_what_has_left_or_come_since() -> None:
    queue = Segments()
    queue.extend(MANY)
    pieces = queue.pieces()
    found = next(pieces)
    for number in range(1_500):
        queue.popleft()
        queue.append(f"new{number}")
    for piece in pieces:
        found += piece
    assert set(MANY[1_500:]) <= set(found)
    assert set(found) <= {*MANY[:256], *MANY[1_500:], *(f"new{number}" for number in range(1_500))}


def test_pieces_of_a_queue_that_is_cleared_meanwhile_end() -> None:
    queue = Segments()
    queue.extend(MANY)
    pieces = queue.pieces()
    next(pieces)
    queue.clear()
    assert len(queue) == 0
    assert {key for piece in pieces for key in piece} <= set(MANY)
