"""The reader of messages against dnspython's: good messages, damaged ones, and those made to hurt."""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from ipaddress import IPv4Address
from struct import Struct
from typing import NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.NSEC
import dns.rdtypes.ANY.RRSIG
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.CH.A
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.rdtypes.util
import dns.rrset
import pytest
from dns.rdataclass import CH, HS, IN
from dns.rdatatype import (
    AAAA,
    CNAME,
    DNAME,
    MX,
    NAPTR,
    NS,
    NSEC,
    OPT,
    PTR,
    RRSIG,
    SOA,
    SRV,
    A,
)
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from fastvhost.resolve.message import (
    MAX_LABELS,
    MAX_NSECS,
    MAX_RECORDS,
    MalformedMessageError,
    Message,
    Soa,
    read_message,
)
from fastvhost.resolve.reply import RrType
from tools.fuzz import dnspython_reader
from tools.fuzz.dnspython_reader import TYPES_TOLD, dnspython_message, name_of

FIXED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),  # to explain a failure takes minutes
)

HEADER = Struct("!6H")
FIXED_PART = Struct("!HHIH")

QUESTION = dns.name.from_text("Sip.Example.com.")
QUESTION_END = HEADER.size + len(QUESTION.to_wire()) + 4


def read(octets: bytes) -> Message:
    return read_message(octets, QUESTION_END)


def assert_read_as_by_dnspython(octets: bytes) -> None:
    dnspython_reader.assert_read_as_by_dnspython(octets, QUESTION_END)


def assert_rejected_or_read_as_by_dnspython(octets: bytes) -> None:
    dnspython_reader.assert_rejected_or_read_as_by_dnspython(octets, QUESTION_END)


# Messages, written by dnspython's names and records, with any TTL and class.


COMPRESSED = frozenset({CNAME, MX, NAPTR, NS, PTR, SOA, SRV})
"""Types with names that dnspython follows pointers in (RFC 3597 section 4)."""


class Entry(NamedTuple):
    owner: dns.name.Name
    ttl: int
    rdata: dns.rdata.Rdata


def written(*sections: list[Entry], rcode: int = 0, compress: bool = True) -> bytes:
    file, table = BytesIO(), {} if compress else None
    counts = [len(section) for section in sections] + [0] * (3 - len(sections))
    file.write(HEADER.pack(0x1234, 0x8180 | rcode, 1, *counts))
    QUESTION.to_wire(file, table)
    file.write(b"\0\1\0\1")
    for owner, ttl, rdata in (entry for section in sections for entry in section):
        owner.to_wire(file, table)
        fixed_at = file.tell()
        file.write(bytes(FIXED_PART.size))
        rdata.to_wire(file, table if rdata.rdtype in COMPRESSED else None)
        end = file.tell()
        file.seek(fixed_at)
        file.write(FIXED_PART.pack(rdata.rdtype, rdata.rdclass, ttl, end - fixed_at - FIXED_PART.size))
        file.seek(end)
    return file.getvalue()


