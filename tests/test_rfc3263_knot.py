"""The RFC 3263 walk, and the service around it, against a real Knot DNS: every branch, every corner."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from fastvhost.config import Cache, Config, Dns, Domains, Endpoint, Listen, Match, Own, Transport
from fastvhost.evidence import ttl_source
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.account import MAX_QUERIES
from fastvhost.resolve.rfc3263 import MAX_ALIASES, MAX_TARGETS
from fastvhost.resolve.upstream import Upstream, UpstreamCounters
from fastvhost.resolve.walker import Walker
from fastvhost.service import open_service
from tests.knot import running_knot
from tests.support import PdbClient, as_kept, free_endpoint

pytestmark = pytest.mark.server("knotd")

HOSTED, NOT_HOSTED, UNDETERMINED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED

ZONES = Path(__file__).parent / "zones"

OWN = Own(
    addresses=(ip_network("192.0.2.10"), ip_network("198.51.100.0/24"), ip_network("2001:db8::10")),
    names=frozenset({"sip.own.test"}),
    ports={
        Transport.UDP: frozenset({5060, 5070}),
        Transport.TCP: frozenset({5065}),
        Transport.TLS: frozenset({5061}),
        Transport.SCTP: frozenset({5062}),
        Transport.WS: frozenset({8080}),
        Transport.WSS: frozenset({8443}),
    },
)
OWN_UDP = replace(OWN, ports={Transport.UDP: frozenset({5060})})
OWN_UDP_V4 = replace(OWN_UDP, addresses=(ip_network("192.0.2.10"),))

SERVICES = 1 + len(OWN.ports)
"""Queries for NAPTR, and for the SRV of each transport."""
ADDRESSES = 2


def bulk_zone() -> str:
    """Names that are too many: of SRV records, of aliases, of NAPTR rules."""
    lines = [
        "$ORIGIN bulk.test.",
        "$TTL 500",
        "@ SOA ns hostmaster 1 3600 600 86400 600",
        "@ NS ns",
        "ns A 127.0.0.1",
        "ours A 192.0.2.10",
    ]

    def srv(owner: str, targets: list[str], port: int = 5060) -> None:
        lines.extend(f"{owner} SRV {place} 0 {port} {target}" for place, target in enumerate(targets, 1))

    away = [f"t{place}" for place in range(1, 61)]
    lines.extend(f"{target} A 203.0.113.{place}" for place, target in enumerate(away, 1))
    srv("_sip._udp.srv-60", away)
    srv("_sip._udp.srv-60-own", [*away, "sip.own.test."])
    srv("_sip._udp.srv-12", away[:12])
    srv("_sip._udp.srv-13", away[:13])
    srv("_sip._udp.srv-60-ours-at-1", ["ours", *away[:59]])
    srv("_sip._udp.srv-60-ours-at-12", [*away[:11], "ours", *away[11:59]])
    srv("_sip._udp.srv-60-ours-at-13", [*away[:12], "ours", *away[12:59]])
    srv("_sip._udp.large", away, port=5999)
    lines.append("_sip._udp.large SRV 90 0 5060 ours")

    for length in (1, 8, 9, 30):
        links = [f"alias-{length}", *(f"alias-{length}-{place}" for place in range(1, length)), "ours"]
        lines.extend(f"{alias} CNAME {target}" for alias, target in pairwise(links))

    for length in (8, 9):
        links = [f"rules-{length}", *(f"rules-{length}-{place}" for place in range(1, length + 1))]
        lines.extend(f'{rule} NAPTR 1 1 "" "SIP+D2U" "" {following}' for rule, following in pairwise(links))
        lines.append(f'{links[-1]} NAPTR 1 1 "s" "SIP+D2U" "" rules-srv')
    srv("rules-srv", ["ours"])

    # Twenty rules, each to SRV records of four targets: 1 + 20 + 80 questions and more.
    lines.extend(f'fan-out NAPTR 1 1 "s" "SIP+D2U" "" f{place}' for place in range(20))
    for place in range(20):
        srv(f"f{place}", away[3 * place : 3 * place + 3])

    # Two RRsets of some 45 kB each.
    lines.append('octets NAPTR 9000 1 "s" "SIP+D2U" "" octets-srv')
    lines.extend(
        f'octets NAPTR {place} 1 "u" "E2U+sip" "!^.*$!sip:{place}@bulk.test!" .' for place in range(800)
    )
    srv("octets-srv", [f"target-{place}" for place in range(1200)], port=5999)
    lines.append("octets-srv SRV 0 0 5060 ours")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def knot() -> Iterator[Endpoint]:
    zones = {path.stem: path for path in sorted(ZONES.glob("*.zone"))}
    with running_knot(
        {**zones, "bulk.test": bulk_zone()}, unloadable={"broken.test": "no zone\n"}
    ) as endpoint:
        yield endpoint


async def walk(
    host: str, knot: Endpoint, *, own: Own = OWN, dns: Dns | None = None
) -> tuple[Finding, UpstreamCounters]:
    """Walk as the daemon does; the servers of `dns` are replaced by `knot`."""
    config = Config(own=own, dns=replace(dns or Dns(), servers=(knot,)))
    upstream = Upstream(config.dns, config.dns.servers)
    with trio.fail_after(10):
        finding = await Walker(config, upstream).walk(host, admitted_at=trio.current_time())
    return finding, upstream.counters


def source_ttl(finding: Finding) -> int | None:
    """The TTL of the step that is shown as the one that the finding's is from."""
    source = ttl_source(finding.kind, finding.steps)
    return None if source is None else source.ttl


