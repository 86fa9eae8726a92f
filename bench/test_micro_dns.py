"""Micro-benchmarks of what each DNS query costs beside its socket: reading it, and from octets to octets."""

from math import inf

import dns.message
import pytest
import trio
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_micro_lookup import CONFIG, FINDINGS, no_walk
from fastvhost.budgets import Budgets
from fastvhost.cache import VerdictCache
from fastvhost.domains.table import DomainTable
from fastvhost.faces.dns_query import Query, read_query
from fastvhost.faces.dns_reply import most_octets
from fastvhost.faces.dns_responder import DnsCounters, DnsResponder
from fastvhost.limits import Bucket, capped
from fastvhost.lookup import Lookup

PLAIN = dns.message.make_query("hosted.example.com.vhost.internal", "A").to_wire()
EDNS = dns.message.make_query("hosted.example.com.vhost.internal", "A", use_edns=0).to_wire()


@pytest.mark.parametrize("message", [PLAIN, EDNS], ids=["plain", "EDNS"])
def test_read_query(benchmark: BenchmarkFixture, message: bytes) -> None:
    assert isinstance(benchmark(read_query, message), Query)


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "new"])
async def test_respond(benchmark: BenchmarkFixture, nursery: trio.Nursery, seen: bool) -> None:
    cache = VerdictCache(CONFIG.cache)
    for host, finding in FINDINGS.items():
        cache.settle(host, finding, 0.0)
    lookup = Lookup(
        CONFIG,
        table=DomainTable(CONFIG.domains),
        cache=cache,
        budgets=Budgets(CONFIG.limits, upstream=Bucket(capped(inf)), registrable_domain=str),
        walk=no_walk,
        nursery=nursery,
    )
    responder = DnsResponder(
        "vhost.internal", lookup, text=lambda _: (), most_octets=most_octets, counters=DnsCounters()
    )

    def respond() -> object:
        if not seen:
            responder._seen.clear()  # noqa: SLF001 - 0.2 us of what is measured
        return responder.respond(EDNS, 1.0)

    reply = benchmark(respond)
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).answer
