"""DNS messages: queries as dnspython reads them, replies of every kind, strays, any octets at all."""

from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastvhost.resolve.reply import Answer, Denial, Failure, Naptr, Negative, Nsec, Reply, RrType, Srv
from fastvhost.resolve.wire import Question, Truncated, Unfinished, read_reply

NAME = "Sip.Example.com"
ID = 0x1234
SOA = "example.com. 900 IN SOA ns. hostmaster. 1 3600 600 86400 60"

LABELS = st.text("abcxyz019-_", min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)


def records(*lines: str) -> list[dns.rrset.RRset]:
    """`OWNER TTL IN TYPE RDATA`; each line is a record set of its own."""
    rrsets = []
    for line in lines:
        owner, ttl, rdclass, rdtype, *rdata = line.split(" ", 4)
        rrsets.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, *rdata))
    return rrsets


def reply_to(
    question: Question,
    *answer: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: int = 0,
    message_id: int = ID,
) -> bytes:
    reply = dns.message.make_response(
        dns.message.from_wire(question.octets(message_id)), recursion_available=True
    )
    reply.answer, reply.authority = records(*answer), records(*authority)
    reply.set_rcode(rcode)
    reply.flags |= flags
    return reply.to_wire()


def read(
    rrtype: RrType,
    *answer: str,
    authority: tuple[str, ...] = (),
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: int = 0,
    want_ad: bool = False,
) -> Reply | Truncated | Unfinished:
    question = Question(NAME, rrtype, want_ad=want_ad)
    octets = reply_to(question, *answer, authority=authority, rcode=rcode, flags=flags)
    assert question.is_answered_by(octets, ID)
    return read_reply(octets, question)


# Queries.


@given(NAMES, st.sampled_from(RrType), st.booleans(), st.integers(0, 0xFFFF))
@settings(deadline=None)
def test_query_reads_back_by_dnspython_as_what_was_asked(
    name: str, rrtype: RrType, want_ad: bool, message_id: int
) -> None:
    query = dns.message.from_wire(Question(name, rrtype, want_ad=want_ad).octets(message_id))
    assert query.id == message_id
    assert query.opcode() == dns.opcode.QUERY
    assert query.flags == dns.flags.RD | (dns.flags.AD if want_ad else 0)
    flags = dns.flags.DO if want_ad else 0
    assert (query.edns, query.payload, query.ednsflags, query.options) == (0, 1232, flags, ())
    (question,) = query.question
    assert question.name == dns.name.from_text(name)
    assert (question.rdclass, question.rdtype) == (dns.rdataclass.IN, rrtype.value)
    assert query.answer == query.authority == query.additional == []


@pytest.mark.parametrize("name", ["a" * 64, "a..b", ".".join(["a" * 63] * 4), "\\"])
def test_query_for_a_name_that_does_not_fit_raises(name: str) -> None:
    with pytest.raises(dns.exception.DNSException):
        Question(name, RrType.A)


def test_query_for_the_longest_name_fits() -> None:
    name = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(name) == 253
    assert dns.message.from_wire(Question(name, RrType.A).octets(1)).question[0].name == dns.name.from_text(
        name
    )


# Strays.

QUESTION = Question(NAME, RrType.SRV)
NODATA = reply_to(QUESTION, authority=(SOA,))


def changed(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + bytes([value]) + octets[place + 1 :]


def test_reply_with_the_question_in_any_case_is_ours() -> None:
    upper = NODATA.replace(b"\x03sip\x07example\x03com", b"\x03SIP\x07exAMPle\x03COM")
    assert upper != NODATA
    assert QUESTION.is_answered_by(upper, ID)
    assert read_reply(upper, QUESTION) == Negative(nxdomain=False, ttl=60)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        NODATA[:11],
        NODATA[:12],
        NODATA[:20],
        QUESTION.octets(ID),  # our own query
        changed(NODATA, 0, 0x13),
        changed(NODATA, 1, 0x35),
        changed(NODATA, 2, NODATA[2] | 0x10),  # opcode STATUS
        changed(NODATA, 5, 2),  # two questions
        changed(NODATA, 5, 0),  # none, in a reply that would be evidence
        changed(NODATA, 14, ord("x")),  # another name
        reply_to(Question("example.com", RrType.SRV), authority=(SOA,)),
        reply_to(Question("a.sip.example.com", RrType.SRV), authority=(SOA,)),
        reply_to(Question(NAME, RrType.A), authority=(SOA,)),
        NODATA.replace(b"\x00\x21\x00\x01", b"\x00\x21\x00\x03", 1),  # class CH
        reply_to(QUESTION, authority=(SOA,), message_id=ID ^ 0x8000),
    ],
)
def test_reply_to_another_query_is_a_stray(octets: bytes) -> None:
    assert not QUESTION.is_answered_by(octets, ID)