HOSTED_BY = [
    # host, TTL, in the reason
    # SRV by each transport, on each of its ports.
    ("udp", 400, "ours.sip.test has our address 192.0.2.10"),
    ("udp2", 400, "has our address 192.0.2.10"),
    ("tcp", 400, "has our address 192.0.2.10"),
    ("tls", 400, "has our address 192.0.2.10"),
    ("sctp", 400, "has our address 192.0.2.10"),
    ("ws", 400, "has our address 192.0.2.10"),
    ("wss", 400, "has our address 192.0.2.10"),
    # SRV targets.
    ("net", 430, "has our address 198.51.100.77"),
    ("v6", 410, "has our address 2001:db8::10"),
    ("v4mapped", 420, "has our address 192.0.2.10"),
    ("dual", 440, "has our address 2001:db8::10"),
    ("own-name", 500, "names sip.own.test"),
    ("t-alias", 390, "alias.sip.test has our address 192.0.2.10"),
    ("t-alias-own", 380, "alias of sip.own.test"),
    ("dot-among", 400, "has our address 192.0.2.10"),
    ("dot-udp", 400, "has our address 192.0.2.10"),
    ("port-second", 400, "has our address 192.0.2.10"),
    ("second", 400, "has our address 192.0.2.10"),
    ("away-and-ours", 400, "has our address 192.0.2.10"),
    ("first-invalid", 400, "has our address 192.0.2.10"),
    # The least TTL of the path.
    ("ttl-srv", 50, "has our address 192.0.2.10"),
    ("ttl-alias", 60, "ttl-alias-1.sip.test has our address 192.0.2.10"),
    # The host's own addresses.
    ("address", 250, "address.sip.test has our address 192.0.2.10"),
    ("address6", 260, "has our address 2001:db8::10"),
    ("address-mapped", 270, "has our address 192.0.2.10"),
    ("xn--bcher-kva", 500, "has our address 192.0.2.10"),
    # Hosts that are not there themselves, or are aliases.
    ("ent", 400, "has our address 192.0.2.10"),
    ("host-alias", 250, "host-alias.sip.test has our address 192.0.2.10"),
    ("host-alias-naptr", 280, "has our address 192.0.2.10"),
    ("host-alias-own", 340, "alias of sip.own.test"),
    ("host-alias-other", 150, "has our address 192.0.2.10"),
    ("host-alias-naptr-other", 140, "names sip.own.test"),
    ("dangling-srv", 400, "has our address 192.0.2.10"),
    # Wildcards.
    ("x.wild", 310, "has our address 192.0.2.10"),
    ("a.b.wild", 310, "has our address 192.0.2.10"),
    ("naptr-dead", 500, "naptr-dead.sip.test has our address 192.0.2.10"),  # absent SRV: its addresses
    ("x.wild-srv", 300, "names sip.own.test"),
    # NAPTR.
    ("naptr-udp", 290, "has our address 192.0.2.10"),
    ("naptr-tcp", 290, "has our address 192.0.2.10"),
    ("naptr-tls", 290, "has our address 192.0.2.10"),
    ("naptr-sctp", 290, "has our address 192.0.2.10"),
    ("naptr-ws", 290, "has our address 192.0.2.10"),
    ("naptr-wss", 290, "has our address 192.0.2.10"),
    ("naptr-s", 280, "has our address 192.0.2.10"),
    ("naptr-a", 280, "ours.sip.test has our address 192.0.2.10"),
    ("naptr-a-own", 500, "sip.own.test is one of own.names"),
    ("naptr-chain", 180, "has our address 192.0.2.10"),
    ("naptr-up", 130, "has our address 192.0.2.10"),
    ("naptr-enum", 120, "has our address 192.0.2.10"),
    ("naptr-enum-address", 110, "has our address 192.0.2.10"),
    ("naptr-unknown", 400, "has our address 192.0.2.10"),
    ("naptr-both-fields", 400, "has our address 192.0.2.10"),
    ("naptr-order-skip", 400, "has our address 192.0.2.10"),
    ("naptr-second", 400, "has our address 192.0.2.10"),
    ("naptr-several", 400, "has our address 192.0.2.10"),
    ("naptr-ring-or", 400, "has our address 192.0.2.10"),
]

