"""Replies of upstream servers: read as by dnspython or rejected; of what is damaged nothing follows.

The question is the one that stands in the message, where it is for `sip.example.com`; bit 0 of the id tells
whether it asked for proofs.
"""

from itertools import pairwise

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from fastvhost.resolve.message import MAX_NSECS, MAX_RECORDS
from fastvhost.resolve.nsec_zone import NsecZone, key_of
from fastvhost.resolve.reply import Answer, Denial, Failure, Negative, Reply, RrType
from fastvhost.resolve.wire import Question, Truncated, Unfinished, read_reply
from tools.fuzz.dnspython_reader import (
    assert_rejected_or_read_as_by_dnspython,
    dnspython_message,
    is_over_labels,
    name_of,
)

__all__ = ["NAME", "check"]

NAME = "sip.example.com"

_HEADER_OCTETS = 12
_MAX_TTL = 2**31 - 1
_RRTYPES = {rrtype.value: rrtype for rrtype in RrType}


def check(octets: bytes) -> None:
    """Read `octets` as the reply to their own question, if it is one of ours, or else to another."""
    question = _question_in(octets)
    message_id = int.from_bytes(octets[:2], "big")
    if not question.is_answered_by(octets, message_id):
        read_reply(octets, question)
        return
    assert not question.is_answered_by(octets, message_id ^ 1)
    reply = read_reply(octets, question)
    flags = int.from_bytes(octets[2:4], "big")
    assert isinstance(reply, Truncated) == bool(flags & dns.flags.TC)
    if isinstance(reply, Truncated):
        return
    has_question = octets[4:6] != b"\0\0"
    assert_rejected_or_read_as_by_dnspython(octets, question.end if has_question else _HEADER_OCTETS)
    _check_evidence(reply, question, flags)
    if not has_question:
        assert isinstance(reply, Failure), "an error without question is evidence of nothing"
        return
    _check_against_dnspython(reply, octets)


def _question_in(octets: bytes) -> Question:
    end = Question(NAME, RrType.A).end
    rrtype = _RRTYPES.get(int.from_bytes(octets[end - 4 : end - 2], "big"), RrType.A)
    return Question(NAME, rrtype, want_ad=bool(octets[1:2] and octets[1] & 1))


def _check_evidence(reply: Reply | Unfinished, question: Question, flags: int) -> None:
    match reply:
        case Answer(records=records, ttl=ttl, aliases=aliases, authentic=authentic):
            assert 0 < len(records) <= MAX_RECORDS
            assert len(set(records)) == len(records)
        case Negative(ttl=ttl, aliases=aliases, authentic=authentic, denial=denial):
            assert denial is None or (authentic and not aliases)
            if denial is not None:
                _check_denial(denial, question)
        case Unfinished(aliases=aliases, ttl=ttl):
            assert aliases
            authentic = False
            assert Question(aliases[-1], question.rrtype).name == aliases[-1], "can be asked for in its turn"
        case Failure(why=why):
            assert why.isascii()
            assert why.isprintable()
            return
    assert 0 <= ttl <= _MAX_TTL
    assert len({question.name, *aliases}) == 1 + len(aliases) <= 1 + MAX_RECORDS, "no loop"
    assert not authentic or (question.want_ad and flags & dns.flags.AD)


def _check_denial(denial: Denial, question: Question) -> None:
    """Proofs stay within the zone that the SOA names, and what is forgotten is not proved any more."""
    apex = key_of(denial.zone)
    assert key_of(question.name)[: len(apex)] == apex
    assert len(denial.nsecs) <= MAX_NSECS
    names = [name for nsec in denial.nsecs for name in (nsec.owner, nsec.next_name)]
    ordered = sorted(names, key=key_of)
    assert all(name_of(one) <= name_of(other) for one, other in pairwise(ordered))
    zone = NsecZone(denial.zone, most=MAX_NSECS // 2)
    for nsec in denial.nsecs:
        zone.add(nsec, 60.0)
    assert len(zone) <= MAX_NSECS // 2
    for name in (question.name, *names):
        key = key_of(name)
        if key[: len(apex)] != apex:
            continue
        proof = zone.proof(key, question.rrtype, 0.0)
        assert proof is None or proof.expires == 60.0
        assert zone.proof(key, question.rrtype, 60.0) is None
    zone.forget(key_of(question.name))
    assert zone.proof(key_of(question.name), question.rrtype, 0.0) is None


def _check_against_dnspython(reply: Reply | Unfinished, octets: bytes) -> None:
    """Where dnspython has no fault to find, it comes to the same end of the same aliases."""
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
        if not isinstance(message, dns.message.QueryMessage):
            return
        chain = message.resolve_chaining()
    except dns.message.AnswerForNXDOMAIN:
        assert isinstance(reply, Failure)
        return
    except dns.exception.DNSException:
        return
    if message.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        assert isinstance(reply, Failure)
    elif isinstance(reply, Failure):
        # A loop is one thing to us and a chain without end to dnspython.
        assert chain.answer is None
        assert "SOA" in reply.why or is_over_labels(reply.why) or _records_in(octets) > MAX_RECORDS
    else:
        assert isinstance(reply, Answer) == (chain.answer is not None)
        assert [name_of(name) for name in reply.aliases] == [rrset[0].target for rrset in chain.cnames]
        if isinstance(reply, Unfinished):  # dnspython takes it for an empty answer
            assert reply.ttl == min(rrset.ttl for rrset in chain.cnames)
        elif isinstance(reply, Answer) or _soas_in(octets) == 1:
            assert reply.ttl == chain.minimum_ttl


def _records_in(octets: bytes) -> int:
    return sum(int.from_bytes(octets[at : at + 2], "big") for at in (6, 8, 10))


def _soas_in(octets: bytes) -> int:
    """SOA records one by one: of several at one owner we take the first, and dnspython the last."""
    return sum(rrset.rdtype == dns.rdatatype.SOA for rrset in dnspython_message(octets).authority)
