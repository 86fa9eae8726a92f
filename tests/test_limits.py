"""Budgets: what GCRA lets through in any window, and what an admission charges and refuses."""

from bisect import bisect_right
from ipaddress import ip_address
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.config import Limits
from fastvhost.limits import TOKEN_LIFE, Bucket, Budget, Budgets, Gcra, KeyedBuckets, capped

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
        if buckets.conforms("key", now):
            buckets.take("key", now)
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


def test_keyed_buckets_one_key_spent_leaves_others_alone() -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0))
    buckets.take("a", 0.0)
    assert not buckets.conforms("a", 0.0)
    assert buckets.conforms("b", 0.0)


@pytest.mark.parametrize(("keys", "held"), [(2, 2), (3, 3), (4, 3), (1_000, 3)])
def test_keyed_buckets_more_keys_than_entries_hold_the_bound(keys: int, held: int) -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0), entries=3)
    for key in range(keys):
        buckets.take(key, 0.0)
    assert len(buckets) == held


def test_keyed_buckets_at_the_bound_forget_the_key_used_longest_ago() -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0), entries=2)
    buckets.take("a", 0.0)
    buckets.take("b", 0.0)
    assert not buckets.conforms("a", 0.0)  # a refused try is a use: who hammers is not forgotten
    buckets.take("c", 0.0)
    assert [buckets.conforms(key, 0.0) for key in "abc"] == [False, True, False]


def test_keyed_buckets_asking_about_a_new_key_holds_nothing() -> None:
    buckets = KeyedBuckets(Gcra(1.0, 1.0))
    assert buckets.conforms("a", 0.0)
    assert len(buckets) == 0


def last_two_labels(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def budgets(*, upstream: Bucket | None = None, **limits: object) -> Budgets:
    plenty: dict[str, object] = {"source_rate": 1e6, "zone_rate": 1e6}
    return Budgets(
        Limits(**plenty | limits),  # type: ignore[arg-type]
        upstream=Bucket(Gcra(1e6, 1e6)) if upstream is None else upstream,
        registrable_domain=last_two_labels,
    )


A = ip_address("192.0.2.1")
B = ip_address("192.0.2.2")


def test_admit_source_burst_is_twice_the_rate_and_comes_back_at_the_rate() -> None:
    admit = budgets(source_rate=2.0).admit
    spent = [admit(f"{number}.example", A, 0.0) for number in range(5)]
    assert spent == [None, None, None, None, Budget.SOURCE]
    assert [admit("x.example", A, now) for now in (0.25, 0.5, 0.5)] == [Budget.SOURCE, None, Budget.SOURCE]


def test_admit_one_source_spent_leaves_others_alone() -> None:
    admit = budgets(source_rate=1.0).admit
    assert [admit("x.example", A, 0.0) for _ in range(3)] == [None, None, Budget.SOURCE]
    assert admit("x.example", B, 0.0) is None


def test_admit_without_source_spends_no_source_budget() -> None:
    admit = budgets(source_rate=1.0).admit
    assert {admit(f"h{number}.example", None, 0.0) for number in range(1_000)} == {None}


def test_admit_zone_burst_is_shared_by_all_below_one_registrable_domain() -> None:
    admit = budgets(zone_rate=2.0).admit
    spent = [admit(f"h{number}.example.com", None, 0.0) for number in range(5)]
    assert spent == [None, None, None, None, Budget.ZONE]
    assert admit("h.example.net", None, 0.0) is None
    assert [admit("h.example.com", None, now) for now in (0.25, 0.5, 0.5)] == [Budget.ZONE, None, Budget.ZONE]


def test_admit_upstream_spent_refuses_until_the_instant_of_its_next_token() -> None:
    admit = budgets(upstream=Bucket(Gcra(2.0, 1.0))).admit
    spent = [admit("a.example", A, now) for now in (0.0, 0.0, 0.25, 0.5, 0.5)]
    assert spent == [None, Budget.UPSTREAM, Budget.UPSTREAM, None, Budget.UPSTREAM]


def test_admit_takes_one_token_of_the_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 2.0))
    assert budgets(upstream=upstream).admit("a.example", A, 0.0) is None
    assert [upstream.take(0.0), upstream.take(0.0)] == [0.0, 1.0]


def test_admit_everything_spent_names_source_then_zone_then_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 2.0))
    admit = budgets(source_rate=1.0, zone_rate=1.0, upstream=upstream).admit
    assert [admit("a.example.com", A, 0.0) for _ in range(2)] == [None, None]
    assert admit("a.example.com", A, 0.0) is Budget.SOURCE
    assert admit("a.example.com", B, 0.0) is Budget.ZONE
    assert admit("a.example.net", B, 0.0) is Budget.UPSTREAM


def test_admit_refused_by_source_charges_neither_zone_nor_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 4.0))
    admit = budgets(source_rate=1.0, zone_rate=2.0, upstream=upstream).admit
    for _ in range(10):
        admit("a.example.com", A, 0.0)
    assert [admit("a.example.com", B, 0.0) for _ in range(2)] == [None, None]
    assert upstream.wait(0.0) == 1.0


def test_admit_refused_by_zone_charges_neither_source_nor_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 4.0))
    admit = budgets(source_rate=2.0, zone_rate=1.0, upstream=upstream).admit
    for _ in range(10):
        admit("a.example.com", A, 0.0)
    assert [admit("a.example.net", A, 0.0) for _ in range(2)] == [None, None]
    assert upstream.wait(0.0) == 1.0


def test_admit_refused_by_upstream_charges_neither_source_nor_zone() -> None:
    upstream = Bucket(Gcra(1.0, 1.0))
    admit = budgets(source_rate=1.0, zone_rate=1.0, upstream=upstream).admit
    upstream.take(0.0)
    assert {admit("a.example.com", A, 0.0) for _ in range(10)} == {Budget.UPSTREAM}
    # Both bursts are whole when the upstream has tokens again.
    assert [admit("a.example.com", A, now) for now in (1.0, 2.0, 2.0)] == [None, None, Budget.UPSTREAM]


@pytest.mark.parametrize(
    ("prefix", "one", "other", "same"),
    [
        ((32, 64), "192.0.2.1", "192.0.2.1", True),
        ((32, 64), "192.0.2.0", "192.0.2.1", False),
        ((24, 64), "192.0.2.0", "192.0.2.255", True),
        ((24, 64), "192.0.2.255", "192.0.3.0", False),
        ((0, 64), "0.0.0.0", "255.255.255.255", True),
        ((32, 64), "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", True),
        ((32, 64), "2001:db8::", "2001:db8:0:1::", False),
        ((32, 63), "2001:db8::", "2001:db8:0:1::", True),
        ((32, 128), "2001:db8::1", "2001:db8::2", False),
        ((0, 0), "::1", "ffff::", True),
        ((0, 0), "::1", "192.0.2.1", False),
    ],
)
def test_admit_sources_within_one_prefix_share_a_budget(
    prefix: tuple[int, int], one: str, other: str, same: bool
) -> None:
    admit = budgets(source_rate=1.0, source_prefix=prefix).admit
    assert [admit("a.example", ip_address(one), 0.0) for _ in range(2)] == [None, None]
    assert admit("a.example", ip_address(other), 0.0) is (Budget.SOURCE if same else None)