NOT_HOSTED_BY = [
    # host, TTL, upstream queries, in the reason
    ("nothing", 600, 1, "the name does not exist"),
    ("_sip._udp", 600, 1, "does not exist"),
    ("text", 600, SERVICES + ADDRESSES, "text.sip.test has no address"),
    ("below", 600, SERVICES + ADDRESSES, "below.sip.test has no address"),
    ("odd", 600, SERVICES + ADDRESSES, "odd.sip.test has no address"),
    ("there.wild", 600, SERVICES + ADDRESSES, "has no address"),
    ("elsewhere", 240, SERVICES + ADDRESSES, "elsewhere.sip.test has addresses elsewhere"),
    ("banned", 450, SERVICES + ADDRESSES, "away.sip.test has addresses elsewhere"),
    ("dangling", 500, SERVICES + ADDRESSES, "dangling.sip.test has no address"),
    # NAPTR, A and AAAA each lead into the other zone, which is asked in its turn.
    ("dangling-other", 150, SERVICES + ADDRESSES + 3, "has no address"),
    # SRV.
    ("port-of-tls", 500, SERVICES, "no target on a udp port of ours"),
    ("port-zero", 500, SERVICES, "no target on a udp port of ours"),
    ("own-name-port", 500, SERVICES, "no target on a udp port of ours"),
    ("own-name-below", 500, SERVICES + ADDRESSES, "a.sip.own.test has no address"),
    ("away", 450, SERVICES + ADDRESSES, "away.sip.test has addresses elsewhere"),
    ("t-nothing", 500, SERVICES + ADDRESSES, "nothing.sip.test has no address"),
    ("t-alias-gone", 370, SERVICES + 2 * ADDRESSES, "alias-gone.sip.test has no address"),
    ("t-literal", 500, SERVICES, "no target on a udp port of ours"),
    ("dot", 500, SERVICES, "no service at _sip._udp.dot.sip.test"),
    ("ttl-away", 70, SERVICES + ADDRESSES, "ttl-away-host.sip.test has addresses elsewhere"),
    # NAPTR.
    ("naptr-s-port", 500, 2, "no target on a tcp port of ours"),
    ("naptr-a-away", 450, 1 + ADDRESSES, "away.sip.test has addresses elsewhere"),
    ("naptr-order", 450, 2 + ADDRESSES, "away.sip.test has addresses elsewhere"),
    ("naptr-chain-end", 500, 2, "no NAPTR at text.sip.test"),
    ("naptr-chain-enum", 120, 2, "no usable NAPTR at naptr-enum.sip.test"),
    ("naptr-regexp", 500, SERVICES + ADDRESSES, "naptr-regexp.sip.test has no address"),
]