NAMED_LABELS = (
    b"a", b"A", b"sip", b"SIP", b"_sip", b"xn--p1ai", b"a.b", b".", b"\\", b"\\.", b"\\046", b"@", b"*", b'"',
    b"(", b"$", b";", b" ", b"\0", b"\t", b"\x7f", b"\x80", b"\xc0\x0c", b"\xff", b"\xc3\x84", b"x" * 63,
)  # fmt: skip
LABELS = st.sampled_from(NAMED_LABELS) | st.binary(min_size=1, max_size=40)
FEW = [QUESTION, *map(dns.name.from_text, (".", "com.", "a.sip.example.com.", r"a\.b.com.", r"\\.com."))]
NAMES = st.sampled_from(FEW) | st.lists(LABELS, max_size=3).flatmap(
    lambda labels: st.sampled_from(FEW).map(lambda end: dns.name.Name(labels) + end)
)
U16 = st.integers(0, 0xFFFF)
U32 = st.sampled_from([0, 1, 60, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
STRINGS = st.sampled_from([b"", b"s", b"S", b"SIP+D2U", b"\\", b"\xff", b"a" * 255]) | st.binary(max_size=20)


def built(
    kind: type[dns.rdata.Rdata], rdclass: int, rdtype: int, *parts: st.SearchStrategy
) -> st.SearchStrategy:
    return st.builds(kind, st.just(rdclass), st.just(rdtype), *parts)


OURS = st.one_of(
    built(dns.rdtypes.IN.A.A, IN, A, st.ip_addresses(v=4).map(str)),
    built(dns.rdtypes.IN.AAAA.AAAA, IN, AAAA, st.ip_addresses(v=6).map(str)),
    built(dns.rdtypes.IN.SRV.SRV, IN, SRV, U16, U16, U16, NAMES),
    built(dns.rdtypes.IN.NAPTR.NAPTR, IN, NAPTR, U16, U16, STRINGS, STRINGS, STRINGS, NAMES),
    built(dns.rdtypes.ANY.CNAME.CNAME, IN, CNAME, NAMES),
)
SOAS = built(dns.rdtypes.ANY.SOA.SOA, IN, SOA, NAMES, NAMES, U32, U32, U32, U32, U32)
BITMAPS = st.builds(
    lambda types: dns.rdtypes.util.Bitmap.from_rdtypes(map(dns.rdatatype.RdataType.make, types)).windows,
    st.sets(st.sampled_from(sorted(TYPES_TOLD)) | U16.filter(bool), max_size=12),
)
PROOFS = st.one_of(
    built(dns.rdtypes.ANY.NSEC.NSEC, IN, NSEC, NAMES, BITMAPS),
    built(
        dns.rdtypes.ANY.RRSIG.RRSIG,
        IN,
        RRSIG,
        st.sampled_from([NSEC, NSEC, NSEC, SOA]),
        st.just(13),
        st.integers(0, 255),
        *[U32] * 3,
        U16,
        NAMES,
        st.binary(max_size=64),
    ),
)
IGNORED = st.sampled_from(
    [
        dns.rdata.from_text(IN, rdtype, text)
        for rdtype, text in [
            ("TXT", r'"a" "\255"'),
            ("MX", "10 sip.example.com."),
            ("NS", "ns.example.com."),
            ("PTR", "sip.example.com."),
            ("DNAME", "example.net."),
            ("HTTPS", "1 . alpn=h2"),
            ("NSEC", "a.example.com. A AAAA SRV NAPTR"),
            ("NSEC3", "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX"),
            ("DS", "12345 8 2 " + "ab" * 32),
            ("DNSKEY", "257 3 8 AwEAAag="),
            ("RRSIG", "SRV 8 3 300 20300101000000 20200101000000 12345 example.com. AwEAAag="),
            ("TYPE65280", r"\# 3 c00c00"),
        ]
    ]
)
FOREIGN = st.one_of(
    built(dns.rdtypes.CH.A.A, CH, A, NAMES, U16),
    built(dns.rdtypes.ANY.CNAME.CNAME, CH, CNAME, NAMES),
    built(dns.rdtypes.ANY.SOA.SOA, HS, SOA, NAMES, NAMES, U32, U32, U32, U32, U32),
    built(dns.rdata.GenericRdata, HS, SRV, st.binary(max_size=20)),
    built(dns.rdata.GenericRdata, 254, AAAA, st.binary(max_size=20)),
)


def entries(rdatas: st.SearchStrategy, *, most: int = 6) -> st.SearchStrategy[list[Entry]]:
    return st.lists(st.builds(Entry, NAMES, U32, rdatas), max_size=most)


EDNS = st.builds(
    lambda rcode, size, options: Entry(
        dns.name.root, rcode >> 4 << 24, dns.rdata.from_wire(size, OPT, options, 0, len(options))
    ),
    st.integers(0, 0xFFF),
    U16,
    st.sampled_from([b"", b"\0\x0f\0\2\0\0", b"\0\x0a\0\x08abcdefgh"]),
)
ANSWERS = entries(OURS | OURS | IGNORED | FOREIGN, most=8)
AUTHORITIES = entries(SOAS | PROOFS | PROOFS | IGNORED | FOREIGN | OURS, most=2 * MAX_NSECS)
ADDITIONALS = st.builds(
    lambda some, edns: some + edns, entries(OURS | IGNORED, most=3), st.lists(EDNS, max_size=1)
)


@given(ANSWERS, AUTHORITIES, ADDITIONALS, st.integers(0, 15), st.booleans())
@settings(FIXED, max_examples=300)
def test_message_of_any_records_is_read_as_by_dnspython(
    answers: list[Entry], authorities: list[Entry], additionals: list[Entry], rcode: int, compress: bool
) -> None:
    assert_read_as_by_dnspython(written(answers, authorities, additionals, rcode=rcode, compress=compress))


@given(NAMES, st.booleans())
@settings(FIXED, max_examples=300)
def test_name_of_any_octets_is_read_as_by_dnspython(name: dns.name.Name, compress: bool) -> None:
    srv = dns.rdtypes.IN.SRV.SRV(IN, SRV, 0, 0, 5060, name)
    assert_read_as_by_dnspython(written([Entry(name, 60, srv), Entry(name, 60, srv)], compress=compress))


@pytest.mark.parametrize("octet", range(256))
def test_name_with_each_octet_is_spelled_as_dnspython_reads_it(octet: int) -> None:
    label = bytes([octet])
    for labels in ([label], [label, b"a" + label + b"0", b"com"]):
        name = dns.name.Name([*labels, b""])
        ((owner, _),) = read(written([Entry(name, 60, ADDRESS)])).records
        assert name_of(owner) == name
        assert owner.isascii()
        assert owner.isprintable()


@pytest.mark.parametrize("rcode", [0, 1, 2, 3, 5, 15, 16, 17, 23, 255, 256, 3841, 4094, 4095])
def test_rcode_of_edns_is_read_as_by_dnspython(rcode: int) -> None:
    reply = dns.message.make_response(dns.message.make_query(QUESTION, A, use_edns=0), our_payload=1232)
    reply.use_edns(0, options=[dns.edns.GenericOption(10, b"abcdefgh")])
    reply.set_rcode(dns.rcode.Rcode.make(rcode))
    octets = reply.to_wire()
    assert read(octets).rcode == rcode
    assert_read_as_by_dnspython(octets)


ADDRESS = dns.rdata.from_text(IN, A, "192.0.2.1")
TARGET = dns.rdata.from_text(IN, CNAME, "Www.Example.com.")
START = dns.rdata.from_text(IN, SOA, "ns. hostmaster. 1 2 3 4 60")


@pytest.mark.parametrize(
    ("ttls", "least"),
    [
        ((5, 7), 5),
        ((7, 5), 5),
        ((5, 0, 7), 0),
        ((7, 0x7FFFFFFF), 7),
        ((7, 0x80000000), 0),
        ((0x80000000, 7), 0),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0),
    ],
)
def test_ttls_that_differ_are_read_as_the_least(ttls: tuple[int, ...], least: int) -> None:
    octets = written([Entry(QUESTION, ttl, rdata) for ttl in ttls for rdata in (ADDRESS, TARGET)])
    message = read(octets)
    assert message.records == {
        ("sip.example.com", RrType.A): ([IPv4Address("192.0.2.1")] * len(ttls), least),
    }
    assert message.aliases == {"sip.example.com": ("www.example.com", least)}
    default = dns.message.from_wire(octets)
    assert {rrset.ttl for rrset in default.answer} == {least}


def test_records_of_other_sections_are_ignored() -> None:
    entries = [Entry(QUESTION, 60, rdata) for rdata in (ADDRESS, TARGET, START)]
    message = read(written([entries[2]], entries, entries))
    assert (message.records, message.aliases) == ({}, {})
    assert message.soas == [Soa(zone="sip.example.com", ttl=60, minimum=60)]


@pytest.mark.parametrize("rdclass", [0, 2, CH, HS, 254, 255, 0x0101, 0x8001])
def test_records_of_other_classes_are_ignored(rdclass: int) -> None:
    rdatas = [dns.rdata.GenericRdata(rdclass, rdtype, b"\0") for rdtype in (A, AAAA, SRV, NAPTR, CNAME, SOA)]
    entries = [Entry(QUESTION, 60, rdata) for rdata in rdatas]
    assert read(written(entries, entries)) == Message(rcode=0, records={}, aliases={}, soas=[])


# Any octets, and good messages that were damaged.

ZONE = dns.name.from_text("example.com.")
GOOD = [
    Entry(QUESTION, 300, dns.rdata.from_text(IN, rdtype, text))
    for rdtype, text in [
        ("CNAME", r"Www.ex\.am.example.com."),
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("SRV", "1 2 5060 sip.example.com."),
        ("NAPTR", '1 2 "S" "SIP+D2U" "" _sip._udp.example.com.'),
        ("TXT", '"v=spf1" "-all"'),
    ]
]
HOST_SOA = dns.rdata.from_text(IN, SOA, "ns.example.com. hostmaster.example.com. 1 2 3 4 60")
GOOD_SOA = Entry(ZONE, 900, HOST_SOA)
GOOD_OPT = Entry(dns.name.root, 0, dns.rdata.from_wire(1232, OPT, b"", 0, 0))
GOOD_PROOF = [
    Entry(QUESTION, 60, dns.rdata.from_text(IN, rdtype, text))
    for rdtype, text in [
        ("NSEC", r"x\.y.example.com. A SRV NAPTR CAA TYPE65280"),
        ("RRSIG", "NSEC 13 3 60 20380101000000 20200101000000 1 example.com. AwEAAag="),
    ]
]
GOOD_SECTIONS = GOOD, [GOOD_SOA, *GOOD_PROOF], [GOOD[1], GOOD_OPT]
GOOD_MESSAGES = [written(*GOOD_SECTIONS), written(*GOOD_SECTIONS, compress=False)]
DAMAGED = GOOD_MESSAGES + [written([entry], [GOOD_SOA]) for entry in GOOD] + [written([], GOOD_PROOF)]

INTERESTING = st.sampled_from([0, 1, 4, 6, 41, 63, 64, 65, 128, 191, 192, 193, 255]) | st.integers(0, 255)
EDITS = st.lists(st.tuples(st.integers(0, 500), INTERESTING), min_size=1, max_size=4)


@given(st.binary(max_size=120), st.tuples(*[st.integers(0, 3)] * 3))
@example(b"", (0, 0, 0))
@settings(FIXED, max_examples=500)
def test_octets_after_the_question_of_any_kind_are_rejected_or_read_as_by_dnspython(
    tail: bytes, counts: tuple[int, ...]
) -> None:
    question = written()[HEADER.size :]
    assert_rejected_or_read_as_by_dnspython(HEADER.pack(0, 0x8180, 1, *counts) + question + tail)


@given(st.binary(max_size=80), st.integers(0, 100))
@example(b"", 0)
@settings(FIXED, max_examples=300)
def test_octets_of_any_kind_are_read_or_malformed(octets: bytes, question_end: int) -> None:
    with suppress(MalformedMessageError):
        assert isinstance(read_message(octets, question_end), Message)


@given(st.sampled_from(DAMAGED), EDITS)
@settings(FIXED, max_examples=1_000)
def test_message_with_octets_changed_is_rejected_or_read_as_by_dnspython(
    octets: bytes, edits: list[tuple[int, int]]
) -> None:
    changed = bytearray(octets)
    # Not the id, the flags, or the question: those are compared before a message is read.
    places = [*range(6, HEADER.size), *range(QUESTION_END, len(octets))]
    for place, value in edits:
        changed[places[place % len(places)]] = value
    assert_rejected_or_read_as_by_dnspython(bytes(changed))


@given(st.sampled_from(DAMAGED), st.integers(0, 500), st.integers(0, 8), st.binary(max_size=8))
@settings(FIXED, max_examples=500)
def test_message_with_octets_replaced_is_rejected_or_read_as_by_dnspython(
    octets: bytes, place: int, gone: int, put: bytes
) -> None:
    at = QUESTION_END + place % (len(octets) - QUESTION_END)
    assert_rejected_or_read_as_by_dnspython(octets[:at] + put + octets[at + gone :])


@pytest.mark.parametrize("octets", GOOD_MESSAGES, ids=["compressed", "plain"])
def test_message_cut_off_at_each_octet_is_malformed(octets: bytes) -> None:
    assert_read_as_by_dnspython(octets)
    for length in range(len(octets)):
        with pytest.raises(MalformedMessageError):
            read(octets[:length])


# Messages made by hand. Those of `record` stand behind the question, the first octet at QUESTION_END.


def record(owner: bytes, rdtype: int, rdata: bytes, *, length: int | None = None) -> bytes:
    return owner + FIXED_PART.pack(rdtype, IN, 60, len(rdata) if length is None else length) + rdata


def by_hand(*sections: list[bytes]) -> bytes:
    counts = [len(section) for section in sections] + [0] * (3 - len(sections))
    return HEADER.pack(0, 0x8180, 1, *counts) + written()[HEADER.size :] + b"".join(map(b"".join, sections))


def pointer(place: int) -> bytes:
    return (0xC000 | place).to_bytes(2, "big")


OPAQUE = 65280
"""A type for private use: its rdata may be anything, such as names to point to."""

FOUR = b"\xc0\0\2\1"
RDATA_AT = QUESTION_END + 1 + FIXED_PART.size
"""Where the rdata of the first record is, if its owner is the root."""


@pytest.mark.parametrize(
    "owner",
    [
        pointer(QUESTION_END),  # to itself
        pointer(QUESTION_END + 1),  # into itself
        pointer(QUESTION_END + 2),  # forwards
        pointer(0x3FFF),
        b"\x01a" + pointer(QUESTION_END),  # a label and again
        b"\x01a" + pointer(QUESTION_END + 2),
        pointer(0) + b"\0",  # the header holds labels that end nowhere
        b"\xc0",
    ],
)
def test_pointer_that_does_not_lead_backwards_is_malformed(owner: bytes) -> None:
    octets = by_hand([record(owner, A, FOUR)])
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError):
        read(octets)


