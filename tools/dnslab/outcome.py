"""What to send for one query: the truth, bent by a fault. Pure: decided here, sent elsewhere."""

from dataclasses import dataclass, replace
from typing import assert_never

import dns.rcode

from tools.dnslab.answers import LAME, Answer
from tools.dnslab.faults import Effect, Transport
from tools.dnslab.query import TYPE_CLASS, Query
from tools.dnslab.replies import MAX_STREAM, datagram_limit, encode_reply
from tools.dnslab.zones import ROOT_ZONE, parse_zone

__all__ = ["Message", "messages_for"]

FORGED_OWNER = b"\x06forged\x07invalid\x00"
FORGED_SOA = parse_zone(ROOT_ZONE, origin=".").soa_octets


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send."""

    octets: bytes
    stray_port: bool = False
    """Send it from a port that the asker did not ask."""


def messages_for(
    query: Query, truth: Answer, effect: Effect, transport: Transport, *, recursion_available: bool
) -> tuple[Message, ...]:
    """The messages that answer `query`, in the order to send them; none for a drop."""
    limit = datagram_limit(query) if transport == "udp" else MAX_STREAM

    def encoded(answer: Answer, to: Query = query, limit: int = limit) -> bytes:
        return encode_reply(to, answer, limit=limit, recursion_available=recursion_available)

    def rcode_only(rcode: dns.rcode.Rcode) -> tuple[Message, ...]:
        return (Message(encoded(Answer(rcode=rcode, authoritative=False))),)

    def other_question() -> Query:
        return replace(query, question=FORGED_OWNER + query.question[-TYPE_CLASS.size :])

    match effect:
        case Effect.NONE:
            return (Message(encoded(truth)),)
        case Effect.DROP:
            return ()
        case Effect.TRUNCATE:
            return (Message(encoded(truth, limit=0 if transport == "udp" else limit)),)
        case Effect.SERVFAIL:
            return rcode_only(dns.rcode.SERVFAIL)
        case Effect.REFUSED:
            return rcode_only(dns.rcode.REFUSED)
        case Effect.FORMERR:
            return rcode_only(dns.rcode.FORMERR)
        case Effect.NOTIMP:
            return rcode_only(dns.rcode.NOTIMP)
        case Effect.WRONG_ID_FIRST | Effect.WRONG_ID_ONLY:
            forged = Message(encoded(_opposite(truth), to=replace(query, id=query.id ^ 0xFFFF)))
            return (forged,) if effect is Effect.WRONG_ID_ONLY else (forged, Message(encoded(truth)))
        case Effect.WRONG_QUESTION_FIRST | Effect.WRONG_QUESTION_ONLY:
            forged = Message(encoded(_opposite(truth), to=other_question()))
            return (forged,) if effect is Effect.WRONG_QUESTION_ONLY else (forged, Message(encoded(truth)))
        case Effect.WRONG_PORT_FIRST | Effect.WRONG_PORT_ONLY:
            strays = (Message(encoded(_opposite(truth)), stray_port=True),) if transport == "udp" else ()
            return strays if effect is Effect.WRONG_PORT_ONLY else (*strays, Message(encoded(truth)))
        case Effect.LAME:
            return (Message(encoded(LAME)),)
        case Effect.NO_SOA:
            return (Message(encoded(replace(truth, authority=()))),)
        case Effect.DOUBLED:
            return (Message(encoded(truth)),) * 2
        case _:
            assert_never(effect)


def _opposite(truth: Answer) -> Answer:
    """A lie that shows when it is believed: it looks whole, may be cached, and leads to another verdict."""
    denied = truth.rcode == dns.rcode.NXDOMAIN
    rcode = dns.rcode.NOERROR if denied else dns.rcode.NXDOMAIN
    return Answer(rcode=rcode, authority=(FORGED_SOA,))