UNDETERMINED_BY = [
    # host, upstream queries, in the reason
    ("host.broken.test", 1, "NAPTR host.broken.test: SERVFAIL"),
    ("host.unserved.test", 1, "NAPTR host.unserved.test: REFUSED"),
    ("t-broken.sip.test", SERVICES + ADDRESSES, "host.broken.test: SERVFAIL"),
    ("host-alias-lost.sip.test", 2, "REFUSED"),
    ("ring.sip.test", 1, "loop of CNAME"),
    ("self.sip.test", 1, "loop of CNAME"),
    ("naptr-self.sip.test", 1, "a loop of NAPTR records at naptr-self.sip.test"),
    ("naptr-ring.sip.test", 2, "a loop of NAPTR records at naptr-ring.sip.test"),
]


@pytest.mark.parametrize(("host", "ttl", "reason"), HOSTED_BY)
async def test_walk_that_reaches_us_is_hosted_for_the_least_ttl_of_its_path(
    knot: Endpoint, host: str, ttl: int, reason: str
) -> None:
    finding, counters = await walk(f"{host}.sip.test", knot)
    assert (finding.kind, finding.ttl) == (HOSTED, ttl), finding
    assert reason in finding.reason
    assert source_ttl(finding) == ttl
    assert counters.udp <= MAX_QUERIES
    assert counters.tcp == counters.strays == 0


@pytest.mark.parametrize(("host", "ttl", "queries", "reason"), NOT_HOSTED_BY)
async def test_walk_that_ends_elsewhere_is_not_hosted_for_the_least_ttl_of_all_evidence(
    knot: Endpoint, host: str, ttl: int, queries: int, reason: str
) -> None:
    finding, counters = await walk(f"{host}.sip.test", knot)
    assert (finding.kind, finding.ttl, counters.udp) == (NOT_HOSTED, ttl, queries), finding
    assert reason in finding.reason
    assert source_ttl(finding) == ttl
    assert counters.tcp == counters.strays == 0


@pytest.mark.parametrize(("host", "queries", "reason"), UNDETERMINED_BY)
async def test_walk_that_dns_fails_is_undetermined(
    knot: Endpoint, host: str, queries: int, reason: str
) -> None:
    finding, counters = await walk(host, knot)
    assert (finding.kind, counters.udp) == (UNDETERMINED, queries), finding
    assert reason in finding.reason


@pytest.mark.parametrize(
    ("host", "kind", "ttl"),
    [
        ("first", HOSTED, 400),
        ("second", NOT_HOSTED, 450),
        ("weights", HOSTED, 400),  # one priority: the client draws by weight
        ("first-invalid", HOSTED, 400),  # "." among others, port 0 and an address are no targets
        ("first-port", NOT_HOSTED, 500),
        ("naptr-first", HOSTED, 400),
        ("naptr-second", NOT_HOSTED, 450),
        ("naptr-several", NOT_HOSTED, 500),
        ("naptr-tie", HOSTED, 400),  # one order and preference: the client may take either
        ("naptr-order", NOT_HOSTED, 450),
        ("address", HOSTED, 250),
    ],
)
async def test_walk_with_match_first_follows_the_preferred_record_only(
    knot: Endpoint, host: str, kind: VerdictKind, ttl: int
) -> None:
    finding, _ = await walk(f"{host}.sip.test", knot, dns=Dns(match=Match.FIRST))
    assert (finding.kind, finding.ttl) == (kind, ttl), finding


@pytest.mark.parametrize(
    ("host", "kind", "ttl"),
    [("address", NOT_HOSTED, 600), ("host-alias", NOT_HOSTED, 350), ("udp", HOSTED, 400)],
)
async def test_walk_without_address_fallback_asks_for_no_address_of_the_host(
    knot: Endpoint, host: str, kind: VerdictKind, ttl: int
) -> None:
    finding, counters = await walk(f"{host}.sip.test", knot, dns=Dns(address_fallback=False))
    assert (finding.kind, finding.ttl) == (kind, ttl), finding
    if kind is NOT_HOSTED:
        assert counters.udp == SERVICES