def test_pointers_in_a_ring_are_malformed() -> None:
    ring = pointer(RDATA_AT + 2) + pointer(RDATA_AT)
    octets = by_hand([record(b"\0", OPAQUE, ring), record(pointer(RDATA_AT), A, FOUR)])
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError):
        read(octets)


@pytest.mark.parametrize("covered", [0, 1, 2, 4, 6, 10])
def test_name_that_runs_into_itself_is_malformed(covered: int) -> None:
    # A label of three octets and of so many that follow: of the pointer to it, then of the record, where
    # an octet of zero would end the name.
    label = bytes([3 + covered]) + b"abc"
    octets = by_hand([record(b"\0", OPAQUE, label), record(pointer(RDATA_AT), A, FOUR)])
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError):
        read(octets)


def test_pointer_that_shares_an_octet_with_the_one_to_it_is_malformed() -> None:
    # 0xC0 at the end of the first record, and again as the first octet of the second: a pointer to 0xC0.
    room = bytes(0xC1)
    octets = by_hand([record(b"\0", OPAQUE, room + b"\xc0"), record(pointer(RDATA_AT + len(room)), A, FOUR)])
    assert octets[0xC0] == 0
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError):
        read(octets)


def test_name_that_begins_where_the_one_it_points_to_ends_is_read() -> None:
    octets = by_hand([record(b"\0", OPAQUE, b"\x03abc\0"), record(pointer(RDATA_AT), A, FOUR)])
    assert_read_as_by_dnspython(octets)
    assert list(read(octets).records) == [("abc", RrType.A)]


