"""Heavy hitters: who is found among how many others, and what is forgotten when."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fastvhost.heavy_hitters import HeavyHitters


def test_keys_within_the_bound_are_counted_exactly() -> None:
    hitters: HeavyHitters[str] = HeavyHitters(3, half_life=60.0)
    for key in "abcabaa":
        hitters.count(key, 0.0)
    assert hitters.top(2, 0.0) == [("a", 4), ("b", 2)]
    assert hitters.missed == 0


def test_heavy_key_is_found_among_a_flood_of_others_in_bounded_memory() -> None:
    hitters: HeavyHitters[int] = HeavyHitters(64, half_life=60.0)
    chance = random.Random(1)
    for number in range(50_000):
        hitters.count(-1 if chance.random() < 0.1 else number, 0.0)
        assert len(hitters) <= 64
    ((key, count),) = hitters.top(1, 0.0)
    assert key == -1
    assert 5_000 - 50_000 * 2 / 64 - 300 < count < 5_300


@given(st.lists(st.integers(0, 20), max_size=300))
def test_counts_are_never_too_high_and_too_low_by_missed_at_most(keys: list[int]) -> None:
    hitters: HeavyHitters[int] = HeavyHitters(5, half_life=60.0)
    for key in keys:
        hitters.count(key, 0.0)
    found = dict(hitters.top(99, 0.0))
    assert hitters.missed <= 2 * len(keys) / 5
    for key, true in Counter(keys).items():
        assert found.get(key, 0) <= true <= found.get(key, 0) + hitters.missed


def test_count_is_halved_at_each_half_life_and_forgotten_at_last() -> None:
    hitters: HeavyHitters[str] = HeavyHitters(8, half_life=60.0)
    for _ in range(8):
        hitters.count("a", 100.0)
    assert hitters.top(1, 159.9) == [("a", 8)]
    assert hitters.top(1, 160.0) == [("a", 4)]
    assert hitters.top(1, 219.9) == [("a", 4)]
    assert hitters.top(1, 280.0) == [("a", 1)]
    assert hitters.top(1, 1e12) == []
    assert len(hitters) == 0