async def test_walk_of_a_transport_that_we_do_not_serve_asks_no_srv_of_it(knot: Endpoint) -> None:
    finding, counters = await walk("tcp.sip.test", knot, own=OWN_UDP)
    assert (finding.kind, finding.ttl, counters.udp) == (NOT_HOSTED, 600, 2 + ADDRESSES)


async def test_walk_of_our_own_name_is_hosted_without_its_addresses(knot: Endpoint) -> None:
    finding, counters = await walk("sip.own.test", knot)
    assert (finding.kind, finding.ttl, counters.udp) == (HOSTED, 700, SERVICES)
    assert finding.reason == "sip.own.test is one of own.names"


async def test_steps_of_a_walk_tell_what_was_asked_and_what_it_proved(knot: Endpoint) -> None:
    finding, _ = await walk("naptr-s.sip.test", knot, own=OWN_UDP_V4)
    naptr, srv, address = finding.steps
    assert [step.depth for step in finding.steps] == [0, 1, 2]
    assert naptr.question == "NAPTR naptr-s.sip.test"
    assert naptr.records == ('10 10 "s" "sip+d2u" "" srv-udp.naptr.sip.test.',)
    assert (srv.question, srv.records) == ("SRV srv-udp.naptr.sip.test", ("10 10 5060 ours.sip.test.",))
    assert (address.question, address.records) == ("A ours.sip.test", ("192.0.2.10",))
    assert [step.ttl for step in finding.steps] == [280, 500, 400]
    assert {step.rcode for step in finding.steps} == {"NOERROR"}
    assert {step.server for step in finding.steps} == {str(knot)}
    assert all(step.seconds > 0.0 and step.proved for step in finding.steps)


async def test_steps_of_a_fallback_show_each_negative_and_the_aliases(knot: Endpoint) -> None:
    finding, _ = await walk("host-alias.sip.test", knot, own=OWN_UDP_V4)
    assert [(step.question, step.rcode, step.ttl) for step in finding.steps] == [
        ("NAPTR host-alias.sip.test", "NODATA", 350),
        ("SRV _sip._udp.host-alias.sip.test", "NXDOMAIN", 600),
        ("A host-alias.sip.test", "NOERROR", 250),
    ]
    assert finding.steps[2].records == ("CNAME address.sip.test.", "192.0.2.10")


@pytest.mark.parametrize(
    ("host", "kind", "looked_up"),
    [
        ("srv-12", NOT_HOSTED, 12),
        ("srv-13", UNDETERMINED, 12),
        ("srv-60", UNDETERMINED, 12),
        ("srv-60-ours-at-13", UNDETERMINED, 12),
    ],
)
async def test_srv_targets_are_looked_up_12_at_most(
    knot: Endpoint, host: str, kind: VerdictKind, looked_up: int
) -> None:
    finding, counters = await walk(f"{host}.bulk.test", knot, own=OWN_UDP_V4)
    assert finding.kind is kind, finding.reason
    assert counters.udp == 2 + looked_up
    assert (f"over {MAX_TARGETS} SRV targets" in finding.reason) == (kind is UNDETERMINED)
    assert sum(step.question.startswith("A ") for step in finding.steps) == looked_up


@pytest.mark.parametrize("own", [OWN_UDP_V4, OWN_UDP, OWN], ids=["v4", "dual-stack", "all-transports"])
async def test_srv_target_of_ours_that_is_preferred_is_found_among_60_always(
    knot: Endpoint, own: Own
) -> None:
    for _ in range(20):  # Trio schedules at random
        finding, _ = await walk("srv-60-ours-at-1.bulk.test", knot, own=own)
        assert (finding.kind, finding.ttl) == (HOSTED, 500), finding.reason


async def test_srv_target_of_ours_at_place_12_of_60_is_found_always(knot: Endpoint) -> None:
    for _ in range(20):
        finding, _ = await walk("srv-60-ours-at-12.bulk.test", knot, own=OWN_UDP_V4)
        assert finding.kind is HOSTED, finding.reason


async def test_srv_target_that_is_our_name_among_61_needs_no_look_up(knot: Endpoint) -> None:
    finding, counters = await walk("srv-60-own.bulk.test", knot, own=OWN_UDP)
    assert (finding.kind, finding.ttl) == (HOSTED, 500)
    assert (counters.udp, counters.tcp) == (2, 1)