@pytest.mark.parametrize("kind", [0x40, 0x41, 0x7F, 0x80, 0x81, 0xBF])
@pytest.mark.parametrize("before", [b"", b"\x01a"])
def test_label_of_an_unknown_kind_is_malformed(kind: int, before: bytes) -> None:
    octets = by_hand([record(before + bytes([kind]) + bytes(200), A, FOUR)])
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError, match="a label of an unknown kind"):
        read(octets)


LONGEST = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61
ONES = b"\x01a" * 127


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (LONGEST[:-1].replace(b"\x3db", b"\x3cb") + b"\0", True),
        (LONGEST + b"\0", True),
        (LONGEST.replace(b"\x3db", b"\x3ebb") + b"\0", False),
        (ONES[2:] + b"\0", True),
        (ONES + b"\0", True),
        (ONES + b"\x01a\0", False),
    ],
)
@pytest.mark.parametrize("pointed", [False, True])
def test_name_of_255_octets_fits_and_of_more_is_malformed(name: bytes, fits: bool, pointed: bool) -> None:
    assert len(name) <= 255 or not fits
    if pointed:
        first, rest = name[: name[0] + 1], name[name[0] + 1 :]
        octets = by_hand([record(b"\0", OPAQUE, rest), record(first + pointer(RDATA_AT), A, FOUR)])
    else:
        octets = by_hand([record(name, A, FOUR)])
    assert bool(dnspython_message(octets).errors) is not fits
    if fits:
        assert_read_as_by_dnspython(octets)
    else:
        with pytest.raises(MalformedMessageError, match="a name over 255 octets"):
            read(octets)


