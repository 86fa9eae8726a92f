"""Micro-benchmarks of the budgets. A second passes between two calls, so that every token is there."""

from collections.abc import Callable
from ipaddress import ip_address
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastvhost.budgets import Budget, Budgets
from fastvhost.config import Limits
from fastvhost.limits import Bucket, Gcra, KeyedBuckets, capped
from fastvhost.zone_cut import registrable_domain_reader

HOST = "sip.customer-4711.example.co.uk"
SOURCE = ip_address("192.0.2.17")
KEY = SOURCE.packed


@pytest.fixture(scope="module")
def registrable_domain() -> Callable[[str], str]:
    return registrable_domain_reader()


def budgets(registrable_domain: Callable[[str], str]) -> Budgets:
    limits = Limits()
    upstream = Bucket(capped(limits.upstream_qps))
    return Budgets(limits, upstream=upstream, registrable_domain=registrable_domain)


def test_bucket_take(benchmark: BenchmarkFixture) -> None:
    bucket, clock = Bucket(Gcra(20.0, 40.0)), count()
    assert benchmark(lambda: bucket.take(next(clock))) == 0.0


def test_keyed_buckets_take_of_one_key(benchmark: BenchmarkFixture) -> None:
    buckets, clock = KeyedBuckets(Gcra(20.0, 40.0)), count()

    def take() -> None:
        now = next(clock)
        assert buckets.conforms(KEY, now)
        buckets.take(KEY, now)

    benchmark(take)


def test_keyed_buckets_take_of_ever_new_keys(benchmark: BenchmarkFixture) -> None:
    buckets, clock = KeyedBuckets(Gcra(20.0, 40.0)), count()

    def take() -> None:
        now = next(clock)
        key = now.to_bytes(4)
        assert buckets.conforms(key, now)
        buckets.take(key, now)

    benchmark(take)


def test_registrable_domain(benchmark: BenchmarkFixture, registrable_domain: Callable[[str], str]) -> None:
    assert benchmark(registrable_domain, HOST) == "example.co.uk"


def test_admit(benchmark: BenchmarkFixture, registrable_domain: Callable[[str], str]) -> None:
    spare, clock = budgets(registrable_domain), count()
    assert not isinstance(benchmark(lambda: spare.admit(HOST, SOURCE, next(clock))), Budget)


def test_admit_when_the_source_has_spent_its_own(
    benchmark: BenchmarkFixture, registrable_domain: Callable[[str], str]
) -> None:
    spent = budgets(registrable_domain)
    while not isinstance(spent.admit(HOST, SOURCE, 0.0), Budget):
        pass
    assert benchmark(spent.admit, HOST, SOURCE, 0.0) is Budget.SOURCE
