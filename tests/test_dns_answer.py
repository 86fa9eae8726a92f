"""What the DNS face says of verdicts and places, read back with dnspython."""

from math import inf

import dns.edns
import dns.message
import dns.rcode
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastvhost.faces.dns_answer import OUTSIDE, ttl_of, verdict_answer
from fastvhost.faces.dns_query import Query, read_query
from fastvhost.faces.dns_reply import Answer, ExtendedError, InfoCode, most_octets, write_reply
from fastvhost.host import Malformed, parse_host
from fastvhost.model import Verdict, VerdictKind

APEX = 12 + 1 + len("a")


def query(name: str = "a.vhost.internal", rtype: str = "A", **edns: object) -> Query:
    read = read_query(dns.message.make_query(name, rtype, **edns).to_wire())
    assert isinstance(read, Query)
    return read


def parsed(asked: Query, answer: Answer, most: int | None = None) -> dns.message.Message:
    octets = b"\0\0" + write_reply(asked.head, answer, most=most_octets(asked.head) if most is None else most)
    return dns.message.from_wire(octets)


def verdict(kind: VerdictKind, *, host: str = "a", reason: str = "why", stale: bool = False) -> Verdict:
    return Verdict(kind=kind, host=host, expires=100.0, reason=reason, stale=stale)


def extended_error(reply: dns.message.Message) -> tuple[int, str | None] | None:
    for option in reply.options:
        if isinstance(option, dns.edns.EDEOption):
            return int(option.code), option.text
    return None


@pytest.mark.parametrize(
    ("kind", "rtype", "rcode", "answer", "error"),
    [
        (VerdictKind.HOSTED, "A", "NOERROR", "A 127.0.0.2", None),
        (VerdictKind.HOSTED, "ANY", "NOERROR", "A 127.0.0.2", None),
        (VerdictKind.HOSTED, "TXT", "NOERROR", 'TXT "max-calls=7" "peering=open"', None),
        (VerdictKind.HOSTED, "AAAA", "NOERROR", "", None),
        (VerdictKind.NOT_HOSTED, "A", "NOERROR", "", None),
        (VerdictKind.NOT_HOSTED, "TXT", "NOERROR", "", None),
        (VerdictKind.UNDETERMINED, "A", "SERVFAIL", "", (22, "why")),
        (VerdictKind.PENDING, "A", "SERVFAIL", "", (0, "why")),
        (VerdictKind.LIMITED, "A", "REFUSED", "", (0, "why")),
        (VerdictKind.MALFORMED, "A", "NXDOMAIN", "", (0, "why")),
    ],
)
@pytest.mark.parametrize("edns", [-1, 0])
def test_verdict_becomes_its_answer(
    kind: VerdictKind, rtype: str, rcode: str, answer: str, error: tuple[int, str] | None, edns: int
) -> None:
    asked = query(rtype=rtype, use_edns=edns)
    text = (b"max-calls=7", b"peering=open")
    reply = parsed(asked, verdict_answer(verdict(kind), asked.qtype, apex=APEX, ttl=30, text=text))
    assert dns.rcode.to_text(reply.rcode()) == rcode
    found = [rrset.to_text() for rrset in reply.answer]
    assert found == ([f"a.vhost.internal. 30 IN {answer}"] if answer else [])
    is_negative = not answer and rcode in ("NOERROR", "NXDOMAIN")
    soa = "vhost.internal. 30 IN SOA vhost.internal. nobody.invalid. 1 3600 1200 604800 30"
    assert [rrset.to_text() for rrset in reply.authority] == ([soa] if is_negative else [])
    assert bool(reply.flags & dns.flags.AA) is bool(answer or is_negative)
    assert reply.flags & dns.flags.RA
    assert not reply.flags & (dns.flags.AD | dns.flags.TC)
    assert reply.edns == edns
    assert extended_error(reply) == (None if edns < 0 else error)


def test_hosted_without_attributes_has_one_empty_string() -> None:
    asked = query(rtype="TXT")
    reply = parsed(asked, verdict_answer(verdict(VerdictKind.HOSTED), asked.qtype, apex=APEX, ttl=1, text=()))
    assert [rrset.to_text() for rrset in reply.answer] == ['a.vhost.internal. 1 IN TXT ""']


def test_stale_answer_says_so() -> None:
    asked = query(use_edns=0)
    stale = verdict(VerdictKind.HOSTED, stale=True, reason="stale: why")
    reply = parsed(asked, verdict_answer(stale, asked.qtype, apex=APEX, ttl=1, text=()))
    assert (len(reply.answer), extended_error(reply)) == (1, (3, "stale: why"))


@pytest.mark.parametrize(
    ("expires", "now", "ttl"),
    [
        (100.0, 70.0, 30),
        (100.0, 70.1, 29),
        (100.0, 99.5, 0),
        (100.0, 100.0, 0),
        (100.0, 200.0, 0),
        (inf, 5, 60),
    ],
)
def test_ttl_is_whole_seconds_that_are_left_and_lasting_ones_are_clipped(
    expires: float, now: float, ttl: int
) -> None:
    assert ttl_of(Verdict(kind=VerdictKind.HOSTED, host="a", expires=expires, reason=""), now) == ttl


