"""Budgets: what an admission charges and refuses, and who goes before whom."""

from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from fastvhost.budgets import Budget, Budgets
from fastvhost.config import Limits
from fastvhost.host import Address
from fastvhost.limits import Bucket, Gcra


def last_two_labels(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def budgets(*, upstream: Bucket | None = None, **limits: object) -> Budgets:
    plenty: dict[str, object] = {"source_rate": 1e6, "zone_rate": 1e6}
    return Budgets(
        Limits(**plenty | limits),  # type: ignore[arg-type]
        upstream=Bucket(Gcra(1e6, 1e6)) if upstream is None else upstream,
        registrable_domain=last_two_labels,
    )


def admission(**keywords: Any) -> Callable[[str, Address | None, float], Budget | None]:
    """`admit` of such budgets, which says only which one is spent: None for a walk that may start."""
    admit = budgets(**keywords).admit

    def spent(host: str, source: Address | None, now: float) -> Budget | None:
        admitted = admit(host, source, now)
        return admitted if isinstance(admitted, Budget) else None

    return spent


A = ip_address("192.0.2.1")
B = ip_address("192.0.2.2")


def test_admit_source_burst_is_twice_the_rate_and_comes_back_at_the_rate() -> None:
    admit = admission(source_rate=2.0)
    spent = [admit(f"{number}.example", A, 0.0) for number in range(5)]
    assert spent == [None, None, None, None, Budget.SOURCE]
    assert [admit("x.example", A, now) for now in (0.25, 0.5, 0.5)] == [Budget.SOURCE, None, Budget.SOURCE]


def test_admit_one_source_spent_leaves_others_alone() -> None:
    admit = admission(source_rate=1.0)
    assert [admit("x.example", A, 0.0) for _ in range(3)] == [None, None, Budget.SOURCE]
    assert admit("x.example", B, 0.0) is None


def test_admit_without_source_spends_no_source_budget() -> None:
    admit = admission(source_rate=1.0)
    assert {admit(f"h{number}.example", None, 0.0) for number in range(1_000)} == {None}


def test_admit_zone_burst_is_shared_by_all_below_one_registrable_domain() -> None:
    admit = admission(zone_rate=2.0)
    spent = [admit(f"h{number}.example.com", None, 0.0) for number in range(5)]
    assert spent == [None, None, None, None, Budget.ZONE]
    assert admit("h.example.net", None, 0.0) is None
    assert [admit("h.example.com", None, now) for now in (0.25, 0.5, 0.5)] == [Budget.ZONE, None, Budget.ZONE]


def test_admit_upstream_spent_refuses_until_the_instant_of_its_next_token() -> None:
    admit = admission(upstream=Bucket(Gcra(2.0, 1.0)))
    spent = [admit("a.example", A, now) for now in (0.0, 0.0, 0.25, 0.5, 0.5)]
    assert spent == [None, Budget.UPSTREAM, Budget.UPSTREAM, None, Budget.UPSTREAM]


def test_admit_takes_one_token_of_the_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 2.0))
    assert budgets(upstream=upstream).admit("a.example", A, 0.0) == 0.0
    assert [upstream.take(0.0), upstream.take(0.0)] == [0.0, 1.0]


def test_admit_everything_spent_names_source_then_zone_then_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 2.0))
    admit = admission(source_rate=1.0, zone_rate=1.0, upstream=upstream)
    assert [admit("a.example.com", A, 0.0) for _ in range(2)] == [None, None]
    assert admit("a.example.com", A, 0.0) is Budget.SOURCE
    assert admit("a.example.com", B, 0.0) is Budget.ZONE
    assert admit("a.example.net", B, 0.0) is Budget.UPSTREAM


def test_admit_refused_by_source_charges_neither_zone_nor_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 4.0))
    admit = admission(source_rate=1.0, zone_rate=2.0, upstream=upstream)
    for _ in range(10):
        admit("a.example.com", A, 0.0)
    assert [admit("a.example.com", B, 0.0) for _ in range(2)] == [None, None]
    assert upstream.wait(0.0) == 1.0