@pytest.mark.parametrize("section", range(3))
def test_records_up_to_the_bound_are_read_and_more_are_malformed(section: int) -> None:
    def sections(count: int) -> list[list[bytes]]:
        parts: list[list[bytes]] = [[record(b"\0", A, FOUR)], [], []]
        parts[section] += [record(b"\0", A, FOUR)] * (count - 1)
        return parts

    for count in (MAX_RECORDS - 1, MAX_RECORDS):
        ((found, _),) = read(by_hand(*sections(count))).records.values()
        assert len(found) == (1 if section else count)
    with pytest.raises(MalformedMessageError, match="over 256 records"):
        read(by_hand(*sections(MAX_RECORDS + 1)))


def test_records_that_are_counted_but_not_there_are_malformed() -> None:
    with pytest.raises(MalformedMessageError, match="over 256 records"):
        read(HEADER.pack(0, 0x8180, 1, 0xFFFF, 0xFFFF, 0xFFFF) + written()[HEADER.size :])


NAPTR_HEAD = b"\0\1\0\2"
RDATAS = [
    (A, FOUR),
    (AAAA, bytes(15) + b"\1"),
    (SRV, b"\0\1\0\2\x13\xc4\x01a\0"),
    (SRV, b"\0\1\0\2\x13\xc4" + pointer(HEADER.size)),
    (NAPTR, NAPTR_HEAD + b"\1s\7SIP+D2U\0\x01a\0"),
    (NAPTR, NAPTR_HEAD + b"\1s\7SIP+D2U\0" + pointer(HEADER.size)),
    (CNAME, b"\x01a\0"),
    (CNAME, pointer(HEADER.size)),
    (SOA, b"\0\0" + bytes(20)),
]