async def test_srv_rrset_that_does_not_fit_a_datagram_is_read_over_tcp(knot: Endpoint) -> None:
    finding, counters = await walk("large.bulk.test", knot, own=OWN_UDP_V4)
    assert (finding.kind, finding.ttl) == (HOSTED, 500)
    assert (counters.udp, counters.tcp) == (3, 1)
    shown = next(step for step in finding.steps if step.question.startswith("SRV")).records
    assert (len(shown), shown[-1]) == (9, "and 53 more")


@pytest.mark.parametrize(
    ("aliases", "kind"), [(1, HOSTED), (8, HOSTED), (9, UNDETERMINED), (30, UNDETERMINED)]
)
async def test_aliases_of_a_host_are_followed_8_at_most(
    knot: Endpoint, aliases: int, kind: VerdictKind
) -> None:
    finding, counters = await walk(f"alias-{aliases}.bulk.test", knot)
    assert finding.kind is kind, finding.reason
    if aliases > MAX_ALIASES:
        assert counters.udp == 2  # Knot puts five aliases in one answer
        assert "CNAME" in finding.reason


@pytest.mark.parametrize(("rules", "kind"), [(8, HOSTED), (9, UNDETERMINED)])
async def test_naptr_records_in_a_row_are_followed_8_at_most(
    knot: Endpoint, rules: int, kind: VerdictKind
) -> None:
    finding, _ = await walk(f"rules-{rules}.bulk.test", knot)
    assert finding.kind is kind, finding.reason


@pytest.mark.parametrize("own", [OWN, OWN_UDP_V4], ids=["dual-stack", "v4"])
async def test_fan_out_of_naptr_and_srv_costs_24_queries_at_most(knot: Endpoint, own: Own) -> None:
    finding, counters = await walk("fan-out.bulk.test", knot, own=own)
    assert finding.kind is UNDETERMINED
    assert "over " in finding.reason
    assert counters.udp + counters.tcp == MAX_QUERIES == 24


async def test_reply_of_over_256_records_is_no_evidence(knot: Endpoint) -> None:
    finding, counters = await walk("octets.bulk.test", knot)
    assert (finding.kind, counters.udp, counters.tcp) == (UNDETERMINED, 1, 1)
    assert "over 256 records" in finding.reason


# The whole service.


def config_on(knot: Endpoint, *, pdb: bool = False) -> Config:
    return Config(
        own=OWN,
        listen=Listen(pdb=free_endpoint() if pdb else None, dns=None, admin=None),
        dns=Dns(servers=(knot,)),
        cache=Cache(hosted_ttl=(30.0, 350.0), not_hosted_ttl=(80.0, 300.0)),
        domains=Domains(store=""),
    )


@pytest.mark.parametrize(
    ("text", "host", "kind", "ttl"),
    [
        ("udp.sip.test", "udp.sip.test", HOSTED, 350),  # the ceiling
        ("address.sip.test", "address.sip.test", HOSTED, 250),
        ("ADDRESS.SIP.Test.", "address.sip.test", HOSTED, 250),
        ("bücher.sip.test", "xn--bcher-kva.sip.test", HOSTED, 350),
        ("BÜCHER\u3002sip.test", "xn--bcher-kva.sip.test", HOSTED, 350),
        ("elsewhere.sip.test", "elsewhere.sip.test", NOT_HOSTED, 240),
        ("ttl-away.sip.test", "ttl-away.sip.test", NOT_HOSTED, 80),  # the floor
        ("nothing.sip.test", "nothing.sip.test", NOT_HOSTED, 300),
        ("host.broken.test", "host.broken.test", UNDETERMINED, 1),
        ("host.unserved.test", "host.unserved.test", UNDETERMINED, 1),
        ("ring.sip.test", "ring.sip.test", UNDETERMINED, 1),
    ],
)
async def test_service_asked_for_a_name_answers_from_dns_and_then_from_memory(
    knot: Endpoint, text: str, host: str, kind: VerdictKind, ttl: int
) -> None:
    async with open_service(config_on(knot)) as service:
        asked = trio.current_time()
        verdict = await service.lookup(text, source="192.0.2.200")
        assert (verdict.host, verdict.kind) == (host, kind)
        assert asked + ttl <= verdict.expires <= trio.current_time() + ttl
        assert verdict.steps
        queries = service.counters()["upstream.udp"]
        again = await service.lookup(host)
        assert again == (verdict if kind is HOSTED else as_kept(verdict))
        assert service.counters()["upstream.udp"] == queries


