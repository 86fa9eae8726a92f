"""The lab DNS server: what it answers, how it misbehaves on demand, what it counts."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from bench.processes import running
from tools.dnslab import (
    AddressError,
    Effect,
    Fault,
    FaultRules,
    Lab,
    Zone,
    ZoneError,
    open_lab,
    parse_zone,
    read_zone,
    signed,
)
from tools.dnslab.answers import MAX_LINKS, resolve
from tools.dnslab.query import owner_text, parse_query
from tools.dnslab.tally import Tally
from tools.dnslab.zones import build_namespace

REPOSITORY = Path(__file__).parent.parent

ZONE = """\
$ORIGIN example.com.
$TTL 300
@            IN SOA ns hostmaster 1 3600 600 86400 60
@            IN NS  ns
ns           IN A   192.0.2.53
sip          IN A   192.0.2.1
_sip._udp    IN SRV 10 10 5060 sip
alias        IN CNAME sip
away         IN CNAME host.example.net.
gone         IN CNAME nothing
lost         IN CNAME host.elsewhere.
ring         IN CNAME ring2
ring2        IN CNAME ring
*.wild       IN A   192.0.2.9
below.host.wild IN A 192.0.2.10
*.walias     IN CNAME sip
upper        IN TXT "UPPER"
"""
LARGE = "".join(f"large IN SRV 1 1 {port} target{port}\n" for port in range(5060, 5120))
OTHER = "$ORIGIN example.net.\n@ 60 IN SOA ns h 1 1 1 1 30\nhost 60 IN A 198.51.100.1\n"


def chain_zone(links: int) -> Zone:
    """`c0` leads over so many CNAMEs to an address."""
    cnames = "".join(f"c{at} IN CNAME c{at + 1}\n" for at in range(links))
    return parse_zone(f"{ZONE}{cnames}c{links} IN A 192.0.2.77\n")


@pytest.fixture
def zones() -> list[Zone]:
    return [parse_zone(ZONE + LARGE), parse_zone(OTHER)]


@pytest.fixture
async def lab(zones: list[Zone]) -> AsyncIterator[Lab]:
    async with open_lab(zones) as served:
        yield served


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def query_for(name: str, rdtype: str = "A", *, edns: int | None = None) -> dns.message.QueryMessage:
    query = dns.message.make_query(name, rdtype)
    if edns is not None:
        query.use_edns(0, payload=edns)
    return query


async def ask(
    lab: Lab, name: str, rdtype: str = "A", transport: str = "udp", *, edns: int | None = None
) -> dns.message.Message:
    """One query by dnspython's own client, which checks id, question and peer."""
    send = dns.asyncquery.udp if transport == "udp" else dns.asyncquery.tcp
    return await send(query_for(name, rdtype, edns=edns), lab.address[0], port=lab.address[1], timeout=10)


class Datagrams:
    """A UDP client that takes whatever comes, from whichever port, in the order in which it comes."""

    def __init__(self, sock: trio.socket.SocketType, server: tuple[str, int]) -> None:
        self._sock, self._server = sock, server
        self.sources: list[tuple[str, int]] = []

    async def send(self, message: dns.message.Message | bytes) -> None:
        await self._sock.sendto(octets_of(message), self._server)

    async def receive(self) -> dns.message.Message:
        octets, source = await self._sock.recvfrom(65_535)
        self.sources.append(source[:2])
        return dns.message.from_wire(octets)


