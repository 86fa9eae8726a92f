"""The attack of random labels, through real sockets: what it costs DNS, and that nobody else feels it."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from fastvhost.config import Config, Endpoint
from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker
from fastvhost.service import Service, open_service
from tests.support import OURS, ZONE, PdbClient, config_on, until, until_true
from tools.dnslab import Fault, Lab, open_lab, parse_zone, signed

SOURCES = 1_000

VICTIM = f"""
$ORIGIN victim.example.
$TTL 600
@                      SOA  ns hostmaster 1 3600 600 86400 300
@                      NS   ns
ns                     A    198.51.100.1
hosted                 A    {OURS}
_sip._udp.served       SRV  10 10 5060 hosted
elsewhere              A    198.51.100.7
mail                   A    198.51.100.8
x.y.deep               A    198.51.100.9
*.wild                 A    {OURS}
below.there.wild       A    198.51.100.10
*.away                 A    198.51.100.11
"""

RIGHT = {
    "hosted.victim.example": VerdictKind.HOSTED,
    "served.victim.example": VerdictKind.HOSTED,
    "elsewhere.victim.example": VerdictKind.NOT_HOSTED,
    "deep.victim.example": VerdictKind.NOT_HOSTED,
    "anything.wild.victim.example": VerdictKind.HOSTED,
    "any.thing.wild.victim.example": VerdictKind.HOSTED,
    "x.there.wild.victim.example": VerdictKind.NOT_HOSTED,
    "anything.away.victim.example": VerdictKind.NOT_HOSTED,
}
"""What DNS says, whatever was asked before."""


@dataclass
class Flood:
    """Random labels under one zone, from many sources, over one socket; the verdicts that came back."""

    endpoint: Endpoint
    kinds: Counter[VerdictKind] = field(default_factory=Counter)

    async def send(self, hosts: list[str], *, at_once: int = 200) -> None:
        """Ask for each host, and wait until every one was answered."""
        asked = self.kinds.total()
        with PdbClient(self.endpoint) as client:
            async with trio.open_nursery() as nursery:

                async def collect() -> None:
                    while self.kinds.total() < asked + len(hosts):
                        self.kinds[VerdictKind((await client.receive())[-1])] += 1
                    nursery.cancel_scope.cancel()

                nursery.start_soon(collect)
                for number, host in enumerate(hosts):
                    source = f"192.0.{number % SOURCES // 250}.{number % 250}"
                    await client.send(write_request(f"{host} {source}".encode(), number & 0xFFFF))
                    # No more under way than the buffers hold, so that every request is answered.
                    if number % 50 == 0:
                        await until(
                            lambda sent=asked + number: sent - self.kinds.total() < at_once, within=30.0
                        )
                await trio.sleep_forever()


def labels(count: int, zone: str) -> list[str]:
    """Different labels of letters and digits, in no order, and the same in every run."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    mixed = (number * 2_654_435_761 % 2**32 for number in range(count))
    return ["".join(letters[one // 36**place % 36] for place in range(7)) + f".{zone}" for one in mixed]


def trusting(lab: Lab) -> Config:
    return config_on(lab, dns={"trusted": True})


async def assert_right(service: Service) -> None:
    for host, kind in RIGHT.items():
        assert (await service.lookup(host)).kind is kind, host


async def test_flood_under_a_signed_zone_costs_fewer_than_a_hundred_queries() -> None:
    """100,000 labels from 1,000 sources; the names that are there, and those by a wildcard, stay right."""
    hosts = labels(100_000, "victim.example")
    async with (
        open_lab([signed(parse_zone(VICTIM)), ZONE], unknown="nxdomain") as lab,
        open_service(trusting(lab)) as service,
    ):
        assert service.pdb_endpoint is not None
        attack = Flood(service.pdb_endpoint)
        await attack.send(hosts[:50])
        await until(lambda: service.counters()["lookup.under_way"] == 0)
        await attack.send(hosts[50:])
        counters = service.counters()
        assert set(attack.kinds) <= {VerdictKind.NOT_HOSTED, VerdictKind.PENDING}
        assert attack.kinds.total() == len(hosts)
        assert counters["lookup.denied"] > 0.99 * len(hosts)
        assert counters["cache.unknown_entries"] < 100, "what is denied takes no space"
        assert lab.total < 100
        await assert_right(service)
        await attack.send(hosts[:100])
        await assert_right(service)


async def test_flood_under_a_signed_zone_far_away_costs_fewer_than_a_hundred_queries() -> None:
    """All of them start before the first answer, so they wait for each other's proofs."""
    async with open_lab([signed(parse_zone(VICTIM)), ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.1)]
        # No budget is to help, nor to be in the way of the names that are there.
        limits = {"zone_rate": 1e6, "source_rate": 1e6}
        async with open_service(
            config_on(lab, dns={"trusted": True, "timeout": 5.0}, limits=limits)
        ) as service:
            assert service.pdb_endpoint is not None
            attack = Flood(service.pdb_endpoint)
            await attack.send(labels(5_000, "victim.example"))
            assert set(attack.kinds) <= {VerdictKind.NOT_HOSTED, VerdictKind.PENDING, VerdictKind.LIMITED}
            assert lab.total < 100
            await assert_right(service)


@pytest.mark.parametrize("trusted", [True, False])
async def test_flood_under_an_unsigned_zone_stays_within_its_rate_and_other_zones_feel_nothing(
    trusted: bool,
) -> None:
    """However many sources ask; counted at the DNS server. Each NOT_HOSTED has a query for its evidence."""
    rate = 20
    async with open_lab([parse_zone(VICTIM), ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.01)]
        config = config_on(
            lab, dns={"trusted": trusted, "timeout": 4.0}, limits={"zone_rate": rate, "source_rate": 1e6}
        )
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            attack, others = Flood(service.pdb_endpoint), Flood(service.pdb_endpoint)
            hosts = iter(labels(1_000_000, "victim.example"))
            started = trio.current_time()
            while trio.current_time() < started + 1.0:
                await attack.send([next(hosts) for _ in range(1_000)])
                await others.send([f"h.zone{others.kinds.total()}.test"])
                assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            elapsed = trio.current_time() - started
            asked = sum(
                count for (owner, _), count in lab.queries.items() if owner.endswith(".victim.example")
            )
            assert 2 * rate <= asked <= 2 * rate + rate * elapsed
            assert attack.kinds[VerdictKind.NOT_HOSTED] <= asked
            assert set(attack.kinds) <= {VerdictKind.NOT_HOSTED, VerdictKind.PENDING, VerdictKind.LIMITED}
            assert set(others.kinds) <= {VerdictKind.NOT_HOSTED, VerdictKind.PENDING}
            assert service.counters()["denial.ranges"] == service.counters()["denial.absent"] == 0


async def test_signed_zone_of_an_upstream_that_is_not_trusted_proves_nothing() -> None:
    async with open_lab([signed(parse_zone(VICTIM))]) as lab, open_service(config_on(lab)) as service:
        for name in ("a", "b", "c"):
            assert (await service.lookup(f"{name}.victim.example")).kind is VerdictKind.NOT_HOSTED
        assert lab.total == 3
        assert service.counters()["denial.ranges"] == 0


async def test_verdict_of_a_proof_says_by_what() -> None:
    async with open_lab([signed(parse_zone(VICTIM))]) as lab, open_service(trusting(lab)) as service:
        await service.lookup("f1.victim.example")
        verdict = await service.lookup("f2.victim.example")
        nodata = await service.lookup("elsewhere.victim.example")
        again = await service.lookup("elsewhere.victim.example")
    proof = "NSEC elsewhere.victim.example to hosted.victim.example"
    assert verdict.kind is VerdictKind.NOT_HOSTED
    assert verdict.reason == f"f2.victim.example does not exist: {proof}"
    assert [(step.question, step.rcode, step.server) for step in verdict.steps] == [
        ("NAPTR f2.victim.example", "NXDOMAIN", f"{proof} (RFC 8198)")
    ]
    assert 0.0 < verdict.ttl(trio.current_time()) <= 300.0
    assert nodata.kind is again.kind is VerdictKind.NOT_HOSTED
    assert lab.queries["elsewhere.victim.example", "NAPTR"] == 0, "the proof has the types of its owner too"
    assert lab.queries["elsewhere.victim.example", "A"] == 1


async def test_name_that_appears_is_found_when_the_proof_that_it_is_not_there_ends() -> None:
    zone = VICTIM.replace("86400 300", "86400 1")
    async with open_lab([signed(parse_zone(zone))]) as lab, open_service(trusting(lab)) as service:
        await service.lookup("f1.victim.example")
        assert (await service.lookup("f2.victim.example")).kind is VerdictKind.NOT_HOSTED
        lab.replace_zones([signed(parse_zone(f"{zone}f2 A {OURS}\n"))])

        async def is_hosted() -> bool:
            return (await service.lookup("f2.victim.example")).kind is VerdictKind.HOSTED

        await until_true(is_hosted)


async def test_host_that_was_hosted_is_looked_up_again_whatever_is_proved() -> None:
    """A proof may be older than what is believed of a known domain; so may be what it denies."""
    async with open_lab([signed(parse_zone(VICTIM))]) as lab:
        walker = walker_on(lab)
        await walker.walk("f1.victim.example", admitted_at=trio.current_time())
        assert walker.denied("f2.victim.example", trio.current_time()) is not None
        lab.replace_zones([signed(parse_zone(f"{VICTIM}f2 A {OURS}\n"))])
        finding = await walker.walk("f2.victim.example", admitted_at=trio.current_time())
        assert finding.kind is VerdictKind.NOT_HOSTED
        assert (await walker.walk("f2.victim.example", admitted_at=None)).kind is VerdictKind.HOSTED
        assert walker.denied("f2.victim.example", trio.current_time()) is None
        finding = await walker.walk("f2.victim.example", admitted_at=trio.current_time())
        assert finding.kind is VerdictKind.HOSTED


async def test_host_that_waits_for_others_of_its_zone_ends_with_its_walk() -> None:
    async with open_lab([signed(parse_zone(VICTIM))]) as lab, trio.open_nursery() as nursery:
        config = config_on(lab, dns={"trusted": True, "walk_timeout": 0.2})
        walker = Walker(config, Upstream(config.dns, config.dns.servers), zone_of=lambda _: "victim.example")

        async def hold() -> None:
            async with walker._turns.turn("victim.example"):
                await trio.sleep_forever()

        for _ in range(8):
            nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        finding = await walker.walk("f1.victim.example", admitted_at=trio.current_time())
        assert (finding.kind, lab.total) == (VerdictKind.UNDETERMINED, 0)
        assert "over dns.walk_timeout" in finding.reason
        nursery.cancel_scope.cancel()


async def test_check_of_housekeeping_asks_dns_whatever_is_proved() -> None:
    async with open_lab([signed(parse_zone(VICTIM))]) as lab:
        walker = walker_on(lab)
        for _ in range(3):
            assert (await walker.check("f1.victim.example")).kind is VerdictKind.NOT_HOSTED
        assert lab.total == 3


def walker_on(lab: Lab) -> Walker:
    config = trusting(lab)
    return Walker(config, Upstream(config.dns, config.dns.servers))
