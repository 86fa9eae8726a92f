"""Micro-benchmarks of a decision that is known, and of the walk over answers that are there at once."""

from collections.abc import Mapping
from math import inf

import pytest
import trio
from pytest_benchmark.fixture import BenchmarkFixture

from fastvhost.budgets import Budgets
from fastvhost.cache import VerdictCache
from fastvhost.config import Config, Domains, Own, Transport
from fastvhost.domains.table import DomainTable
from fastvhost.limits import Bucket, capped
from fastvhost.lookup import Lookup
from fastvhost.model import Finding, Verdict, VerdictKind
from fastvhost.resolve.reply import Answer, Negative, Reply, RrType, Srv
from fastvhost.resolve.rfc3263 import walk

CONFIG = Config(own=Own(names=frozenset({"sip.example.net"}), ports={Transport.UDP: frozenset({5060})}))
FINDINGS = {
    "hosted.example.com": Finding(kind=VerdictKind.HOSTED, ttl=3600.0, reason="SRV leads to us"),
    "unknown.example.com": Finding(kind=VerdictKind.NOT_HOSTED, ttl=300.0, reason="NXDOMAIN"),
}
WALKS = 100
"""In one `trio.run`, whose own price of some 100 us is then a hundredth of that for each."""


async def no_walk(host: str, *, admitted_at: float | None) -> Finding:
    raise AssertionError(f"{host} is known: {admitted_at}")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hosted.example.com", VerdictKind.HOSTED),
        ("Hosted.Example.COM", VerdictKind.HOSTED),
        ("hosted.example.com.", VerdictKind.HOSTED),
        ("unknown.example.com", VerdictKind.NOT_HOSTED),
        ("192.0.2.17", VerdictKind.NOT_HOSTED),
        ("no_host.example.com", VerdictKind.MALFORMED),
    ],
)
async def test_decide(
    benchmark: BenchmarkFixture, nursery: trio.Nursery, text: str, kind: VerdictKind
) -> None:
    cache = VerdictCache(CONFIG.cache)
    for host, finding in FINDINGS.items():
        cache.settle(host, finding, 0.0)
    lookup = Lookup(
        CONFIG,
        table=DomainTable(Domains()),
        cache=cache,
        budgets=Budgets(CONFIG.limits, upstream=Bucket(capped(inf)), registrable_domain=str),
        walk=no_walk,
        nursery=nursery,
    )
    verdict = benchmark(lookup.decide, text, None, 1.0)
    assert isinstance(verdict, Verdict)
    assert verdict.kind is kind


NOTHING = Negative(nxdomain=False, ttl=300)
NO_NAME = Negative(nxdomain=True, ttl=300)
TO_US = Answer(records=(Srv(priority=0, weight=0, port=5060, target="sip.example.net"),), ttl=300)


REPLIES: Mapping[str, Mapping[RrType, Reply]] = {
    "nxdomain": {RrType.NAPTR: NO_NAME},
    "srv": {RrType.NAPTR: NOTHING, RrType.SRV: TO_US},
    "nothing": dict.fromkeys(RrType, NOTHING),
}
"""By a name, since pytest-benchmark writes parameters as JSON."""


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("nxdomain", VerdictKind.NOT_HOSTED),
        ("srv", VerdictKind.HOSTED),
        ("nothing", VerdictKind.NOT_HOSTED),
    ],
)
def test_walks(benchmark: BenchmarkFixture, named: str, kind: VerdictKind) -> None:
    replies = REPLIES[named]

    async def query(_name: str, rrtype: RrType) -> Reply:
        return replies[rrtype]

    async def walks() -> VerdictKind:
        for _ in range(WALKS):
            finding = await walk("example.com", own=CONFIG.own, dns=CONFIG.dns, query=query)
        return finding.kind

    benchmark.extra_info["walks"] = WALKS
    assert benchmark(trio.run, walks) is kind
