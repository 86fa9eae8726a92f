"""Proofs as the real ones come: zones that Knot DNS signs, validated by Unbound."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from fastvhost.config import Config, Dns, Domains, Endpoint, Listen, Own
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.knot import running_knot
from tests.test_random_labels import labels
from tests.unbound_server import running_unbound, validating

pytestmark = pytest.mark.server("knotd", "unbound")

OURS = "192.0.2.10"

ZONE = f"""\
$TTL 300
@                SOA  ns hostmaster 1 3600 600 86400 300
@                NS   ns
ns               A    127.0.0.1
b                A    198.51.100.1
hosted           A    {OURS}
_sip._udp.served SRV  10 10 5060 hosted
x.y.deep         A    198.51.100.2
*.wild           A    {OURS}
*.away           A    198.51.100.3
child            NS   ns.child
ns.child         A    127.0.0.1
moved            DNAME elsewhere
hosted.elsewhere A    {OURS}
"""

CHILD = f"""\
$TTL 300
@                SOA  ns hostmaster 1 3600 600 86400 300
@                NS   ns
ns               A    127.0.0.1
hosted           A    {OURS}
"""

SIGNED, HASHED, UNSIGNED = "nsec.example", "nsec3.example", "unsigned.example"

RIGHT = {
    "b": VerdictKind.NOT_HOSTED,
    "hosted": VerdictKind.HOSTED,
    "served": VerdictKind.HOSTED,
    "deep": VerdictKind.NOT_HOSTED,
    "x.wild": VerdictKind.HOSTED,
    "y.x.wild": VerdictKind.HOSTED,
    "x.away": VerdictKind.NOT_HOSTED,
    "hosted.child": VerdictKind.HOSTED,
    "child": VerdictKind.NOT_HOSTED,
    "absent.child": VerdictKind.NOT_HOSTED,
    "hosted.moved": VerdictKind.HOSTED,
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[Endpoint]:
    zones = dict.fromkeys((SIGNED, HASHED, UNSIGNED), ZONE)
    children = {f"child.{origin}": CHILD for origin in zones}
    signed = {SIGNED: "nsec", HASHED: "nsec3"}
    with (
        running_knot({**zones, **children}, signed=signed) as knot,
        running_unbound(validating(dict.fromkeys(zones, knot))) as unbound,
    ):
        yield unbound


def config_on(resolver: Endpoint) -> Config:
    return Config(
        own=Own(addresses=(ip_network(OURS),)),
        listen=replace(Listen(), pdb=None, dns=None, admin=None),
        dns=Dns(servers=(resolver,), trusted=True),
        domains=Domains(store=""),
    )


async def assert_right(service: Service, origin: str) -> None:
    for name, kind in RIGHT.items():
        verdict = await service.lookup(f"{name}.{origin}")
        assert verdict.kind is kind, verdict


async def test_random_labels_of_a_signed_zone_are_proved_absent(resolver: Endpoint) -> None:
    async with open_service(config_on(resolver)) as service:
        for host in labels(2_000, SIGNED):
            verdict = await service.lookup(host)
            assert verdict.kind is VerdictKind.NOT_HOSTED
        counters = service.counters()
        assert counters["upstream.udp"] + counters["upstream.tcp"] < 30
        assert counters["upstream.tcp"] == 0, "the proofs fit a datagram"
        assert counters["lookup.denied"] > 1_900
        await assert_right(service, SIGNED)


@pytest.mark.parametrize("origin", [SIGNED, HASHED, UNSIGNED])
async def test_names_that_are_there_are_right_whatever_was_proved_before(
    origin: str, resolver: Endpoint
) -> None:
    async with open_service(config_on(resolver)) as service:
        for name in RIGHT:
            for absent in (f"0{name}", f"{name}0", f"x.{name}0"):
                await service.lookup(f"{absent}.{origin}")
        await assert_right(service, origin)


async def test_name_below_an_absent_one_of_a_zone_with_nsec3_is_proved_absent(resolver: Endpoint) -> None:
    async with open_service(config_on(resolver)) as service:
        await service.lookup(f"absent.{HASHED}")
        asked = service.counters()["upstream.udp"]
        verdict = await service.lookup(f"x.y.absent.{HASHED}")
        assert verdict.kind is VerdictKind.NOT_HOSTED
        assert verdict.reason == f"x.y.absent.{HASHED} does not exist: NXDOMAIN at absent.{HASHED}"
        assert service.counters()["upstream.udp"] == asked


async def test_unsigned_zone_proves_nothing(resolver: Endpoint) -> None:
    async with open_service(config_on(resolver)) as service:
        for number in range(5):
            await service.lookup(f"x{number}.{UNSIGNED}")
            await service.lookup(f"below.x0.{UNSIGNED}")
        assert service.counters()["upstream.udp"] == 6
        assert service.counters()["denial.ranges"] == service.counters()["denial.absent"] == 0
