"""The reader of the commonest reply, held against the reader of all: where it has an answer, both agree.

And its compiled form against it, which agrees in all.
"""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.resolve import compiled_queries
from fastvhost.resolve.compiled_queries import LIBRARY
from fastvhost.resolve.reply import Negative, RrType
from fastvhost.resolve.wire import Question, nxdomain_ttl, read_reply

NAME = "u7.sub.example.com"
SOA = "ns.example.com. hostmaster.example.com. 1 3600 600 86400 {minimum}"


def reply(
    zone: str = "example.com.",
    *,
    ttl: int = 900,
    minimum: int = 300,
    name: str = NAME,
    rcode: dns.rcode.Rcode = dns.rcode.NXDOMAIN,
    edns: bool = True,
    compressed: bool = True,
    soa: str = SOA,
) -> dns.message.Message:
    query = dns.message.make_query(name, "NAPTR", use_edns=0 if edns else False)
    message = dns.message.make_response(query)
    message.flags |= dns.flags.RA
    message.set_rcode(rcode)
    message.authority.append(dns.rrset.from_text(zone, ttl, "IN", "SOA", soa.format(minimum=minimum)))
    return message


def octets_of(message: dns.message.Message) -> bytes:
    return message.to_wire()


def agreed(octets: bytes, name: str = NAME) -> int | None:
    """What the quick reader says, having checked it against the other."""
    question = Question(name, RrType.NAPTR)
    assert question.is_answered_by(octets, int.from_bytes(octets[:2], "big"))
    quick = nxdomain_ttl(octets, question)
    if LIBRARY.exists():
        section = question.octets(0)[12 : question.end]
        assert compiled_queries.nxdomain_ttl(section, octets) == quick
    if quick is not None:
        assert read_reply(octets, question) == Negative(nxdomain=True, ttl=quick)
    return quick


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize("zone", [".", "com.", "example.com.", "sub.example.com.", f"{NAME}."])
@pytest.mark.parametrize(("ttl", "minimum"), [(900, 300), (300, 900), (0, 5), (5, 0), (2**31 - 1, 2**31 - 1)])
def test_nxdomain_with_the_soa_of_a_zone_above_is_read(zone: str, ttl: int, minimum: int, edns: bool) -> None:
    message = reply(zone, ttl=ttl, minimum=minimum, edns=edns)
    assert agreed(octets_of(message)) == min(ttl, minimum)


@pytest.mark.parametrize(
    "message",
    [
        reply(rcode=dns.rcode.NOERROR),
        reply(rcode=dns.rcode.SERVFAIL),
        reply("other.example."),
        reply("deeper.u7.sub.example.com."),
        reply("x.example.com."),
        reply(soa="a." * 60 + "example. b.example. 1 2 3 4 {minimum}"),
    ],
    ids=["nodata", "servfail", "elsewhere", "below", "beside", "long"],
)
def test_anything_else_is_left_to_the_reader_of_all_forms(message: dns.message.Message) -> None:
    assert agreed(octets_of(message)) is None


def test_extended_rcode_is_no_nxdomain() -> None:
    message = reply()
    message.set_rcode(dns.rcode.Rcode(3 + 16 * 4))
    assert agreed(octets_of(message)) is None


def test_truncated_and_with_an_answer_and_with_two_records_are_left() -> None:
    truncated = reply()
    truncated.flags |= dns.flags.TC
    aliased = reply()
    aliased.answer.append(dns.rrset.from_text(f"{NAME}.", 60, "IN", "CNAME", "x.example.com."))
    two = reply()
    two.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "NS", "ns.example.com."))
    for message in (truncated, aliased, two):
        assert agreed(octets_of(message)) is None


@pytest.mark.parametrize("rrclass", ["CH"])
def test_soa_of_another_class_is_left(rrclass: str) -> None:
    message = reply()
    octets = bytearray(octets_of(message))
    at = octets.index(b"\x00\x06\x00\x01", Question(NAME, RrType.NAPTR).end)
    octets[at + 3] = 3
    assert agreed(bytes(octets)) is None


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_reply_damaged_anywhere_is_read_alike_or_left(data: st.DataObject) -> None:
    octets = bytearray(octets_of(reply(data.draw(st.sampled_from([".", "com.", "example.com."])))))
    first = Question(NAME, RrType.NAPTR).end
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(first, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(first, len(octets)))
    agreed(bytes(octets[:cut]))
    agreed(bytes(octets))
    agreed(bytes(octets) + data.draw(st.binary(max_size=3)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True), min_size=1, max_size=5),
    st.integers(0, 4),
)
def test_names_of_any_length_are_read_alike_or_left(labels: list[str], above: int) -> None:
    name = ".".join(labels)
    zone = ".".join(labels[above:]) + "."
    agreed(octets_of(reply(zone, name=name)), name)
