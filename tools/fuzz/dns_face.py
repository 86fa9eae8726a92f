"""The DNS face: any octets get no reply, or one that answers them, fits and can be read.

The two octets of the id, which mean nothing to a server, tell the circumstances: transport and verdict.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode

from fastvhost.faces.dns_query import HEADER, Head
from fastvhost.faces.dns_reply import MAX_DATAGRAM, most_octets
from fastvhost.faces.dns_responder import DnsCounters, DnsResponder
from fastvhost.faces.entries import PythonEntries, Repeated, key_of
from fastvhost.host import DomainName, parse_host
from fastvhost.model import Verdict, VerdictKind

if TYPE_CHECKING:
    from fastvhost.lookup import Lookup

__all__ = ["check"]

_ZONE = dns.name.from_text("vhost.internal")
_TEXT = (b"max-calls=30", b"contact=" + b"x" * 247) * 4
_SECONDS = 5.0
_RESPONSE = 0x80
_MOST_BY_TCP = 0xFFFF
_LEAST_DATAGRAM = 512
_ECHOED = dns.flags.RD | dns.flags.CD


class _Decided:
    """In place of a `Lookup`: whatever host is asked for has the same verdict."""

    def __init__(self, kind: VerdictKind) -> None:
        self._kind = kind
        self.asked: list[str] = []

    def decide(self, text: str, _: object, now: float) -> Verdict:
        self.asked.append(text)
        return Verdict(kind=self._kind, host=text, expires=now + _SECONDS, reason=text, stale=True)


def check(octets: bytes) -> None:
    """Ask twice, for what is kept of a query must not change its answer, then by what repeats replies."""
    by_tcp = bool(octets[:1] and octets[0] & 1)
    kinds = tuple(VerdictKind)
    decided = _Decided(kinds[octets[1] % len(kinds)] if len(octets) > 1 else kinds[0])
    repeated = PythonEntries(0, 1)
    responder = DnsResponder(
        "vhost.internal",
        cast("Lookup", decided),
        text=lambda _: _TEXT,
        most_octets=_by_tcp if by_tcp else most_octets,
        counters=DnsCounters(),
        settled=_kept_in(repeated),
    )
    reply = responder.respond(octets, 0.0)
    assert responder.respond(octets, 0.0) == reply
    if len(octets) < HEADER.size or octets[2] & _RESPONSE:
        assert reply is None
        return
    assert isinstance(reply, bytes)
    again = repeated.repeat(octets, 0.0)
    assert again in {None, (reply, False)}
    _check_reply(octets, reply)
    _check_against_dnspython(octets, reply, most=_MOST_BY_TCP if by_tcp else None)
    _check_host(octets, decided.asked)
    assert responder.respond(reply, 0.0) is None, "a reply that is answered goes back and forth for ever"


def _by_tcp(_: Head) -> int:
    return _MOST_BY_TCP


def _kept_in(entries: PythonEntries) -> Callable[[Verdict, bytes, bytes, tuple[int, ...], float], None]:
    def keep(verdict: Verdict, message: bytes, reply: bytes, ttl_at: tuple[int, ...], now: float) -> None:
        kept = Repeated(
            key=key_of(message, 0),
            reply=reply,
            kind=verdict.kind,
            until=now + 1.0,
            expires=verdict.expires,
            ttl_at=ttl_at,
        )
        entries.put(0, kept)

    return keep


def _check_reply(query: bytes, octets: bytes) -> None:
    """What holds of every reply, whatever was asked."""
    reply = dns.message.from_wire(octets)
    asked_flags = int.from_bytes(query[2:4], "big")
    assert octets[:2] == query[:2]
    assert reply.flags & dns.flags.QR
    assert reply.flags & _ECHOED == asked_flags & _ECHOED
    assert reply.opcode() == query[2] >> 3 & 0xF
    if reply.question:
        length = 4 + len(reply.question[0].name.to_wire() or b"")
        assert octets[HEADER.size :][:length] == query[HEADER.size :][:length]
    else:
        assert reply.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP}
    if reply.flags & dns.flags.TC:
        assert reply.answer == reply.authority == []
    if reply.edns < 0:
        assert not reply.additional


def _check_against_dnspython(query: bytes, octets: bytes, *, most: int | None) -> None:
    """`most` octets of a reply, or those that the query says that its client takes."""
    reply = dns.message.from_wire(octets)
    try:
        asked = dns.message.from_wire(query)
    except dns.exception.DNSException:
        assert len(octets) <= (most or MAX_DATAGRAM)
        assert reply.edns >= 0 or len(octets) <= (most or _LEAST_DATAGRAM)
        return
    client_takes = asked.payload if asked.edns >= 0 else _LEAST_DATAGRAM
    assert len(octets) <= (most or min(max(client_takes, _LEAST_DATAGRAM), MAX_DATAGRAM))
    if reply.rcode() not in {dns.rcode.FORMERR, dns.rcode.NOTIMP}:
        assert asked.is_response(reply)
        assert (asked.edns >= 0) == (reply.edns >= 0)


def _check_host(query: bytes, asked: list[str]) -> None:
    """Where the host is a name, it is that of the query, octet for octet but for case."""
    for text in asked:
        host = parse_host(text)
        if isinstance(host, DomainName) and text.isascii():
            name = dns.message.from_wire(query, ignore_trailing=True, continue_on_error=True).question[0].name
            assert name.relativize(_ZONE) == dns.name.from_text(host.name, None)
