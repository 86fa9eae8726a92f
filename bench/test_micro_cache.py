"""Micro-benchmarks of the verdict cache, all of it full: pushing out an entry is part of the price."""

from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastvhost import config
from fastvhost.cache import VerdictCache
from fastvhost.model import Finding, VerdictKind

ENTRIES = 10_000
HOSTED = Finding(kind=VerdictKind.HOSTED, ttl=3600.0, reason="SRV leads to us")
NOT_HOSTED = Finding(kind=VerdictKind.NOT_HOSTED, ttl=300.0, reason="NXDOMAIN")
UNDETERMINED = Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason="time-out")


@pytest.fixture
def cache() -> VerdictCache:
    full = VerdictCache(config.Cache(hosted_entries=ENTRIES, unknown_entries=ENTRIES))
    for number in range(ENTRIES):
        full.settle(f"h{number}.example.com", HOSTED, 0.0)
        full.settle(f"u{number}.example.com", NOT_HOSTED, 0.0)
    return full


def test_get_hosted(benchmark: BenchmarkFixture, cache: VerdictCache) -> None:
    assert benchmark(cache.hosted, "h4711.example.com") is not None


def test_get_unknown(benchmark: BenchmarkFixture, cache: VerdictCache) -> None:
    assert benchmark(cache.unknown, "u4711.example.com", 1.0) is not None


def test_get_absent(benchmark: BenchmarkFixture, cache: VerdictCache) -> None:
    assert benchmark(cache.unknown, "absent.example.com", 1.0) is None


@pytest.mark.parametrize("finding", [HOSTED, NOT_HOSTED, UNDETERMINED], ids=lambda found: found.kind.name)
def test_settle_new_host(benchmark: BenchmarkFixture, cache: VerdictCache, finding: Finding) -> None:
    serial = count()
    benchmark(lambda: cache.settle(f"n{next(serial)}.example.com", finding, 1.0))
    assert cache.sizes() == (ENTRIES, ENTRIES)