@pytest.mark.parametrize("rcode", range(16))
def test_reply_without_question_is_ours_only_as_an_error_that_proves_nothing(rcode: int) -> None:
    octets = ID.to_bytes(2, "big") + bytes([0x80, 0x80 | rcode]) + bytes(8)
    errors = {dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED}
    assert QUESTION.is_answered_by(octets, ID) == (rcode in errors)
    if rcode in errors:
        assert read_reply(octets, QUESTION) == Failure(why=dns.rcode.to_text(dns.rcode.Rcode(rcode)))


# Answers.


@pytest.mark.parametrize(
    ("rrtype", "rdata", "record"),
    [
        (RrType.A, "192.0.2.1", ip_address("192.0.2.1")),
        (RrType.AAAA, "2001:db8::1", ip_address("2001:db8::1")),
        (RrType.AAAA, "::ffff:192.0.2.1", ip_address("::ffff:192.0.2.1")),
        (
            RrType.SRV,
            "1 2 5060 SIP.Example.Net.",
            Srv(priority=1, weight=2, port=5060, target="sip.example.net"),
        ),
        (RrType.SRV, "0 0 0 .", Srv(priority=0, weight=0, port=0, target="")),
        (
            RrType.SRV,
            r"0 0 1 a\.b.\000\255.net.",
            Srv(priority=0, weight=0, port=1, target=r"a\.b.\000\255.net"),
        ),
        (
            RrType.NAPTR,
            '1 2 "S" "SIP+D2U" "!A!b!" _SIP._udp.Example.com.',
            Naptr(
                order=1,
                preference=2,
                flags="s",
                services="sip+d2u",
                regexp="!a!b!",
                replacement="_sip._udp.example.com",
            ),
        ),
        (
            RrType.NAPTR,
            r'1 2 "" "\255" "" .',
            Naptr(order=1, preference=2, flags="", services=r"\xff", regexp="", replacement=""),
        ),
    ],
)
def test_record_of_each_type_is_read(rrtype: RrType, rdata: str, record: Srv) -> None:
    reply = read(rrtype, f"sip.example.com. 300 IN {rrtype.name} {rdata}")
    assert reply == Answer(records=(record,), ttl=300)


def test_target_of_any_octets_can_be_asked_for_in_its_turn() -> None:
    reply = read(RrType.SRV, r"sip.example.com. 300 IN SRV 0 0 1 \@.a\.b\\.\"\;\000\200.net.")
    assert isinstance(reply, Answer)
    (record,) = reply.records
    assert isinstance(record, Srv)
    asked = dns.message.from_wire(Question(record.target, RrType.A).octets(1)).question[0].name
    assert asked == dns.name.from_text(r"\@.a\.b\\.\"\;\000\200.net.")


def test_records_with_different_ttls_live_for_the_least() -> None:
    reply = read(
        RrType.A,
        "sip.example.com. 300 IN A 192.0.2.1",
        "sip.example.com. 20 IN A 192.0.2.2",
        "sip.example.com. 100 IN A 192.0.2.3",
    )
    assert isinstance(reply, Answer)
    assert reply.ttl == 20
    assert len(reply.records) == 3