class Connection:
    """A TCP client, likewise."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def send(self, *messages: dns.message.Message | bytes) -> None:
        framed = [len(octets).to_bytes(2, "big") + octets for octets in map(octets_of, messages)]
        await self.stream.send_all(b"".join(framed))

    async def receive(self) -> dns.message.Message:
        return dns.message.from_wire(await self._exactly(int.from_bytes(await self._exactly(2), "big")))

    async def _exactly(self, length: int) -> bytes:
        octets = b""
        while len(octets) < length:
            chunk = await self.stream.receive_some(length - len(octets))
            assert chunk, "the server closed the connection"
            octets += chunk
        return octets


def octets_of(message: dns.message.Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.to_wire()


@contextlib.asynccontextmanager
async def client(lab: Lab, transport: str) -> AsyncIterator[Datagrams | Connection]:
    if transport == "udp":
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", 0))
            yield Datagrams(sock, lab.address)
    else:
        async with await trio.open_tcp_stream(*lab.address) as stream:
            yield Connection(stream)


def texts(reply: dns.message.Message) -> list[str]:
    return [f"{rrset.name} {rdata}" for rrset in reply.answer for rdata in rrset]


def soa_of(reply: dns.message.Message) -> tuple[str, int] | None:
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return str(rrset.name), rrset.ttl
    return None


# Answers ------------------------------------------------------------------------------------------------


async def test_answer_existing_name_has_record_ttl_and_aa(lab: Lab, transport: str) -> None:
    reply = await ask(lab, "sip.example.com", transport=transport)
    assert texts(reply) == ["sip.example.com. 192.0.2.1"]
    assert reply.answer[0].ttl == 300
    assert reply.flags & dns.flags.AA
    assert not reply.flags & dns.flags.RA
    assert not reply.authority


async def test_answer_mixed_case_question_is_echoed_octet_for_octet(lab: Lab, transport: str) -> None:
    reply = await ask(lab, "SiP.eXample.COM", transport=transport)
    assert reply.question[0].name.to_text() == "SiP.eXample.COM."
    assert len(reply.answer[0]) == 1
    assert lab.queries["sip.example.com", "A"] == 1


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        ("nothing.example.com", "A", "NXDOMAIN"),
        ("sip.example.com", "AAAA", "NOERROR"),
        ("_udp.example.com", "SRV", "NOERROR"),
        ("gone.example.com", "A", "NXDOMAIN"),
    ],
    ids=["no-name", "no-type", "empty-non-terminal", "cname-to-nothing"],
)
async def test_answer_negative_carries_the_zone_soa(
    lab: Lab, transport: str, name: str, rdtype: str, rcode: str
) -> None:
    reply = await ask(lab, name, rdtype, transport)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert soa_of(reply) == ("example.com.", 300)
    assert {rrset.rdtype for rrset in reply.answer} <= {dns.rdatatype.CNAME}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alias.example.com", ["alias.example.com. sip.example.com.", "sip.example.com. 192.0.2.1"]),
        (
            "away.example.com",
            ["away.example.com. host.example.net.", "host.example.net. 198.51.100.1"],
        ),
        ("lost.example.com", ["lost.example.com. host.elsewhere."]),
        (
            "ring.example.com",
            ["ring.example.com. ring2.example.com.", "ring2.example.com. ring.example.com."],
        ),
    ],
    ids=["within-zone", "into-other-zone", "out-of-every-zone", "loop"],
)
async def test_answer_cname_is_followed(lab: Lab, name: str, expected: list[str]) -> None:
    reply = await ask(lab, name, edns=1232)
    assert texts(reply) == expected
    assert reply.rcode() == dns.rcode.NOERROR


async def test_answer_cname_asked_for_itself_is_not_followed(lab: Lab) -> None:
    assert texts(await ask(lab, "alias.example.com", "CNAME")) == ["alias.example.com. sip.example.com."]


@pytest.mark.parametrize(("links", "records"), [(30, 31), (63, 64), (64, 64), (65, 64)])
def test_resolve_long_chain_ends_at_the_cap(links: int, records: int) -> None:
    assert MAX_LINKS == 64
    namespace = build_namespace([chain_zone(links)], unknown="refused")
    answer = resolve(namespace, (b"c0", b"example", b"com"), dns.rdatatype.A)
    assert len(answer.records) == records
    assert (answer.records[-1].rdtype == dns.rdatatype.A) is (links < MAX_LINKS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("any.wild", "192.0.2.9"),
        ("two.deep.wild", "192.0.2.9"),
        ("*.wild", "192.0.2.9"),
        ("below.host.wild", "192.0.2.10"),
        ("host.wild", None),
        ("other.host.wild", None),
        ("wild", None),
    ],
)
async def test_answer_wildcard_reaches_from_the_closest_encloser(
    lab: Lab, name: str, expected: str | None
) -> None:
    reply = await ask(lab, f"{name}.example.com")
    assert texts(reply) == ([] if expected is None else [f"{name}.example.com. {expected}"])
    # Names that exist without records deny a type, not themselves.
    nxdomain = name == "other.host.wild"
    assert reply.rcode() == (dns.rcode.NXDOMAIN if nxdomain else dns.rcode.NOERROR)


async def test_answer_wildcard_cname_is_followed(lab: Lab) -> None:
    assert texts(await ask(lab, "x.walias.example.com")) == [
        "x.walias.example.com. sip.example.com.",
        "sip.example.com. 192.0.2.1",
    ]


async def test_answer_any_has_all_types(lab: Lab) -> None:
    reply = await ask(lab, "example.com", "ANY")
    assert {rrset.rdtype for rrset in reply.answer} == {dns.rdatatype.SOA, dns.rdatatype.NS}


async def test_answer_nested_zone_wins_over_its_parent(zones: list[Zone]) -> None:
    inner = parse_zone("@ 60 IN SOA ns h 1 1 1 1 30\n", origin="sub.example.com.")
    async with open_lab([*zones, inner]) as lab:
        assert soa_of(await ask(lab, "no.sub.example.com")) == ("sub.example.com.", 60)


async def test_unknown_refused_refuses_without_aa(lab: Lab, transport: str) -> None:
    reply = await ask(lab, "host.elsewhere", transport=transport)
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA


async def test_unknown_nxdomain_denies_with_root_soa(zones: list[Zone], transport: str) -> None:
    async with open_lab(zones, unknown="nxdomain") as lab:
        reply = await ask(lab, "host.elsewhere", transport=transport)
        assert (reply.rcode(), soa_of(reply)) == (dns.rcode.NXDOMAIN, (".", 86_400))
        assert reply.flags & dns.flags.RA
        chain = await ask(lab, "lost.example.com")
        assert (chain.rcode(), len(chain.answer)) == (dns.rcode.NXDOMAIN, 1)


@pytest.mark.parametrize("name", ["com", "."])
async def test_unknown_nxdomain_does_not_deny_parents_of_zones(zones: list[Zone], name: str) -> None:
    async with open_lab(zones, unknown="nxdomain") as lab:
        reply = await ask(lab, name)
        assert (reply.rcode(), soa_of(reply)) == (dns.rcode.NOERROR, (".", 86_400))


async def test_replace_zones_changes_the_next_answer(lab: Lab) -> None:
    lab.replace_zones([parse_zone(OTHER)])
    assert (await ask(lab, "sip.example.com")).rcode() == dns.rcode.REFUSED


async def test_answer_other_class_or_transfer_is_refused_and_other_opcode_not_implemented(lab: Lab) -> None:
    async with client(lab, "udp") as peer:
        await peer.send(dns.message.make_query("sip.example.com", "A", rdclass="HS"))
        assert (await peer.receive()).rcode() == dns.rcode.REFUSED
        await peer.send(query_for("example.com", "AXFR"))
        assert (await peer.receive()).rcode() == dns.rcode.REFUSED
        status = query_for("example.com")
        status.set_opcode(dns.opcode.STATUS)
        await peer.send(status)
        assert (await peer.receive()).rcode() == dns.rcode.NOTIMP


async def test_answer_chaos_count_is_the_total_and_not_counted(lab: Lab, transport: str) -> None:
    for expected in (b"0", b"0", b"1"):
        if expected == b"1":
            await ask(lab, "sip.example.com")
        async with client(lab, transport) as peer:
            await peer.send(dns.message.make_query("queries.dnslab.", "TXT", rdclass="CH"))
            (txt,) = (await peer.receive()).answer[0]
        assert txt.strings == (expected,)
    assert lab.queries == {("sip.example.com", "A"): 1}


# Sizes, EDNS, malformed ----------------------------------------------------------------------------------


async def test_edns_is_answered_only_when_asked(lab: Lab, transport: str) -> None:
    assert (await ask(lab, "sip.example.com", transport=transport)).edns == -1
    for name in ("sip.example.com", "nothing.example.com"):
        reply = await ask(lab, name, transport=transport, edns=1400)
        assert (reply.edns, reply.payload) == (0, 1232)


async def test_edns_do_bit_is_repeated(lab: Lab) -> None:
    query = dns.message.make_query("sip.example.com", "A", want_dnssec=True)
    reply = await dns.asyncquery.udp(query, lab.address[0], port=lab.address[1], timeout=10)
    assert reply.ednsflags & dns.flags.DO


async def test_size_is_kept_to_what_the_asker_takes(lab: Lab) -> None:
    whole = await ask(lab, "large.example.com", "SRV", "tcp", edns=4096)
    assert len(whole.answer[0]) == 60
    size = len(whole.to_wire())
    assert size > 512
    for payload, truncated in ((size - 1, True), (size, False), (size + 1, False)):
        reply = await ask(lab, "large.example.com", "SRV", edns=payload)
        assert bool(reply.flags & dns.flags.TC) is truncated
        assert bool(reply.answer) is not truncated


@pytest.mark.parametrize("edns", [None, 100])
async def test_size_without_edns_or_with_a_tiny_one_is_512(lab: Lab, edns: int | None) -> None:
    async with client(lab, "udp") as peer:
        await peer.send(query_for("large.example.com", "SRV", edns=edns))
        reply = await peer.receive()
        assert reply.flags & dns.flags.TC
        await peer.send(query_for("sip.example.com", edns=edns))
        assert (await peer.receive()).answer


BROKEN = {
    "empty": b"",
    "short-header": bytes(11),
    "no-question": bytes(12),
    "two-questions": bytes.fromhex("00010000000200000000000000000100010000010001"),
    "reply": bytes.fromhex("000180000001000000000000") + b"\x00\x00\x01\x00\x01",
    "compressed": bytes.fromhex("000100000001000000000000") + b"\xc0\x0c\x00\x01\x00\x01",
    "cut-label": bytes.fromhex("000100000001000000000000") + b"\x09abc",
    "cut-type": bytes.fromhex("000100000001000000000000") + b"\x03abc\x00\x00",
    "left-over": bytes.fromhex("000100000001000000000000") + b"\x03abc\x00\x00\x01\x00\x01x",
    "missing-opt": bytes.fromhex("000100000001000000000001") + b"\x03abc\x00\x00\x01\x00\x01",
    "two-opts": bytes.fromhex("000100000001000000000002")
    + b"\x03abc\x00\x00\x01\x00\x01"
    + b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00" * 2,
    "17-records": bytes.fromhex("000100000001000000000011")
    + b"\x03abc\x00\x00\x01\x00\x01"
    + b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00" * 17,
}


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN)
async def test_malformed_is_ignored_and_counted(lab: Lab, transport: str, octets: bytes) -> None:
    async with client(lab, transport) as peer:
        await peer.send(octets)
        following = query_for("sip.example.com")
        await peer.send(following)
        assert (await peer.receive()).id == following.id
    assert (lab.malformed, lab.total) == (1, 1)


@pytest.mark.parametrize(("octets", "accepted"), [(254, True), (255, True), (256, False), (257, False)])
def test_parse_query_name_length_is_bounded(octets: int, accepted: bool) -> None:
    # Three labels of 63 take 192 octets, the root 1: the last label makes up the rest.
    rest = octets - 192 - 1 - 1
    name = (b"\x3f" + b"a" * 63) * 3 + bytes([rest]) + b"b" * rest + b"\0"
    assert len(name) == octets
    query = parse_query(bytes.fromhex("000100000001000000000000") + name + b"\0\1\0\1")
    assert (query is not None) is accepted


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: bytes([0, 1, 1, 0, 0, 1]) + tail))
def test_decide_any_octets_never_raises(octets: bytes) -> None:
    lab = Lab([parse_zone(OTHER)], address=("127.0.0.1", 53), unknown="nxdomain")
    for message in lab.decide(octets, "udp", 0.0).messages:
        dns.message.from_wire(message.octets)
    assert lab.total + lab.malformed in (0, 1)


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_decide_any_name_gives_a_readable_reply(labels: list[bytes]) -> None:
    lab = Lab([parse_zone(OTHER)], address=("127.0.0.1", 53), unknown="nxdomain")
    query = dns.message.make_query(dns.name.Name((*labels, b"")), "A")
    (message,) = lab.decide(query.to_wire(), "udp", 0.0).messages
    assert query.is_response(dns.message.from_wire(message.octets))


@pytest.mark.parametrize(
    ("owner", "text"),
    [((), "."), ((b"a", b"example"), "a.example"), ((b"a.b",), "a\\046b"), ((b"\xff _",), "\\255\\032_")],
)
def test_owner_text_is_unambiguous(owner: tuple[bytes, ...], text: str) -> None:
    assert owner_text(owner) == text


# Faults -------------------------------------------------------------------------------------------------


async def test_fault_drop_sends_nothing(lab: Lab, transport: str) -> None:
    lab.faults = [Fault(effect=Effect.DROP, name="sip.example.com")]
    async with client(lab, transport) as peer:
        await peer.send(query_for("sip.example.com"))
        following = query_for("ns.example.com")
        await peer.send(following)
        assert (await peer.receive()).id == following.id
    assert lab.queries["sip.example.com", "A"] == 1


async def test_fault_truncate_is_whole_over_tcp(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.TRUNCATE)]
    over_udp = await ask(lab, "sip.example.com", edns=1232)
    assert over_udp.flags & dns.flags.TC
    assert not over_udp.answer
    assert over_udp.edns == 0
    over_tcp = await ask(lab, "sip.example.com", transport="tcp")
    assert not over_tcp.flags & dns.flags.TC
    assert over_tcp.answer


@pytest.mark.parametrize("effect", [Effect.SERVFAIL, Effect.REFUSED, Effect.FORMERR, Effect.NOTIMP])
async def test_fault_rcode_has_no_records(lab: Lab, transport: str, effect: Effect) -> None:
    lab.faults = [Fault(effect=effect)]
    reply = await ask(lab, "sip.example.com", transport=transport)
    assert dns.rcode.to_text(reply.rcode()) == effect.name
    assert not reply.answer
    assert not reply.authority


@pytest.mark.parametrize(
    ("first", "only"),
    [
        (Effect.WRONG_ID_FIRST, Effect.WRONG_ID_ONLY),
        (Effect.WRONG_QUESTION_FIRST, Effect.WRONG_QUESTION_ONLY),
    ],
)
async def test_fault_forgery_comes_first_or_alone(
    lab: Lab, transport: str, first: Effect, only: Effect
) -> None:
    lab.faults = [Fault(effect=first, rdtype="A"), Fault(effect=only, rdtype="AAAA")]
    async with client(lab, transport) as peer:
        query = query_for("sip.example.com", "A")
        await peer.send(query)
        forged, right = await peer.receive(), await peer.receive()
        assert not query.is_response(forged)
        assert (forged.id == query.id) is (first is Effect.WRONG_QUESTION_FIRST)
        assert (forged.rcode(), soa_of(forged)) == (dns.rcode.NXDOMAIN, (".", 86_400))
        assert query.is_response(right)
        assert right.answer

        await peer.send(query_for("sip.example.com", "AAAA"))
        following = query_for("sip.example.com", "TXT")
        await peer.send(following)
        assert not following.is_response(await peer.receive())
        assert following.is_response(await peer.receive())


async def test_fault_forgery_of_nxdomain_is_nodata(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.WRONG_ID_FIRST)]
    async with client(lab, "udp") as peer:
        await peer.send(query_for("nothing.example.com"))
        assert [(await peer.receive()).rcode() for _ in range(2)] == [dns.rcode.NOERROR, dns.rcode.NXDOMAIN]


async def test_fault_wrong_port_is_another_source(lab: Lab) -> None:
    lab.faults = [
        Fault(effect=Effect.WRONG_PORT_FIRST, times=1),
        Fault(effect=Effect.WRONG_PORT_ONLY, times=1),
    ]
    async with client(lab, "udp") as peer:
        assert isinstance(peer, Datagrams)
        for _ in range(2):
            await peer.send(query_for("sip.example.com"))
        replies = [await peer.receive() for _ in range(3)]
    from_stray = [source != lab.address for source in peer.sources]
    # Two sockets keep no order between them on every kernel: count, do not sequence.
    assert sorted(from_stray) == [False, True, True]
    assert [bool(reply.answer) for reply in replies] == [not stray for stray in from_stray]


async def test_fault_wrong_port_over_tcp_is_silence_or_nothing_amiss(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.WRONG_PORT_ONLY, times=1), Fault(effect=Effect.WRONG_PORT_FIRST)]
    async with client(lab, "tcp") as peer:
        await peer.send(query_for("sip.example.com"))
        following = query_for("sip.example.com")
        await peer.send(following)
        assert following.is_response(await peer.receive())


async def test_fault_lame_refers_upward(lab: Lab, transport: str) -> None:
    lab.faults = [Fault(effect=Effect.LAME)]
    reply = await ask(lab, "sip.example.com", transport=transport)
    assert (reply.rcode(), reply.answer, soa_of(reply)) == (dns.rcode.NOERROR, [], None)
    assert [str(rrset.name) for rrset in reply.authority] == ["."]
    assert reply.authority[0].rdtype == dns.rdatatype.NS
    assert not reply.flags & dns.flags.AA


@pytest.mark.parametrize(("name", "rcode"), [("nothing", "NXDOMAIN"), ("ns", "NOERROR")])
async def test_fault_no_soa_leaves_the_rcode(lab: Lab, transport: str, name: str, rcode: str) -> None:
    lab.faults = [Fault(effect=Effect.NO_SOA)]
    reply = await ask(lab, f"{name}.example.com", "TXT", transport)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert not reply.authority


async def test_fault_doubled_sends_twice(lab: Lab, transport: str) -> None:
    lab.faults = [Fault(effect=Effect.DOUBLED)]
    async with client(lab, transport) as peer:
        query = query_for("sip.example.com")
        await peer.send(query)
        assert query.is_response(await peer.receive())
        assert query.is_response(await peer.receive())
    assert lab.total == 1


async def test_fault_delay_holds_back_only_its_own_reply(
    lab: Lab, transport: str, autojump_clock: trio.testing.MockClock
) -> None:
    lab.faults = [Fault(name="sip.example.com", delay=7.5), Fault(name="ns.example.com", delay=2.5)]
    queries = [query_for(f"{name}.example.com") for name in ("sip", "ns", "nothing")]
    start = trio.current_time()
    async with client(lab, transport) as peer:
        for query in queries:
            await peer.send(query)
        for query, after in zip(reversed(queries), (0, 2.5, 7.5), strict=True):
            assert query.is_response(await peer.receive())
            assert trio.current_time() - start == pytest.approx(after)
    assert lab.delayed == 0


async def test_fault_delay_goes_with_any_effect(lab: Lab, autojump_clock: trio.testing.MockClock) -> None:
    lab.faults = [Fault(effect=Effect.SERVFAIL, delay=3)]
    start = trio.current_time()
    async with client(lab, "udp") as peer:
        await peer.send(query_for("sip.example.com"))
        assert (await peer.receive()).rcode() == dns.rcode.SERVFAIL
    assert trio.current_time() - start == pytest.approx(3)


async def test_fault_delay_past_the_bound_drops_and_counts(
    lab: Lab, transport: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(f"tools.dnslab.{transport}.MAX_DELAYED", 2)
    lab.faults = [Fault(delay=1)]
    queries = [query_for("sip.example.com") for _ in range(3)]
    async with client(lab, transport) as peer:
        for query in queries:
            await peer.send(query)
        replies = {(await peer.receive()).id for _ in range(2)}
    assert replies == {query.id for query in queries[:2]}
    assert (lab.total, lab.tally.overflowed, lab.delayed) == (3, 1, 0)


async def test_fault_times_meets_only_the_first_queries(lab: Lab, transport: str) -> None:
    lab.faults.append(Fault(effect=Effect.SERVFAIL, times=2))
    rcodes = [(await ask(lab, "sip.example.com", transport=transport)).rcode() for _ in range(4)]
    assert rcodes == [dns.rcode.SERVFAIL] * 2 + [dns.rcode.NOERROR] * 2


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (Fault(), True),
        (Fault(name="a.b.example"), True),
        (Fault(name="A.B.example."), True),
        (Fault(name="b.example"), False),
        (Fault(name="*.example"), True),
        (Fault(name="*.b.example"), True),
        (Fault(name="*.a.b.example"), False),
        (Fault(name="*.ample"), False),
        (Fault(rdtype="SRV"), True),
        (Fault(rdtype="srv"), True),
        (Fault(rdtype="A"), False),
        (Fault(transport="udp"), True),
        (Fault(transport="tcp"), False),
        (Fault(share=0.0), False),
    ],
)
def test_fault_rules_choose_by_scope(fault: Fault, met: bool) -> None:
    assert (FaultRules([fault]).choose("a.b.example", "SRV", "udp") is fault) is met


def test_fault_rules_first_match_wins_and_a_used_up_rule_passes_on() -> None:
    rules = FaultRules([Fault(effect=Effect.DROP, times=1), Fault(effect=Effect.LAME)])
    chosen = [rules.choose("a", "A", "udp") for _ in range(3)]
    assert [fault and fault.effect for fault in chosen] == [Effect.DROP, Effect.LAME, Effect.LAME]


def test_fault_rules_change_like_a_list_and_start_their_uses_anew() -> None:
    once, lame = Fault(effect=Effect.DROP, times=1), Fault(effect=Effect.LAME)
    rules = FaultRules([once])
    assert rules.choose("a", "A", "udp") is once
    assert rules.choose("a", "A", "udp") is None
    rules[0] = once
    assert rules.choose("a", "A", "udp") is once
    rules.insert(0, lame)
    assert (list(rules), rules[1:]) == ([lame, once], [once])
    rules[:] = [once, lame]
    assert rules.choose("a", "A", "udp") is once
    del rules[0]
    assert list(rules) == [lame]
    rules.clear()
    assert rules.choose("a", "A", "udp") is None


def test_fault_rules_share_is_about_that_share() -> None:
    rules = FaultRules([Fault(effect=Effect.DROP, share=0.25)])
    met = sum(rules.choose("a", "A", "udp") is not None for _ in range(10_000))
    assert 2_300 < met < 2_700


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": -0.1},
        {"delay": float("inf")},
        {"share": 1.1},
        {"share": float("nan")},
        {"times": 0},
        {"rdtype": "SVR"},
    ],
)
def test_fault_out_of_bounds_is_a_value_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fault(**wrong)  # type: ignore[arg-type]


# Counts -------------------------------------------------------------------------------------------------


async def test_counts_are_by_name_type_and_transport(lab: Lab) -> None:
    before = trio.current_time()
    for name, rdtype, transport in [("sip", "A", "udp"), ("SIP", "A", "tcp"), ("sip", "TYPE65280", "udp")]:
        await ask(lab, f"{name}.example.com", rdtype, transport)
    assert lab.queries == {("sip.example.com", "A"): 2, ("sip.example.com", "TYPE65280"): 1}
    assert (lab.total, lab.udp_queries, lab.tcp_queries) == (3, 2, 1)
    assert [sighting.transport for sighting in lab.log] == ["udp", "tcp", "udp"]
    assert [sighting.time for sighting in lab.log] == list(lab.times) == sorted(lab.times)
    assert before <= lab.times[0] <= lab.times[-1] <= trio.current_time()
    lab.clear_counts()
    assert (lab.total, len(lab.queries), len(lab.log), len(lab.times)) == (0, 0, 0, 0)


def test_tally_distinct_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.dnslab.tally.MAX_COUNTED", 2)
    tally = Tally()
    for owner in ("a", "b", "c", "a"):
        tally.record(owner, "A", "udp", 0.0)
    assert tally.queries == {("a", "A"): 2, ("b", "A"): 1}
    assert (tally.total, tally.uncounted) == (4, 1)


async def test_wait_for_queries_returns_at_the_count(lab: Lab, nursery: trio.Nursery) -> None:
    await lab.wait_for_queries(0)
    woken = trio.Event()

    async def wait() -> None:
        await lab.wait_for_queries(2)
        woken.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    lab.tally.record("a", "A", "udp", 0.0)
    await trio.testing.wait_all_tasks_blocked()
    assert not woken.is_set()
    await ask(lab, "sip.example.com")
    await woken.wait()


async def test_wait_for_queries_cancelled_leaves_nothing(
    lab: Lab, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after(5) as scope:
        await lab.wait_for_queries(1)
    assert scope.cancelled_caught
    assert not lab.tally._waiting


# Ways in ------------------------------------------------------------------------------------------------


async def test_open_lab_ipv6_serves_both_transports(zones: list[Zone]) -> None:
    try:
        async with open_lab(zones, host="::1") as lab:
            assert lab.address[0] == "::1"
            for transport in ("udp", "tcp"):
                assert (await ask(lab, "sip.example.com", transport=transport)).answer
    except AddressError as error:
        pytest.skip(f"no IPv6 loopback: {error}")


async def test_open_lab_same_port_again_after_connections(zones: list[Zone]) -> None:
    port = 0
    for _ in range(3):
        async with open_lab(zones, port=port) as lab:
            port = port or lab.address[1]
            assert lab.address == ("127.0.0.1", port)
            async with client(lab, "tcp") as peer:
                await peer.send(query_for("sip.example.com"))
                assert (await peer.receive()).answer


async def test_open_lab_taken_or_wrong_address_is_an_address_error(lab: Lab, zones: list[Zone]) -> None:
    for host, port in [lab.address, ("localhost", 0), ("127.0.0.1", 70_000), ("192.0.2.1", 0)]:
        with pytest.raises(AddressError, match=host):
            async with open_lab(zones, host=host, port=port):
                pytest.fail("was opened")


async def test_open_lab_port_taken_over_tcp_only_leaves_udp_free(zones: list[Zone]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError):
            async with open_lab(zones, port=port):
                pytest.fail("was opened")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


async def test_open_lab_cancelled_with_replies_and_connections_open(zones: list[Zone]) -> None:
    with trio.fail_after(10), trio.CancelScope() as scope:
        async with open_lab(zones) as lab:
            lab.faults.append(Fault(delay=3600))
            async with client(lab, "tcp") as stream, client(lab, "udp") as datagrams:
                await stream.send(query_for("sip.example.com"))
                await datagrams.send(query_for("sip.example.com"))
                await lab.wait_for_queries(2)
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert lab.delayed == 0


async def test_udp_many_askers_at_once_all_answered(lab: Lab) -> None:
    queries = {query.id: query for query in (query_for(f"n{at}.example.com") for at in range(200))}
    async with client(lab, "udp") as peer:
        for query in queries.values():
            await peer.send(query)
        for _ in range(len(queries)):
            reply = await peer.receive()
            assert queries.pop(reply.id).is_response(reply)


async def test_tcp_several_queries_in_one_segment_and_one_in_pieces(lab: Lab) -> None:
    queries = [query_for(f"n{at}.example.com") for at in range(20)]
    async with client(lab, "tcp") as peer:
        assert isinstance(peer, Connection)
        await peer.send(*queries)
        for query in queries:
            assert query.is_response(await peer.receive())
        octets = queries[0].to_wire()
        for octet in len(octets).to_bytes(2, "big") + octets:
            await peer.stream.send_all(bytes([octet]))
        assert queries[0].is_response(await peer.receive())
    assert (lab.tcp_queries, lab.udp_queries) == (21, 0)


async def test_tcp_half_closed_peer_still_gets_its_delayed_reply(
    lab: Lab, autojump_clock: trio.testing.MockClock
) -> None:
    lab.faults.append(Fault(delay=2))
    async with client(lab, "tcp") as peer:
        assert isinstance(peer, Connection)
        await peer.send(query_for("sip.example.com"))
        await peer.stream.send_eof()
        assert (await peer.receive()).answer
        assert await peer.stream.receive_some() == b""


async def test_tcp_idle_connection_is_closed(lab: Lab, autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    async with client(lab, "tcp") as peer:
        assert isinstance(peer, Connection)
        await peer.stream.send_all(b"\x00")
        assert await peer.stream.receive_some() == b""
    assert trio.current_time() - start == pytest.approx(10)


async def test_tcp_connections_past_the_bound_are_closed_at_once(
    zones: list[Zone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.dnslab.tcp.MAX_CONNECTIONS", 1)
    async with open_lab(zones) as lab, client(lab, "tcp") as first:
        await first.send(query_for("sip.example.com"))
        await first.receive()
        async with client(lab, "tcp") as second:
            assert isinstance(second, Connection)
            assert await second.stream.receive_some() == b""
        await first.send(query_for("sip.example.com"))
        await first.receive()
    assert lab.tally.overflowed == 1


async def test_tcp_peer_that_resets_harms_nobody(lab: Lab) -> None:
    lab.faults.append(Fault(name="sip.example.com", effect=Effect.DOUBLED))
    async with client(lab, "tcp") as peer:
        assert isinstance(peer, Connection)
        # Linger 0: close sends RST, and the reply meets a broken connection.
        peer.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await peer.send(*[query_for("sip.example.com")] * 50)
    assert (await ask(lab, "ns.example.com", transport="tcp")).answer


# Zones --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ORIGIN|empty"),
        ("a IN A 192.0.2.1\n", "ORIGIN"),
        ("$ORIGIN a.example.\n", "SOA"),
        ("$ORIGIN a.example.\n@ 60 IN NS ns\n", "no SOA"),
        ("$ORIGIN a.example.\n@ 60 IN A 192.0.2.300\n", "does not parse"),
        ("$ORIGIN a.example.\n@ 60 IN A 192.0.2.3\n@ 60 IN CNAME b\n", "does not parse"),
    ],
)
def test_parse_zone_unusable_is_a_zone_error_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ZoneError, match=message) as raised:
        parse_zone(text)
    assert "\n" not in str(raised.value)


def test_read_zone_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zone"
    with pytest.raises(ZoneError, match=r"a\.zone: cannot be read"):
        read_zone(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ZoneError, match=r"a\.zone: cannot be read"):
        read_zone(path)
    path.write_text("nonsense", encoding="utf-8")
    with pytest.raises(ZoneError, match=r"a\.zone: "):
        read_zone(path)
    path.write_text(OTHER, encoding="utf-8")
    assert read_zone(path).origin == (b"example", b"net")


# Command line -------------------------------------------------------------------------------------------


@pytest.fixture
def zone_file(tmp_path: Path) -> Path:
    path = tmp_path / "example.zone"
    path.write_text(ZONE, encoding="utf-8")
    return path


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_command_serves_till_a_signal_then_sums_up(zone_file: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "tools.dnslab", "--zone", str(zone_file), "--unknown", "nxdomain"]
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        async with process.stdout, process.stderr:
            try:
                line = b""
                while not line.endswith(b"\n"):
                    chunk = await process.stdout.receive_some()
                    assert chunk, "ended before it was ready"
                    line += chunk
                assert line.startswith(b"listening on 127.0.0.1:")
                port = int(line.rpartition(b":")[2])
                query = query_for("a.elsewhere")
                for send in (dns.asyncquery.udp, dns.asyncquery.tcp):
                    reply = await send(query, "127.0.0.1", port=port, timeout=10)
                    assert reply.rcode() == dns.rcode.NXDOMAIN
                process.send_signal(sent)
                assert await process.wait() == 0
            finally:
                process.kill()
            summary = b"".join([chunk async for chunk in process.stderr])
    assert summary == b"dnslab: 2 queries (1 UDP, 1 TCP), 0 malformed, 0 over a bound, 0 unsent\n"


async def test_command_only_delays_what_is_below_the_name(zone_file: Path) -> None:
    command = [sys.executable, "-m", "tools.dnslab", "--zone", str(zone_file), "--unknown", "nxdomain"]
    command += ["--delay", "60", "--only", "*.slow.test"]
    with running(command, ready=r"listening on 127.0.0.1:(\d+)", core=None) as server:
        reply = await dns.asyncquery.udp(query_for("slow.test"), "127.0.0.1", port=server.port, timeout=10)
        assert reply.rcode() == dns.rcode.NXDOMAIN
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query_for("a.slow.test"), "127.0.0.1", port=server.port, timeout=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--zone"),
        (["--zone", "/nonexistent/a.zone"], "/nonexistent/a.zone"),
        (["--zone", "pyproject.toml"], "pyproject.toml"),
        (["--zone", "ZONE", "--drop", "1.5"], "--drop"),
        (["--zone", "ZONE", "--delay", "-1"], "--delay"),
        (["--zone", "ZONE", "--port", "70000"], "70000"),
        (["--zone", "ZONE", "--host", "localhost"], "localhost"),
        (["--zone", "ZONE", "--unknown", "servfail"], "servfail"),
    ],
)
async def test_command_bad_usage_is_one_line_and_exit_2(
    zone_file: Path, arguments: list[str], message: str
) -> None:
    given_arguments = [str(zone_file) if argument == "ZONE" else argument for argument in arguments]
    with trio.fail_after(30):
        ended = await trio.run_process(
            [sys.executable, "-m", "tools.dnslab", *given_arguments],
            cwd=REPOSITORY,
            check=False,
            capture_stdout=True,
            capture_stderr=True,
        )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert message in ended.stderr.decode()
    assert ended.stderr.count(b"\n") == 1


# Signed zones.


async def ask_signed(name: str, rdtype: str = "A", *, dnssec: bool = True) -> dns.message.Message:
    async with open_lab([signed(parse_zone(ZONE)), parse_zone(OTHER)]) as lab:
        query = dns.message.make_query(name, rdtype, want_dnssec=dnssec)
        return await dns.asyncquery.udp(query, lab.address[0], port=lab.address[1], timeout=10)


def proofs(reply: dns.message.Message) -> set[tuple[str, str]]:
    return {
        (str(rrset.name), str(rrset[0].next))
        for rrset in reply.authority
        if rrset.rdtype == dns.rdatatype.NSEC
    }


APEX_PROOF = ("example.com.", "_sip._udp.example.com.")
"""Covers the wildcard at the apex."""


@pytest.mark.parametrize(
    ("name", "rcode", "expected"),
    [
        ("host.example.com.", "NXDOMAIN", {("gone.example.com.", "lost.example.com."), APEX_PROOF}),
        ("zz.example.com.", "NXDOMAIN", {("below.host.wild.example.com.", "example.com."), APEX_PROOF}),
        ("x.sip.example.com.", "NXDOMAIN", {("sip.example.com.", "upper.example.com.")}),
        ("sip.example.com.", "NOERROR", {("sip.example.com.", "upper.example.com.")}),
        ("host.wild.example.com.", "NOERROR", {("*.wild.example.com.", "below.host.wild.example.com.")}),
        ("x.wild.example.com.", "NOERROR", {
            ("*.wild.example.com.", "below.host.wild.example.com."),
            ("below.host.wild.example.com.", "example.com."),
        }),
        ("gone.example.com.", "NXDOMAIN", {("lost.example.com.", "ns.example.com."), APEX_PROOF}),
    ],
)  # fmt: skip
async def test_negative_answer_of_a_signed_zone_has_its_proof(
    name: str, rcode: str, expected: set[tuple[str, str]]
) -> None:
    """Of two records that a denial takes, one may do for both (RFC 4035 section 3.1.3)."""
    reply = await ask_signed(name, "TXT")
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert reply.flags & dns.flags.AD
    assert proofs(reply) == expected
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.RRSIG:
            assert str(rrset[0].signer) == "example.com."
            assert rrset[0].labels == len([label for label in rrset.name.labels if label not in (b"", b"*")])
            assert reply.find_rrset(reply.authority, rrset.name, dns.rdataclass.IN, dns.rdatatype.NSEC)


async def test_positive_answer_of_a_signed_zone_has_ad_and_no_proof() -> None:
    reply = await ask_signed("sip.example.com.")
    assert reply.flags & dns.flags.AD
    assert not reply.authority


async def test_negative_answer_of_a_signed_zone_has_no_proof_for_who_does_not_ask_for_it() -> None:
    reply = await ask_signed("host.example.com.", dnssec=False)
    assert not reply.flags & dns.flags.AD
    assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize("name", ["none.example.net.", "host.example.net.", "away.example.com."])
async def test_answer_that_an_unsigned_zone_has_a_part_in_has_no_ad(name: str) -> None:
    reply = await ask_signed(name)
    assert not reply.flags & dns.flags.AD
    assert proofs(reply) == set()