@pytest.mark.parametrize(
    ("host", "rcode"),
    [
        ("foo_bar", "NXDOMAIN"),
        ("x.foo_bar.example", "NXDOMAIN"),
        ("a.-", "NXDOMAIN"),
        ("sip.1", "NXDOMAIN"),
        ("1.2.3.4.5", "NXDOMAIN"),
        ("203.0.113.256", "NXDOMAIN"),
        ("10", "NOERROR"),
        ("113.10", "NOERROR"),
        ("0.113.10", "NOERROR"),
        ("4]", "NOERROR"),
        ("0.2.4]", "NOERROR"),
    ],
)
def test_malformed_is_nxdomain_only_where_all_below_it_is_malformed(host: str, rcode: str) -> None:
    assert isinstance(parse_host(host), Malformed)
    answer = verdict_answer(verdict(VerdictKind.MALFORMED, host=host), 1, apex=APEX, ttl=1, text=())
    assert answer.rcode.name == rcode


label = st.text("ab1-_[]:0é\u0301א", min_size=1, max_size=6) | st.integers(0, 300).map(str)


@settings(deadline=None)
@given(labels=st.lists(label, min_size=2, max_size=6))
@example(["203", "0", "113", "10"])
@example(["[::ffff:192", "0", "2", "4]"])
@example(["sip", "1", "example"])
def test_name_below_one_that_is_denied_is_never_a_host(labels: list[str]) -> None:
    """RFC 8020: whoever is told NXDOMAIN for a parent denies the child without asking."""
    if isinstance(parse_host(".".join(labels)), Malformed):
        return
    for depth in range(1, len(labels)):
        parent = ".".join(labels[depth:])
        if isinstance(parse_host(parent), Malformed):
            answer = verdict_answer(verdict(VerdictKind.MALFORMED, host=parent), 1, apex=APEX, ttl=1, text=())
            assert answer.rcode.name == "NOERROR", parent


@pytest.mark.parametrize(("payload", "most"), [(None, 512), (0, 512), (511, 512), (512, 512), (513, 513)])
def test_datagram_s_bound_is_512_without_edns_and_at_least(payload: int | None, most: int) -> None:
    asked = query() if payload is None else query(use_edns=0, payload=payload)
    assert most_octets(asked.head) == most


@pytest.mark.parametrize(("payload", "most"), [(1231, 1231), (1232, 1232), (1233, 1232), (65535, 1232)])
def test_datagram_s_bound_is_1232_at_most(payload: int, most: int) -> None:
    assert most_octets(query(use_edns=0, payload=payload).head) == most


@pytest.mark.parametrize("edns", [-1, 0])
def test_reply_over_the_bound_is_truncated_and_keeps_opt(edns: int) -> None:
    asked = query(rtype="TXT", use_edns=edns)
    text = tuple(b"x" * 200 for _ in range(3))
    whole = verdict_answer(verdict(VerdictKind.HOSTED), asked.qtype, apex=APEX, ttl=1, text=text)
    octets = 2 + len(write_reply(asked.head, whole, most=65_535))
    for most, truncated in ((octets - 1, True), (octets, False), (octets + 1, False)):
        reply = parsed(asked, whole, most)
        assert bool(reply.flags & dns.flags.TC) is truncated
        assert bool(reply.answer) is not truncated
        assert reply.edns == edns


@settings(deadline=None)
@given(text=st.text(max_size=400), most=st.integers(512, 1232))
@example("é" * 300, 512)
@example("\ud800", 512)
def test_error_s_text_is_shortened_to_fit_at_a_character_s_end(text: str, most: int) -> None:
    asked = query("a." * 100 + "vhost.internal", use_edns=0)
    answer = Answer(authority=OUTSIDE.authority, error=ExtendedError(code=InfoCode.OTHER, text=text))
    octets = b"\0\0" + write_reply(asked.head, answer, most=most)
    assert len(octets) <= most
    found = extended_error(dns.message.from_wire(octets))
    assert found is not None
    shown = found[1] or ""
    whole = text.encode(errors="replace").decode().rstrip("\0")
    assert whole.startswith(shown.rstrip("\0"))
    assert len(shown.encode()) <= 255


@settings(deadline=None)
@given(
    name=st.lists(st.binary(min_size=1, max_size=20), max_size=5),
    kind=st.sampled_from(VerdictKind),
    qtype=st.integers(0, 0xFFFF).filter(lambda qtype: qtype != 41),
    text=st.lists(st.binary(max_size=255), max_size=20),
    payload=st.integers(-1, 5000),
    ttl=st.integers(0, 2**31 - 1),
)
def test_every_reply_is_read_by_dnspython_and_within_its_bound(
    name: list[bytes], kind: VerdictKind, qtype: int, text: list[bytes], payload: int, ttl: int
) -> None:
    full = dns.name.Name([*name, b"vhost", b"internal", b""])
    message = dns.message.make_query(full, dns.rdatatype.RdataType.make(qtype))
    if payload >= 0:
        message.use_edns(0, 0, payload)
    asked = read_query(message.to_wire())
    assert isinstance(asked, Query)
    apex = 12 + sum(1 + len(label) for label in name)
    answer = verdict_answer(verdict(kind), qtype, apex=apex, ttl=ttl, text=text)
    octets = message.id.to_bytes(2, "big") + write_reply(asked.head, answer, most=most_octets(asked.head))
    assert len(octets) <= most_octets(asked.head)
    reply = dns.message.from_wire(octets)
    assert message.is_response(reply)
    assert reply.question == message.question