@pytest.mark.parametrize(
    ("ttl", "read_as"),
    [(0, 0), (0x7FFFFFFF, 0x7FFFFFFF), (0x80000000, 0), (0xFFFFFFFF, 0)],
)
def test_ttl_with_the_top_bit_set_is_zero(ttl: int, read_as: int) -> None:
    question = Question(NAME, RrType.A)
    octets = reply_to(question, "sip.example.com. 1193046 IN A 192.0.2.1")
    octets = octets.replace((1193046).to_bytes(4, "big"), ttl.to_bytes(4, "big"))
    assert read_reply(octets, question) == Answer(records=(ip_address("192.0.2.1"),), ttl=read_as)


def test_records_of_other_names_types_and_classes_are_no_answer() -> None:
    reply = read(
        RrType.A,
        "www.example.com. 300 IN A 192.0.2.1",
        "sip.example.com. 300 CH TXT x",
        "sip.example.com. 300 IN AAAA 2001:db8::1",
        authority=("sip.example.com. 300 IN A 192.0.2.2",),
    )
    assert reply == Failure(why="empty answer without SOA")


NSEC = "a.example.com. 60 IN NSEC z.example.com. A RRSIG NSEC"
RRSIG = "a.example.com. 60 IN RRSIG NSEC 13 3 60 20380101000000 20200101000000 1 example.com. AwEAAag="


@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_negative_reply_that_is_validated_has_the_proofs_that_came_with_it(rcode: dns.rcode.Rcode) -> None:
    reply = read(RrType.A, authority=(NSEC, SOA, RRSIG), rcode=rcode, flags=dns.flags.AD, want_ad=True)
    assert isinstance(reply, Negative)
    nsec = Nsec(
        owner="a.example.com",
        next_name="z.example.com",
        types=frozenset({1}),
        ttl=60,
        signatures=frozenset({("example.com", 3)}),
    )
    assert reply.denial == Denial(zone="example.com", nsecs=(nsec,))


@pytest.mark.parametrize(("want_ad", "flag"), [(True, 0), (False, dns.flags.AD)])
def test_negative_reply_that_is_not_validated_has_no_proof(want_ad: bool, flag: int) -> None:
    reply = read(
        RrType.A, authority=(NSEC, SOA, RRSIG), rcode=dns.rcode.NXDOMAIN, flags=flag, want_ad=want_ad
    )
    assert isinstance(reply, Negative)
    assert reply.denial is None


def test_negative_reply_over_an_alias_has_no_proof() -> None:
    """Records of more than one zone may be in it."""
    alias = "sip.example.com. 60 IN CNAME b.example.com."
    reply = read(RrType.A, alias, authority=(NSEC, SOA, RRSIG), flags=dns.flags.AD, want_ad=True)
    assert isinstance(reply, Negative)
    assert reply.authentic
    assert reply.denial is None