async def test_service_asked_for_an_unknown_domain_sends_one_query_and_none_again(knot: Endpoint) -> None:
    async with open_service(config_on(knot)) as service:
        verdict = await service.lookup("unknown.sip.test")
        assert verdict.kind is NOT_HOSTED
        assert service.counters()["upstream.udp"] == 1
        assert await service.lookup("unknown.sip.test") == as_kept(verdict)
        assert service.counters()["upstream.udp"] == 1
        assert service.counters()["upstream.outcome.NXDOMAIN"] == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("192.0.2.10", HOSTED),
        ("198.51.100.255", HOSTED),
        ("192.0.2.11", NOT_HOSTED),
        ("[2001:db8::10]", HOSTED),
        ("[2001:DB8:0::10]", HOSTED),
        ("[::ffff:192.0.2.10]", HOSTED),
        ("[2001:db8::11]", NOT_HOSTED),
    ],
)
async def test_service_asked_for_a_literal_asks_no_dns(knot: Endpoint, text: str, kind: VerdictKind) -> None:
    async with open_service(config_on(knot)) as service:
        assert (await service.lookup(text)).kind is kind
        assert service.counters()["upstream.udp"] == 0


MALFORMED = [
    "",
    ".",
    "a..sip.test",
    ".sip.test",
    "udp.sip.test..",
    "-a.sip.test",
    "a-.sip.test",
    "a_b.sip.test",
    "_sip._udp.udp.sip.test",
    "udp.sip.test:5060",
    "sip:udp.sip.test",
    "a@udp.sip.test",
    "udp.sip.test;lr",
    "udp sip.test",
    "udp.sip.test\n",
    "udp.sip.test\0",
    "%75dp.sip.test",
    r"\117dp.sip.test",
    "*.wild.sip.test",
    "sip.123",
    "1.2.3",
    "256.0.0.1",
    "192.0.2.010",
    "192.0.2.10.",
    "2001:db8::10",
    "[2001:db8::10",
    "[192.0.2.10]",
    "[fe80::1%eth0]",
    f"{'a' * 64}.sip.test",
    f"{'a.' * 123}sip.test",
    "\u2603.sip.test",
    "xn--é.sip.test",
    "\ud800.sip.test",
]


async def test_service_asked_for_no_host_at_all_calls_it_malformed_and_asks_no_dns(knot: Endpoint) -> None:
    async with open_service(config_on(knot)) as service:
        verdicts = {text: await service.lookup(text) for text in MALFORMED}
        odd = {
            text: verdict for text, verdict in verdicts.items() if verdict.kind is not VerdictKind.MALFORMED
        }
        assert not odd
        assert all(verdict.reason.startswith("not a host: ") for verdict in verdicts.values())
        assert service.counters()["upstream.udp"] == 0


async def test_service_asked_over_pdb_answers_with_the_verdict_that_dns_leads_to(knot: Endpoint) -> None:
    config = config_on(knot, pdb=True)
    config = replace(config, listen=replace(config.listen, answer_within=5.0))
    async with open_service(config) as service:
        assert service.pdb_endpoint is not None
        with PdbClient(service.pdb_endpoint) as client:
            assert await client.ask("naptr-s.sip.test 192.0.2.200") is HOSTED
            assert await client.ask("away.sip.test") is NOT_HOSTED
            assert await client.ask("host.broken.test") is UNDETERMINED
            assert await client.ask("a..b") is VerdictKind.MALFORMED


async def test_service_that_ends_while_it_walks_leaves_no_task(knot: Endpoint) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_service(config_on(knot)) as service, trio.open_nursery() as nursery:
        for place in range(20):
            nursery.start_soon(service.lookup, f"h{place}.wild.sip.test")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before