def of_length(rdtype: int, rdata: bytes, length: int, *, more: bytes = b"") -> bytes:
    """The record, where it is read; enough octets follow to end anything."""
    section = [record(b"\0", rdtype, rdata, length=length) + more]
    return (by_hand([], section) if rdtype == SOA else by_hand(section)) + bytes(300)


@pytest.mark.parametrize(("rdtype", "rdata"), RDATAS)
def test_record_of_its_length_is_read(rdtype: int, rdata: bytes) -> None:
    octets = of_length(rdtype, rdata, len(rdata))
    assert_read_as_by_dnspython(octets)
    message = read(octets)
    assert len(message.records) + len(message.aliases) + len(message.soas) == 1


@pytest.mark.parametrize(("rdtype", "rdata"), RDATAS)
def test_record_of_every_other_length_is_malformed(rdtype: int, rdata: bytes) -> None:
    for length in [*range(len(rdata)), *range(len(rdata) + 1, len(rdata) + 20), 255, 256, 0xFFFF]:
        octets = of_length(rdtype, rdata, length)
        assert dnspython_message(octets).errors
        with pytest.raises(MalformedMessageError):
            read(octets)


@pytest.mark.parametrize("rdtype", [A, AAAA, SRV, NAPTR, CNAME, SOA])
def test_record_without_rdata_is_malformed(rdtype: int) -> None:
    with pytest.raises(MalformedMessageError):
        read(of_length(rdtype, b"", 0))


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("over", [0, 1, 2, 250])
def test_character_string_over_the_end_of_its_record_is_malformed(which: int, over: int) -> None:
    strings = b"\1a" * which
    room = 3
    rdata = NAPTR_HEAD + strings + bytes([room + over]) + b"x" * room
    octets = of_length(NAPTR, rdata, len(rdata))
    assert dnspython_message(octets).errors
    with pytest.raises(MalformedMessageError):
        read(octets)


def test_character_string_over_the_end_of_the_message_is_malformed() -> None:
    rdata = NAPTR_HEAD + b"\xffabc"
    with pytest.raises(MalformedMessageError, match="a character-string over the end"):
        read(by_hand([record(b"\0", NAPTR, rdata)]))


# What a message costs, counted in the octets and slices that are taken one by one: no clock, no luck.


class Counted(bytes):
    """Octets that count how often one of them, or a slice, is taken."""

    taken = 0

    def __getitem__(self, key: object) -> object:
        self.taken += 1
        return super().__getitem__(key)


def cost(octets: bytes) -> int:
    counted = Counted(octets)
    with suppress(MalformedMessageError):
        read(counted)
    return counted.taken


