"""Reading DNS queries: every octet string is a query, a fault or nothing; held against dnspython."""

from ipaddress import ip_address, ip_network

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastvhost.faces.dns_query import Faulty, Query, Rcode, read_query

labels = st.lists(st.binary(min_size=1, max_size=63), max_size=6).filter(
    lambda labels: sum(1 + len(label) for label in labels) < 255
)
numbers = st.integers(0, 0xFFFF)


def wire(name: str = "a.vhost.internal", rtype: str = "A", **edns: object) -> bytes:
    return dns.message.make_query(name, rtype, id=7, **edns).to_wire()


EDNS = wire(use_edns=0)


def subnet(content: bytes) -> bytes:
    return wire(options=[dns.edns.GenericOption(8, content)])


def query(message: bytes) -> Query:
    read = read_query(message)
    assert isinstance(read, Query), read
    return read


def rcode(message: bytes) -> Rcode | None:
    read = read_query(message)
    return read.rcode if isinstance(read, Faulty) else None


@settings(deadline=None)
@given(labels=labels, qtype=numbers, qclass=numbers, rd=st.booleans(), cd=st.booleans())
def test_query_without_edns_is_read_as_dnspython_wrote_it(
    labels: list[bytes], qtype: int, qclass: int, rd: bool, cd: bool
) -> None:
    message = dns.message.make_query(
        dns.name.Name([*labels, b""]),
        dns.rdatatype.RdataType.make(qtype),
        dns.rdataclass.RdataClass.make(qclass),
    )
    message.flags = (dns.flags.RD if rd else 0) | (dns.flags.CD if cd else 0)
    octets = message.to_wire()
    read = query(octets)
    assert (read.labels, read.qtype, read.qclass) == (tuple(labels), qtype, qclass)
    assert (read.head.question, read.head.edns, read.head.flags) == (octets[12:], None, message.flags)


@settings(deadline=None)
@given(
    payload=numbers,
    do=st.booleans(),
    options=st.lists(st.tuples(st.integers(65001, 65534), st.binary()), max_size=8),
)
def test_query_with_edns_is_read_as_dnspython_wrote_it(
    payload: int, do: bool, options: list[tuple[int, bytes]]
) -> None:
    message = dns.message.make_query("a.vhost.internal", "A", payload=payload, use_edns=0, want_dnssec=do)
    message.use_edns(0, message.ednsflags, payload, options=[dns.edns.GenericOption(*one) for one in options])
    edns = query(message.to_wire(max_size=0xFFFF)).head.edns
    assert edns is not None
    assert (edns.payload, edns.dnssec_ok, edns.subnet, edns.source) == (payload, do, b"", None)


@settings(deadline=None)
@given(octets=st.binary(max_size=200))
@example(b"")
@example(bytes(12))
@example(wire()[:-1])
def test_any_octets_are_a_query_a_fault_or_nothing(octets: bytes) -> None:
    read = read_query(octets)
    assert (read is None) == (len(octets) < 12 or octets[2] >= 0x80)


@settings(deadline=None)
@given(
    message=st.sampled_from([wire(use_edns=0), subnet(b"\0\1\x20\0\xc0\0\2\1"), wire("x." * 99 + "y")]),
    place=st.integers(0, 300),
    octet=st.integers(0, 255),
)
def test_query_with_one_octet_changed_is_never_taken_where_dnspython_finds_a_fault(
    message: bytes, place: int, octet: int
) -> None:
    changed = bytearray(message)
    changed[place % len(message)] = octet
    read = read_query(bytes(changed))
    if isinstance(read, Query):
        try:
            parsed = dns.message.from_wire(bytes(changed))
        except (dns.message.BadEDNS, dns.exception.DNSException, ValueError):
            # dnspython also reads the options that are nothing to us, and the records beside OPT.
            assert read.head.edns is not None or changed[11]
            return
        assert [question.rdtype for question in parsed.question] == [read.qtype]
        assert parsed.question[0].name.labels[:-1] == read.labels


