"""Sources: who is one, who is established, and that no number of others takes that away."""

from ipaddress import IPv4Address, ip_address

import pytest

from fastvhost.config import Limits
from fastvhost.sources import Sources

A = ip_address("192.0.2.1")
B = ip_address("192.0.2.2")


def is_established(sources: Sources, number: int) -> bool:
    return sources.established(sources.key(IPv4Address(number)))


def test_established_only_after_it_was_told_hosted() -> None:
    sources = Sources(Limits())
    assert not sources.established(sources.key(A))
    sources.told_hosted(A, 0.0)
    assert sources.established(sources.key(A))
    assert not sources.established(sources.key(B))


def test_established_counts_for_all_addresses_of_a_prefix() -> None:
    sources = Sources(Limits(source_prefix=(24, 64)))
    sources.told_hosted(A, 0.0)
    assert sources.established(sources.key(B))
    assert not sources.established(sources.key(ip_address("192.0.3.1")))


def test_established_new_ones_at_one_instant_are_no_more_than_the_burst() -> None:
    sources = Sources(Limits())
    for number in range(20_000):
        sources.told_hosted(IPv4Address(number), 0.0)
    assert len(sources) == 16_384
    for number in range(30_000, 30_100):
        sources.told_hosted(IPv4Address(number), 1.0)
    assert len(sources) == 16_384 + 10


def test_established_80_minutes_ago_is_not_pushed_out_by_any_flood() -> None:
    """A source and then, for 80 minutes and one more, 20 new ones a second that are all told HOSTED."""
    sources = Sources(Limits())
    sources.told_hosted(A, 0.0)
    for number in range(20_000):
        sources.told_hosted(IPv4Address(number), 0.0)
    for tick in range(80 * 60 * 20):
        sources.told_hosted(IPv4Address(1_000_000 + tick), tick / 20)
    assert sources.established(sources.key(A))
    assert len(sources) <= 65_536
    for tick in range(80 * 60 * 20, 90 * 60 * 20):
        sources.told_hosted(IPv4Address(1_000_000 + tick), tick / 20)
    assert not sources.established(sources.key(A))
    assert len(sources) == 65_536


def test_established_told_again_moves_to_the_end_of_those_to_be_pushed_out() -> None:
    sources = Sources(Limits())
    for number in range(65_537):
        if number == 65_536:
            sources.told_hosted(IPv4Address(0), number)
        sources.told_hosted(IPv4Address(number), number)
    assert [is_established(sources, number) for number in (0, 1, 2, 65_536)] == [True, False, True, True]


def test_charge_query_off_charges_nothing() -> None:
    sources = Sources(Limits())
    assert all(sources.charge_query(A, 0.0) for _ in range(10_000))


def test_charge_query_burst_is_twice_the_rate_and_comes_back_at_the_rate() -> None:
    sources = Sources(Limits(source_queries=2.0))
    assert [sources.charge_query(A, 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert [sources.charge_query(A, now) for now in (0.25, 0.5, 0.5)] == [False, True, False]
    assert sources.charge_query(B, 0.0)


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.1", "::c000:201"), ("0.0.0.0", "::"), ("192.0.2.1", "192.0.2.2")]
)
def test_key_of_different_sources_differs(one: str, other: str) -> None:
    sources = Sources(Limits(source_prefix=(32, 128)))
    assert sources.key(ip_address(one)) != sources.key(ip_address(other))
