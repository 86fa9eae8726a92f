"""Lines of one kind in a minute, at the limit, at the instant, and over many kinds."""

import pytest

from fastvhost.log_limit import LineLimit


def test_lines_are_admitted_up_to_the_limit_and_no_further() -> None:
    limit: LineLimit[str] = LineLimit(3)
    assert [limit.admits("a", 0.1 * number) for number in range(5)] == [True, True, True, False, False]


def test_kinds_have_a_limit_each() -> None:
    limit: LineLimit[str] = LineLimit(1)
    assert [limit.admits(kind, 0.0) for kind in "abab"] == [True, True, False, False]


def test_minute_ends_at_its_instant_and_says_what_was_left_out_once() -> None:
    limit: LineLimit[str] = LineLimit(1)
    for _ in range(4):
        limit.admits("a", 10.0)
    assert list(limit.ended(69.9)) == []
    assert list(limit.ended(70.0)) == [("a", 3)]
    assert list(limit.ended(70.0)) == []
    assert limit.admits("a", 70.0)


def test_minute_in_which_nothing_was_left_out_ends_silently() -> None:
    limit: LineLimit[str] = LineLimit(2)
    limit.admits("a", 0.0)
    limit.admits("a", 0.0)
    assert list(limit.ended(60.0)) == []
    assert limit.admits("a", 60.0)


@pytest.mark.parametrize("later", [5.0, float("inf")])
def test_clock_that_was_set_back_and_the_end_end_every_minute(later: float) -> None:
    limit: LineLimit[str] = LineLimit(1)
    for _ in range(2):
        limit.admits("a", 10.0)
    assert list(limit.ended(later)) == [("a", 1)]


def test_kinds_over_the_bound_are_not_kept() -> None:
    limit: LineLimit[int] = LineLimit(1)
    assert all(limit.admits(kind, 0.0) for kind in range(256))
    assert [limit.admits(256, 0.0) for _ in range(3)] == [True] * 3
    assert not limit.admits(255, 0.0)