@pytest.mark.parametrize(
    ("what", "message", "expected"),
    [
        ("no question", b"\0\1\1\0\0\0\0\0\0\0\0\0", Rcode.FORMERR),
        ("two questions", b"\0\1\1\0\0\2\0\0\0\0\0\0" + b"\1a\0\0\1\0\1" * 2, Rcode.FORMERR),
        ("an answer", b"\0\1\1\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1", Rcode.FORMERR),
        ("an authority", b"\0\1\1\0\0\1\0\0\0\1\0\0\1a\0\0\1\0\1", Rcode.FORMERR),
        ("a pointer as name", b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", Rcode.FORMERR),
        ("a label of another kind", wire()[:12] + b"\x41" + b"a" * 65 + b"\0\0\1\0\1", Rcode.FORMERR),
        ("cut in the name", wire()[:20], Rcode.FORMERR),
        ("cut in the type", wire()[:-3], Rcode.FORMERR),
        ("octets behind the end", wire() + b"\0", Rcode.FORMERR),
        ("OPT cut short", wire(use_edns=0)[:-1], Rcode.FORMERR),
        ("OPT twice", EDNS[:11] + b"\2" + EDNS[12:] + EDNS[-11:], Rcode.FORMERR),
        ("OPT with a name", wire()[:11] + b"\1" + wire()[12:] + b"\1a\0\0\x29" + bytes(8), Rcode.FORMERR),
        ("EDNS 1", wire(use_edns=0)[:-5] + b"\1\0\0\0\0", Rcode.BADVERS),
        ("a notification", b"\0\1\x24\0\0\1\0\0\0\0\0\0\1a\0\0\6\0\1", Rcode.NOTIMP),
        ("an update", b"\0\1\x28\0\0\1\0\0\0\1\0\0\1a\0\0\6\0\1", Rcode.NOTIMP),
    ],
)  # fmt: skip
def test_query_with_a_fault_gets_its_rcode(what: str, message: bytes, expected: Rcode) -> None:
    assert rcode(message) is expected, what


@pytest.mark.parametrize("octets", [0, 11])
def test_message_too_short_for_a_header_is_nothing(octets: int) -> None:
    assert read_query(wire()[:octets]) is None


def test_response_is_nothing() -> None:
    message = bytearray(wire())
    message[2] |= 0x80
    assert read_query(bytes(message)) is None


@pytest.mark.parametrize(("octets", "taken"), [(254, True), (255, True), (256, False)])
def test_name_at_its_bound_is_taken_and_above_a_fault(octets: int, taken: bool) -> None:
    name = b"\x3f" + b"a" * 63 + b"\x3f" + b"b" * 63 + b"\x3f" + b"c" * 63
    last = octets - len(name) - 2
    name += bytes([last]) + b"d" * last + b"\0"
    assert len(name) == octets
    message = wire()[:12] + name + b"\0\1\0\1"
    assert isinstance(read_query(message), Query) is taken


def test_record_beside_opt_is_passed_over_compressed_name_and_all() -> None:
    message = bytearray(wire(use_edns=0, payload=4000))
    message[11] = 2
    beside = b"\xc0\x0c\0\xfa\0\1\0\0\0\0\0\2hi"
    edns = query(bytes(message[:-11]) + beside + bytes(message[-11:])).head.edns
    assert edns is not None
    assert edns.payload == 4000


@pytest.mark.parametrize(
    ("network", "source"),
    [
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0"),
        ("192.0.2.128/25", "192.0.2.128"),
        ("128.0.0.0/1", "128.0.0.0"),
        ("0.0.0.0/0", None),
        ("2001:db8::1/128", "2001:db8::1"),
        ("2001:db8::/56", "2001:db8::"),
        ("::/0", None),
        ("::ffff:192.0.2.1/128", "192.0.2.1"),
    ],
)
def test_client_subnet_names_the_network_address_as_source(network: str, source: str | None) -> None:
    named = ip_network(network)
    option = dns.edns.ECSOption(str(named.network_address), named.prefixlen)
    edns = query(wire(options=[option])).head.edns
    assert edns is not None
    assert edns.source == (None if source is None else ip_address(source))
    assert edns.subnet == option.to_wire()


def test_client_subnet_of_no_family_and_no_bits_names_nobody() -> None:
    edns = query(subnet(bytes(4))).head.edns
    assert edns is not None
    assert (edns.source, edns.subnet) == (None, bytes(4))


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("empty", b""),
        ("cut short", b"\0\1\x20"),
        ("an octet too few", b"\0\1\x20\0\xc0\0\2"),
        ("an octet too many", b"\0\1\x20\0\xc0\0\2\1\0"),
        ("an octet where the prefix has none", b"\0\1\0\0\0"),
        ("a bit beyond the prefix", b"\0\1\x17\0\xc0\0\3"),
        ("a prefix over 32", b"\0\1\x21\0\xc0\0\2\1\0"),
        ("a prefix over 128", b"\0\2\x81\0" + bytes(17)),
        ("a scope", b"\0\1\x20\1\xc0\0\2\1"),
        ("family 3", b"\0\3\0\0"),
        ("family 0 with a prefix", b"\0\0\x08\0\x0a"),
    ],
)
def test_client_subnet_that_is_malformed_is_a_fault_whose_reply_has_edns(what: str, content: bytes) -> None:
    read = read_query(subnet(content))
    assert isinstance(read, Faulty), what
    assert read.rcode is Rcode.FORMERR
    assert read.head.edns is not None


def test_client_subnet_given_twice_is_a_fault() -> None:
    option = dns.edns.ECSOption("192.0.2.1", 32)
    assert rcode(wire(options=[option, option])) is Rcode.FORMERR
