"""Token buckets: what GCRA lets through in any window, and that no key is forgotten or taken for another."""

from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.limits import TOKEN_LIFE, Bucket, Gcra, KeyedBuckets, capped

GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.01), st.floats(0.0, 3.0)), min_size=1, max_size=120)
START = st.sampled_from([0.0, 1.0, 12_345.678, 3e7])
ROUNDING = 1e-3
"""Tokens: a year of seconds in a float is exact to 4 ns."""


def most_in_a_second(instants: list[float]) -> int:
    """The most instants in any closed window of one second; it may be taken to start at one of them."""
    return max(bisect_right(instants, start + 1.0) - first for first, start in enumerate(instants))


def assert_within(gcra: Gcra, instants: list[float]) -> None:
    for first, start in enumerate(instants):
        for last in range(first, len(instants)):
            window = instants[last] - start
            assert last - first + 1 <= gcra.burst + gcra.rate * window + ROUNDING


@given(rate=st.floats(0.1, 1_000.0), burst=st.floats(1.0, 20.0), gaps=GAPS, start=START)
def test_gcra_any_window_stays_within_burst_and_rate(
    rate: float, burst: float, gaps: list[float], start: float
) -> None:
    buckets = KeyedBuckets(Gcra(rate, burst))
    taken = []
    for now in accumulate(gaps, initial=start):
        if buckets.conforms(b"key", now):
            buckets.take(b"key", now)
            taken.append(now)
    assert_within(Gcra(rate, burst), taken)


@given(rate=st.floats(0.1, 1_000.0), burst=st.floats(1.0, 20.0), gaps=GAPS, start=START)
def test_bucket_taken_ahead_of_time_any_window_stays_within_burst_and_rate(
    rate: float, burst: float, gaps: list[float], start: float
) -> None:
    bucket = Bucket(Gcra(rate, burst))
    due = [now + bucket.take(now) for now in accumulate(gaps, initial=start)]
    assert due == sorted(due)
    assert_within(Gcra(rate, burst), due)


@given(per_second=st.floats(0.01, 2_000.0), gaps=GAPS, start=START)
def test_capped_any_takes_no_second_passes_the_cap(
    per_second: float, gaps: list[float], start: float
) -> None:
    bucket = Bucket(capped(per_second))
    due = [now + bucket.take(now) for now in accumulate(gaps, initial=start)]
    assert most_in_a_second(due) <= max(1.0, per_second)


@pytest.mark.parametrize("per_second", [0.1, 0.5, 0.99, 1, 1.5, 1.99, 2, 2.5, 3, 10, 10.5, 999, 1000, 1001])
@pytest.mark.parametrize("idle", [0.0, 0.5, 7.0])
def test_capped_under_a_flood_no_second_passes_the_cap(per_second: float, idle: float) -> None:
    bucket = Bucket(capped(per_second))
    first = bucket.take(0.0)
    due = [first, *(idle + bucket.take(idle) for _ in range(int(3 * per_second) + 3))]
    assert most_in_a_second(due) <= max(1.0, per_second)


@pytest.mark.parametrize("per_second", [2, 3, 10, 1000])
def test_capped_after_rest_the_first_second_has_burst_and_rate(per_second: int) -> None:
    gcra = capped(per_second)
    bucket = Bucket(gcra)
    due = [bucket.take(0.0) for _ in range(2 * per_second)]
    assert most_in_a_second(due) == int(gcra.burst + gcra.rate)


@pytest.mark.parametrize("per_second", [10, 1000])
def test_capped_tokens_spent_late_do_not_pass_the_cap(per_second: int) -> None:
    """The worst that `TOKEN_LIFE` allows: what was due in it is spent together with what comes after."""
    bucket = Bucket(capped(per_second))
    due = [bucket.take(0.0) for _ in range(5 * per_second)]
    for start in due:
        spent = [max(token, start) for token in due if token >= start - TOKEN_LIFE]
        assert sum(token < start + 1.0 for token in spent) <= per_second


@pytest.mark.parametrize("per_second", [10, 1000])
def test_capped_under_a_long_flood_keeps_nearly_nine_tenths(per_second: int) -> None:
    bucket = Bucket(capped(per_second))
    due = [bucket.take(0.0) for _ in range(10 * per_second)]
    in_five_seconds = bisect_right(due, 5.0 + ROUNDING / per_second)
    assert in_five_seconds == int(5 * 0.9 * per_second / 1.02 + per_second / 10)


def test_bucket_burst_spent_waits_for_the_next_token() -> None:
    bucket = Bucket(Gcra(2.0, 3.0))
    assert [bucket.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_bucket_wait_takes_nothing() -> None:
    bucket = Bucket(Gcra(2.0, 1.0))
    assert [bucket.wait(0.0), bucket.wait(0.0), bucket.take(0.0), bucket.wait(0.0)] == [0.0, 0.0, 0.0, 0.5]


def test_bucket_at_the_instant_of_its_token_waits_no_more() -> None:
    bucket = Bucket(Gcra(2.0, 1.0))
    bucket.take(8.0)
    assert [bucket.wait(8.25), bucket.wait(8.5), bucket.wait(9.0)] == [0.25, 0.0, 0.0]


def test_bucket_after_long_rest_has_one_burst_only() -> None:
    bucket = Bucket(Gcra(1.0, 2.0))
    bucket.take(0.0)
    assert [bucket.take(1e6) for _ in range(3)] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("part", "share"), [(0.5, Gcra(50.0, 5.0)), (0.01, Gcra(1.0, 1.0)), (1.0, Gcra(100.0, 10.0))]
)
def test_gcra_share_has_its_part_of_rate_and_burst_and_one_token_at_least(part: float, share: Gcra) -> None:
    assert Gcra(100.0, 10.0).share(part) == share


def test_keyed_buckets_one_key_spent_leaves_others_alone() -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0))
    buckets.take(b"a", 0.0)
    assert not buckets.conforms(b"a", 0.0)
    assert buckets.conforms(b"b", 0.0)


def test_keyed_buckets_under_a_flood_of_keys_none_that_is_spent_looks_full_again() -> None:
    """More keys than cells, so that each cell is written by many: it only ever looks fuller than it is."""
    buckets = KeyedBuckets(Gcra(1.0, 3.0))
    heavy = [number.to_bytes(4) for number in range(100)]
    for key in heavy * 3:
        buckets.take(key, 0.0)
    for number in range(100, 200_000):
        buckets.take(number.to_bytes(4), 0.0)
    assert not any(buckets.conforms(key, 0.99) for key in heavy)


def test_keyed_buckets_while_a_thousand_keys_are_spent_others_are_granted_theirs() -> None:
    """One key in (65,536 / 1,000)**4, some 18 million, is refused in error."""
    buckets = KeyedBuckets(Gcra(1.0, 1.0))
    for number in range(1_000):
        buckets.take(number.to_bytes(4), 0.0)
    granted = sum(buckets.conforms(number.to_bytes(4), 0.0) for number in range(1_000, 11_000))
    assert granted >= 9_999


def test_keyed_buckets_asking_takes_nothing() -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0))
    assert [buckets.conforms(b"a", 0.0) for _ in range(5)] == [True] * 5


def test_keyed_buckets_of_two_tables_choose_cells_of_their_own() -> None:
    """Whoever learned which keys share cells in one process has learned nothing of the next."""
    keys = [number.to_bytes(4) for number in range(64)]
    one, other = KeyedBuckets(Gcra(1.0, 1.0)), KeyedBuckets(Gcra(1.0, 1.0))
    assert [one._cells(key) for key in keys] != [other._cells(key) for key in keys]