@pytest.mark.parametrize(("want_ad", "flag", "authentic"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_ad_bit_counts_only_where_it_was_asked_for(want_ad: int, flag: int, authentic: bool) -> None:
    flags = dns.flags.AD if flag else 0
    positive = read(RrType.A, "sip.example.com. 300 IN A 192.0.2.1", flags=flags, want_ad=bool(want_ad))
    negative = read(RrType.A, authority=(SOA,), flags=flags, want_ad=bool(want_ad))
    assert isinstance(positive, Answer)
    assert isinstance(negative, Negative)
    assert positive.authentic is negative.authentic is authentic


# Aliases.

ALIAS = "sip.example.com. 300 IN CNAME one.example.com."
ALIAS_2 = "one.example.com. 50 IN CNAME Two.example.com."


@pytest.mark.parametrize("answer", [(ALIAS, ALIAS_2), (ALIAS_2, ALIAS)])
def test_aliases_lead_to_the_records_in_whatever_order_they_stand(answer: tuple[str, ...]) -> None:
    reply = read(RrType.A, "two.example.com. 200 IN A 192.0.2.1", *answer)
    assert reply == Answer(
        records=(ip_address("192.0.2.1"),), ttl=50, aliases=("one.example.com", "two.example.com")
    )


@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_aliases_with_soa_end_in_nothing(rcode: dns.rcode.Rcode) -> None:
    reply = read(RrType.A, ALIAS, ALIAS_2, authority=(SOA,), rcode=rcode)
    nxdomain = rcode == dns.rcode.NXDOMAIN
    assert reply == Negative(nxdomain=nxdomain, ttl=50, aliases=("one.example.com", "two.example.com"))


@pytest.mark.parametrize(
    "authority", [(), ("elsewhere.example. 900 IN SOA ns. hostmaster. 1 3600 600 86400 60",)]
)
def test_aliases_whose_end_is_not_told_are_unfinished(authority: tuple[str, ...]) -> None:
    reply = read(RrType.A, ALIAS, ALIAS_2, authority=authority)
    assert reply == Unfinished(aliases=("one.example.com", "two.example.com"), ttl=50)


@pytest.mark.parametrize(
    "answer",
    [
        ("sip.example.com. 300 IN CNAME sip.example.com.",),
        (ALIAS, "one.example.com. 300 IN CNAME SIP.example.com."),
        (ALIAS, ALIAS_2, "two.example.com. 300 IN CNAME one.example.com."),
    ],
)
def test_aliases_in_a_ring_are_a_failure(answer: tuple[str, ...]) -> None:
    assert read(RrType.A, *answer, authority=(SOA,)) == Failure(why="a loop of CNAME records")


# Negative answers and failures.


@pytest.mark.parametrize(
    ("soa_ttl", "minimum", "ttl"), [(900, 60, 60), (60, 900, 60), (0, 60, 0), (60, 0, 0)]
)
@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_negative_answer_lives_for_the_less_of_soa_ttl_and_minimum(
    soa_ttl: int, minimum: int, ttl: int, rcode: dns.rcode.Rcode
) -> None:
    soa = f"example.com. {soa_ttl} IN SOA ns. hostmaster. 1 3600 600 86400 {minimum}"
    reply = read(RrType.A, authority=(soa,), rcode=rcode)
    assert reply == Negative(nxdomain=rcode == dns.rcode.NXDOMAIN, ttl=ttl)


@pytest.mark.parametrize("owner", [".", "com.", "example.com.", "SIP.example.COM."])
def test_negative_answer_may_come_from_any_zone_above(owner: str) -> None:
    soa = f"{owner} 900 IN SOA ns. hostmaster. 1 3600 600 86400 60"
    assert read(RrType.A, authority=(soa,)) == Negative(nxdomain=False, ttl=60)


@pytest.mark.parametrize(
    "authority",
    [
        (),
        ("example.com. 300 IN NS ns.example.com.",),  # a referral
        (". 300 IN NS a.root-servers.net.",),  # a lame server's
        ("example.net. 900 IN SOA ns. hostmaster. 1 3600 600 86400 60",),
        ("a.sip.example.com. 900 IN SOA ns. hostmaster. 1 3600 600 86400 60",),
    ],
)
@pytest.mark.parametrize(
    ("rcode", "why"),
    [(dns.rcode.NOERROR, "empty answer without SOA"), (dns.rcode.NXDOMAIN, "NXDOMAIN without SOA")],
)
def test_negative_answer_without_soa_is_a_failure(
    authority: tuple[str, ...], rcode: dns.rcode.Rcode, why: str
) -> None:
    assert read(RrType.A, authority=authority, rcode=rcode) == Failure(why=why)


def test_records_under_nxdomain_are_a_failure() -> None:
    reply = read(RrType.A, "sip.example.com. 300 IN A 192.0.2.1", authority=(SOA,), rcode=dns.rcode.NXDOMAIN)
    assert isinstance(reply, Failure)


@pytest.mark.parametrize(
    "rcode",
    [
        dns.rcode.FORMERR,
        dns.rcode.SERVFAIL,
        dns.rcode.NOTIMP,
        dns.rcode.REFUSED,
        dns.rcode.NOTAUTH,
        dns.rcode.NOTZONE,
        dns.rcode.BADVERS,
        dns.rcode.BADCOOKIE,
    ],
)
@pytest.mark.parametrize("answer", [(), ("sip.example.com. 300 IN A 192.0.2.1",)])
def test_error_is_a_failure_whatever_it_carries(rcode: dns.rcode.Rcode, answer: tuple[str, ...]) -> None:
    reply = read(RrType.A, *answer, authority=(SOA,), rcode=rcode)
    assert reply == Failure(why=dns.rcode.to_text(rcode))


@pytest.mark.parametrize("answer", [(), ("sip.example.com. 300 IN A 192.0.2.1",)])
@pytest.mark.parametrize("authority", [(), (SOA,)])
def test_truncated_reply_is_evidence_of_nothing(answer: tuple[str, ...], authority: tuple[str, ...]) -> None:
    assert read(RrType.A, *answer, authority=authority, flags=dns.flags.TC) == Truncated()


# Any octets.

QUESTION_A, QUESTION_NAPTR = Question(NAME, RrType.A), Question(NAME, RrType.NAPTR)
ANSWERED = [
    (QUESTION, NODATA),
    (QUESTION, reply_to(QUESTION, "sip.example.com. 300 IN SRV 0 0 5060 a.example.com.")),
    (QUESTION_A, reply_to(QUESTION_A, ALIAS, ALIAS_2, "two.example.com. 9 IN A 192.0.2.1")),
    (QUESTION_A, reply_to(QUESTION_A, ALIAS, authority=(SOA,), rcode=dns.rcode.NXDOMAIN)),
    (
        QUESTION_NAPTR,
        reply_to(QUESTION_NAPTR, 'sip.example.com. 300 IN NAPTR 1 1 "s" "SIP+D2U" "" a.example.com.'),
    ),
]


@given(st.binary(max_size=200), st.sampled_from(RrType), st.integers(0, 0xFFFF))
@example(b"", RrType.A, 0)
@settings(deadline=None, max_examples=300)
def test_octets_of_any_kind_never_raise(octets: bytes, rrtype: RrType, message_id: int) -> None:
    question = Question(NAME, rrtype)
    assert question.is_answered_by(octets, message_id) in {True, False}
    assert isinstance(read_reply(octets, question), Answer | Negative | Failure | Truncated | Unfinished)


@given(st.sampled_from(ANSWERED), st.binary(max_size=200), st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None, max_examples=300)
def test_octets_after_the_question_never_raise(
    answered: tuple[Question, bytes], tail: bytes, answers: int, authorities: int
) -> None:
    question, _ = answered
    counts = b"".join(count.to_bytes(2, "big") for count in (1, answers, authorities, 0))
    octets = ID.to_bytes(2, "big") + b"\x81\x80" + counts + question.octets(ID)[12:-11] + tail
    assert question.is_answered_by(octets, ID)
    assert isinstance(read_reply(octets, question), Answer | Negative | Failure | Unfinished)


EDITS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=6)


@given(st.sampled_from(ANSWERED), EDITS, st.integers(0, 300))
@settings(deadline=None, max_examples=1_000)
def test_octets_changed_or_cut_off_never_raise(
    answered: tuple[Question, bytes], edits: list[tuple[int, int]], length: int
) -> None:
    question, octets = answered
    for place, value in edits:
        octets = changed(octets, place % len(octets), value)
    for edited in (octets, octets[:length]):
        question.is_answered_by(edited, ID)
        assert isinstance(read_reply(edited, question), Answer | Negative | Failure | Truncated | Unfinished)


@given(st.sampled_from(ANSWERED), st.integers(0, 300))
@settings(deadline=None)
def test_reply_cut_off_is_never_evidence(answered: tuple[Question, bytes], length: int) -> None:
    question, octets = answered
    cut = octets[: length % len(octets)]
    assert isinstance(read_reply(cut, question), Failure)


@given(st.sampled_from(ANSWERED), st.binary(max_size=50))
@settings(deadline=None)
def test_reply_with_octets_after_it_is_read_all_the_same(
    answered: tuple[Question, bytes], tail: bytes
) -> None:
    question, octets = answered
    assert read_reply(octets + tail, question) == read_reply(octets, question)


def test_question_for_a_name_whose_last_label_ends_in_a_dot_keeps_it() -> None:
    question = Question("two.ne\\.", RrType.A)
    assert question.octets(0)[12:21] == b"\x03two\x03ne.\x00"
    assert Question("two.ne.", RrType.A).octets(0) == Question("two.ne", RrType.A).octets(0)