def test_admit_refused_by_zone_charges_neither_source_nor_upstream() -> None:
    upstream = Bucket(Gcra(1.0, 4.0))
    admit = admission(source_rate=2.0, zone_rate=1.0, upstream=upstream)
    for _ in range(10):
        admit("a.example.com", A, 0.0)
    assert [admit("a.example.net", A, 0.0) for _ in range(2)] == [None, None]
    assert upstream.wait(0.0) == 1.0


def test_admit_refused_by_upstream_charges_neither_source_nor_zone() -> None:
    upstream = Bucket(Gcra(1.0, 1.0))
    admit = admission(source_rate=1.0, zone_rate=1.0, upstream=upstream)
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
    admit = admission(source_rate=1.0, source_prefix=prefix)
    assert [admit("a.example", ip_address(one), 0.0) for _ in range(2)] == [None, None]
    assert admit("a.example", ip_address(other), 0.0) is (Budget.SOURCE if same else None)


def flood(budget: Budgets, *, now: float, walks: int, first: int = 0) -> int:
    """Ask for `walks` hosts, each in a zone and from a source of its own; how many walks may start."""
    asked = range(first, first + walks)
    return sum(
        not isinstance(budget.admit(f"h.zone{number}", IPv4Address(number), now), Budget) for number in asked
    )


def test_admit_established_source_walks_at_once_when_nobody_else_does() -> None:
    ours = budgets(upstream=Bucket(Gcra(8.0, 4.0)))
    ours.sources.told_hosted(A, 0.0)
    assert [ours.admit("a.example", A, 0.0) for _ in range(4)] == [0.0] * 4


def test_admit_established_source_takes_its_token_ahead_of_time_where_a_stranger_is_refused() -> None:
    ours = budgets(upstream=Bucket(Gcra(8.0, 4.0)))
    ours.sources.told_hosted(A, 0.0)
    assert flood(ours, now=0.0, walks=100) == 4
    assert ours.admit("a.example", B, 0.0) is Budget.UPSTREAM
    assert ours.admit("a.example", None, 0.0) is Budget.UPSTREAM
    assert [ours.admit("a.example", A, 0.0) for _ in range(2)] == [0.125, 0.25]
    # Half of the burst of four was kept, and that was it.
    assert ours.admit("a.example", A, 0.0) is Budget.UPSTREAM


def test_admit_under_a_flood_of_new_sources_established_ones_have_half_and_the_cap_holds() -> None:
    """Ten seconds, in each thousandth of them a new source and an established one; 100 queries a second."""
    rate, burst, seconds = 100.0, 10.0, 10
    ours = budgets(upstream=Bucket(Gcra(rate, burst)))
    for number in range(50):
        ours.sources.told_hosted(IPv4Address(number), 0.0)
    established = strangers = 0
    for tick in range(1_000 * seconds):
        now = tick / 1_000
        strangers += flood(ours, now=now, walks=1, first=1_000_000 + tick)
        established += flood(ours, now=now, walks=1, first=tick % 50)
    half = rate * seconds / 2
    assert half <= established <= half + burst + 1
    assert half - burst <= strangers
    assert established + strangers <= rate * seconds + burst + burst / 2 + 1


def test_admit_established_source_that_spends_too_much_is_limited_as_any_other() -> None:
    ours = budgets(source_rate=1.0)
    ours.sources.told_hosted(A, 0.0)
    assert [ours.admit("a.example", A, 0.0) for _ in range(3)] == [0.0, 0.0, Budget.SOURCE]


def test_admit_while_a_hundred_thousand_sources_thrash_one_that_spends_too_much_stays_limited() -> None:
    ours = budgets(source_rate=1.0)
    assert [ours.admit("a.example", A, 0.0) for _ in range(3)] == [0.0, 0.0, Budget.SOURCE]
    assert flood(ours, now=0.5, walks=100_000) > 99_000
    assert ours.admit("a.example", A, 0.5) is Budget.SOURCE
