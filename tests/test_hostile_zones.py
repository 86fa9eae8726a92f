"""Zones made to harm: through real sockets, what they cost us and whether anybody else notices."""

import sys
from dataclasses import replace

import pytest
import trio

from bench.fan_out import cost_of
from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.support import ZONE, config_on
from tools.dnslab import open_lab
from tools.hostile_zones import HOSTILE_ZONES

BY_NAME = {hostile.name: hostile for hostile in HOSTILE_ZONES}
PRODUCT = BY_NAME["120 NAPTR, 3 x 120 SRV, 120 targets"]
ITSELF = BY_NAME["SRV that points at its own host"]


@pytest.mark.parametrize("name", BY_NAME)
async def test_hostile_zone_costs_a_walk_within_its_bounds_and_is_no_evidence(name: str) -> None:
    cost = await cost_of(BY_NAME[name])
    decided = BY_NAME[name] is ITSELF
    assert cost.verdict is (VerdictKind.NOT_HOSTED if decided else VerdictKind.UNDETERMINED)
    assert cost.queries <= 24
    assert 0 < cost.octets <= 65_536


@pytest.mark.parametrize(
    "name",
    [
        "NAPTR mesh of 12 names, no terminal rule",
        "120 NAPTR, 3 x 120 SRV, 120 targets",
        "SRV targets of 200 octets",
        "CNAME chain of 60",
    ],
)
async def test_steps_of_a_hostile_zone_are_bounded(name: str) -> None:
    hostile = BY_NAME[name]
    async with open_lab([hostile.zone()]) as lab, open_service(config_on(lab)) as service:
        verdict = await service.lookup(hostile.host)
        assert len(verdict.steps) <= 80
        assert sum(len(record) for step in verdict.steps for record in step.records) <= 80 * 9 * 123


async def test_replies_read_side_by_side_share_the_octets_of_the_walk() -> None:
    """Twelve connections at once, each with 31 kB to give: two are read."""
    hostile = BY_NAME["12 SRV targets, each an address set of 31 kB"]
    async with open_lab([hostile.zone()]) as lab:
        config = config_on(lab, dns={"timeout": 30.0, "walk_timeout": 60.0})
        async with open_service(config) as service:
            verdict = await service.lookup(hostile.host)
            counters = service.counters()
        assert lab.tcp_queries > 2
        assert counters["upstream.octets"] <= 65_536
        assert any("over 65536 octets" in step.rcode for step in verdict.steps)


async def test_verdict_of_a_hostile_zone_is_kept_without_what_the_zone_says() -> None:
    async with open_lab([PRODUCT.zone()]) as lab, open_service(config_on(lab)) as service:
        await service.lookup("p.evil.test")
        kept = await service.lookup("p.evil.test")
        assert kept.steps == ()
        assert sum(map(sys.getsizeof, (kept, kept.host, kept.reason, kept.expires))) < 600


async def test_flood_of_hosts_of_a_hostile_zone_leaves_nothing_under_way() -> None:
    wild = replace(PRODUCT, records=tuple(line.replace("p NAPTR", "*.w NAPTR") for line in PRODUCT.records))
    async with open_lab([ZONE, wild.zone()]) as lab:
        config = config_on(lab, limits={"zone_rate": 1_000.0})
        async with open_service(config) as service:
            await service.lookup("hosted.example")
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(service.lookup, f"h{number}.w.evil.test")
            assert service.counters()["lookup.under_way"] == 0
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