MOST_POINTERS = 16
A_NAME = 3 * 127 + 2 * MOST_POINTERS + 10
"""The most that one name may take: two or three for each label and pointer, and some at its ends."""

ROOM = 0x3F00 - RDATA_AT
"""Octets of the first record that pointers can lead into."""


def chain(pointers: int, start: int = RDATA_AT) -> bytes:
    """A root, and pointers, the first to that and each to the one before."""
    return b"\0\0" + b"".join(pointer(start + 2 * place) for place in range(pointers))


def soas_named(names: Iterator[bytes]) -> list[bytes]:
    """Records of three names each, and of a number that leaves room for one more."""
    return [record(next(names), SOA, next(names) + next(names) + bytes(20)) for _ in range(MAX_RECORDS - 1)]


@pytest.mark.parametrize("pointers", [MOST_POINTERS - 1, MOST_POINTERS])
def test_chain_of_pointers_up_to_the_bound_is_followed(pointers: int) -> None:
    owner = pointer(RDATA_AT + 2 * (pointers - 1))
    octets = by_hand([record(b"\0", OPAQUE, chain(pointers - 1)), record(owner, A, FOUR)])
    assert_read_as_by_dnspython(octets)
    assert list(read(octets).records) == [("", RrType.A)]


@pytest.mark.parametrize("pointers", [MOST_POINTERS + 1, MOST_POINTERS + 2, 1_000, ROOM // 2 - 1])
def test_chain_of_more_pointers_is_malformed_and_not_followed(pointers: int) -> None:
    owner = pointer(RDATA_AT + 2 * (pointers - 1))
    octets = by_hand([record(b"\0", OPAQUE, chain(pointers - 1)), record(owner, A, FOUR)])
    with pytest.raises(MalformedMessageError, match="a name of over 16 pointers"):
        read(octets)
    assert cost(octets) <= A_NAME


def test_chains_of_pointers_in_each_name_cost_no_more_than_the_bound() -> None:
    # 256 records of three names, each by a pointer into one of many chains, no two names alike.
    size = len(chain(MOST_POINTERS - 1))
    starts = range(RDATA_AT, RDATA_AT + ROOM - size, size)
    chains = b"".join(chain(MOST_POINTERS - 1, start) for start in starts)
    ends = (pointer(start + size - back) for back in range(2, size, 2) for start in starts)
    octets = by_hand([record(b"\0", OPAQUE, chains)], soas_named(ends))
    assert len(read(octets).soas) == MAX_RECORDS - 1
    assert cost(octets) <= 3 * MAX_RECORDS * (2 * MOST_POINTERS + 10)


@pytest.mark.parametrize("label", [b"\x01a", b"\x01\xff", b"\x01."])
def test_names_of_the_most_labels_cost_no_more_than_the_bound(label: bytes) -> None:
    # 256 records of three names of some 127 labels, no two names alike.
    name = label * 127 + b"\0"
    names = ROOM // len(name)
    places = [RDATA_AT + len(name) * place + 2 * skip for skip in range(15) for place in range(names)]
    octets = by_hand([record(b"\0", OPAQUE, name * names)], soas_named(map(pointer, places)))
    assert_costs_no_more_than_its_labels(octets)


def test_name_that_all_records_point_to_is_read_once() -> None:
    records = [record(pointer(RDATA_AT), CNAME, pointer(RDATA_AT)) for _ in range(MAX_RECORDS - 1)]
    octets = by_hand([record(b"\0", OPAQUE, ONES + b"\0"), *records])
    assert list(read(octets).aliases) == [".".join("a" * 127)]
    assert cost(octets) <= A_NAME + 10 * MAX_RECORDS


def test_names_of_64_kilobytes_cost_no_more_than_their_labels() -> None:
    records = [record(ONES + b"\0", A, b"") for _ in range(240)]
    octets = by_hand([], [], records)
    assert 63_000 < len(octets) < 0x10000
    assert_costs_no_more_than_its_labels(octets)


def assert_costs_no_more_than_its_labels(octets: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="over 4096 labels"):
        read(octets)
    assert cost(octets) <= 4 * MAX_LABELS + A_NAME


@pytest.mark.parametrize(("labels", "fits"), [(-1, True), (0, True), (1, False)])
def test_labels_up_to_the_bound_are_read_and_more_are_malformed(labels: int, fits: bool) -> None:
    whole, rest = divmod(MAX_LABELS + labels, 64)
    names = [b"\x01a" * 64 + b"\0"] * whole + [b"\x01a" * rest + b"\0"]
    octets = by_hand([record(name, A, FOUR) for name in names])
    if fits:
        assert_read_as_by_dnspython(octets)
    else:
        with pytest.raises(MalformedMessageError, match="over 4096 labels"):
            read(octets)
    assert_rejected_or_read_as_by_dnspython(octets)


def test_name_that_is_pointed_to_counts_once() -> None:
    records = [record(pointer(RDATA_AT), A, FOUR)] * (MAX_RECORDS - 1)
    octets = by_hand([record(b"\0", OPAQUE, ONES + b"\0"), *records])
    assert len(read(octets).records) == 1


def test_rdata_that_is_not_read_costs_nothing() -> None:
    small, large = (by_hand([record(b"\0", OPAQUE, bytes(size))]) for size in (0, 60_000))
    assert cost(small) == cost(large)


# Proofs of what is not there.


def nsec_record(bitmap: bytes) -> bytes:
    return written([], [Entry(QUESTION, 60, dns.rdata.GenericRdata(IN, NSEC, b"\0" + bitmap))])


@pytest.mark.parametrize(
    "bitmap",
    [
        b"\0",
        b"\0\0",
        b"\0\2\x40",
        b"\0\1",
        b"\0\x21" + b"\xff" * 33,
        b"\1\1\x40\0\1\x40",
        b"\0\1\x40\0\1\x40",
        b"\0\1\x40\0",
        b"\0\1\0",
        b"\0\2\x40\0",
    ],
)
def test_nsec_with_a_damaged_bitmap_is_malformed(bitmap: bytes) -> None:
    octets = nsec_record(bitmap)
    with pytest.raises(MalformedMessageError):
        read(octets)
    assert dnspython_message(octets).errors


@pytest.mark.parametrize(
    ("bitmap", "types"),
    [
        (b"", set()),
        (b"\0\1\x62", {A, NS, SOA}),
        (b"\0\x20" + b"\xff" * 32, TYPES_TOLD),
        (b"\1\x20" + b"\xff" * 32, set()),
        (b"\0\5\0\0\0\0\x51\xff\1\xff", {SRV, NAPTR, DNAME}),
    ],
)
def test_nsec_tells_the_types_that_somebody_wants_to_know_of(bitmap: bytes, types: set[int]) -> None:
    (nsec,) = read(nsec_record(bitmap)).nsecs
    assert nsec.types == types


@pytest.mark.parametrize("number", [MAX_NSECS - 1, MAX_NSECS, MAX_NSECS + 1])
def test_nsecs_over_the_bound_are_left_out(number: int) -> None:
    nsec = dns.rdata.from_text(IN, NSEC, "example.com. A")
    owners = [dns.name.from_text(f"n{at}.example.com.") for at in range(number)]
    message = read(written([], [Entry(owner, 60, nsec) for owner in owners]))
    assert [nsec.owner for nsec in message.nsecs] == [f"n{at}.example.com" for at in range(number)][
        :MAX_NSECS
    ]


@pytest.mark.parametrize(
    ("rdtype", "before", "after"),
    [(NSEC, b"", b"\0\1\x40"), (RRSIG, NSEC.to_bytes(2, "big") + bytes(16), b"x")],
)
def test_proof_with_a_compressed_name_is_malformed(rdtype: int, before: bytes, after: bytes) -> None:
    for name, read_by_both in ((b"\1a\0", True), (b"\1a" + pointer(HEADER.size), False)):
        octets = by_hand([], [record(b"\0", rdtype, before + name + after)])
        assert bool(dnspython_message(octets).errors) is not read_by_both
        if read_by_both:
            assert_read_as_by_dnspython(octets)
        else:
            with pytest.raises(MalformedMessageError, match="a name of over 0 pointers"):
                read(octets)


def test_rrsig_over_the_end_of_its_record_is_malformed() -> None:
    for length in range(19):
        rdata = (NSEC.to_bytes(2, "big") + bytes(16) + b"\3com\0")[:length]
        with pytest.raises(MalformedMessageError):
            read(written([], [Entry(QUESTION, 60, dns.rdata.GenericRdata(IN, RRSIG, rdata))]))
