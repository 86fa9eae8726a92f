"""Zones made to harm: through real sockets, what they cost us and whether anybody else notices."""

import sys

import pytest
import trio

from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.support import ZONE, config_on
from tools.dnslab import Zone, open_lab, parse_zone

HEAD = "$ORIGIN evil.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\nns A 127.0.0.1\n"


def zone(*lines: str) -> Zone:
    return parse_zone(HEAD + "\n".join(lines) + "\n")


MESH = [f'm{a} NAPTR 1 1 "" "SIP+D2U" "" m{b}' for a in range(12) for b in range(12) if a != b]
PRODUCT = [
    *(f'p NAPTR 1 {number} "s" "SIP+D2U" "" s{number % 3}' for number in range(120)),
    *(f"s{srv} SRV {number} 0 5060 t{number}" for srv in range(3) for number in range(120)),
    *(f"t{number} A 198.51.100.1" for number in range(120)),
]
LONG = ".".join(["a"] * 100)
LONG_NAMES = [f"_sip._udp.l SRV {number} 0 5060 t{number}.{LONG}" for number in range(120)]
MANY_ADDRESSES = [f"a A 198.51.{number // 250}.{number % 250 + 1}" for number in range(2_000)]
CNAME_CHAIN = [f"c{number} CNAME c{number + 1}" for number in range(60)]
CNAME_LOOP = ["r0 CNAME r1", "r1 CNAME r0"]
SRV_TO_ITSELF = ["_sip._udp.self SRV 0 0 5060 self"]

CASES = {
    "m0.evil.test": MESH,
    "p.evil.test": PRODUCT,
    "l.evil.test": LONG_NAMES,
    "a.evil.test": MANY_ADDRESSES,
    "c0.evil.test": CNAME_CHAIN,
    "r0.evil.test": CNAME_LOOP,
}


@pytest.mark.parametrize("host", CASES)
async def test_hostile_zone_costs_a_bounded_walk_and_is_no_evidence(host: str) -> None:
    async with open_lab([ZONE, zone(*CASES[host])]) as lab, open_service(config_on(lab)) as service:
        with trio.fail_after(10):
            verdict = await service.lookup(host)
        assert verdict.kind is VerdictKind.UNDETERMINED
        assert lab.total <= 24
        assert len(verdict.steps) <= 80
        assert sum(len(record) for step in verdict.steps for record in step.records) <= 80 * 9 * 123


async def test_srv_that_points_at_its_own_host_is_decided() -> None:
    itself = zone(*SRV_TO_ITSELF, "self A 198.51.100.1")
    async with open_lab([itself]) as lab, open_service(config_on(lab)) as service:
        assert (await service.lookup("self.evil.test")).kind is VerdictKind.NOT_HOSTED


async def test_verdict_of_a_hostile_zone_is_kept_without_what_the_zone_says() -> None:
    async with open_lab([zone(*PRODUCT)]) as lab, open_service(config_on(lab)) as service:
        await service.lookup("p.evil.test")
        kept = await service.lookup("p.evil.test")
        assert kept.steps == ()
        assert sum(map(sys.getsizeof, (kept, kept.host, kept.reason, kept.expires))) < 600


async def test_flood_of_hosts_of_a_hostile_zone_leaves_nothing_under_way() -> None:
    wild = [line.replace("p NAPTR", "*.w NAPTR") for line in PRODUCT]
    async with open_lab([ZONE, zone(*wild)]) as lab:
        config = config_on(lab, limits={"zone_rate": 1_000.0})
        async with open_service(config) as service:
            await service.lookup("hosted.example")
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(service.lookup, f"h{number}.w.evil.test")
            assert service.counters()["lookup.under_way"] == 0
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
