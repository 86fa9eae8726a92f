"""A reply's octets. Pure; a negative answer is put together from ready-made parts."""

import io

import dns.name

from tools.dnslab.answers import Answer
from tools.dnslab.query import AD, DO, HEADER, QR, RECORD, TYPE_CLASS, TYPE_OPT, Query

__all__ = ["MAX_DATAGRAM", "MAX_STREAM", "datagram_limit", "encode_reply"]

AA, TC, RA = 0x0400, 0x0200, 0x0080
# A reply repeats the opcode, RD (RFC 1035 section 4.1.1) and CD (RFC 4035 section 3.2.2).
REPEATED_FLAGS = 0x7800 | 0x0100 | 0x0010

PLAIN_PAYLOAD = 512
"""Octets that every asker takes (RFC 1035 section 4.2.1), whatever its OPT says (RFC 6891 section 6.2.5)."""
OWN_PAYLOAD = 1232
"""Octets that the lab says it takes: no fragments on any path (DNS flag day 2020)."""
MAX_DATAGRAM = 65_507
"""Octets of payload in the largest IPv4 datagram."""
MAX_STREAM = 65_535
"""Octets of a message over TCP: its length prefix has two (RFC 1035 section 4.2.2)."""


def datagram_limit(query: Query) -> int:
    """Octets that this asker takes over UDP."""
    if query.edns is None:
        return PLAIN_PAYLOAD
    return min(max(query.edns.payload, PLAIN_PAYLOAD), MAX_DATAGRAM)


def encode_reply(query: Query, answer: Answer, *, limit: int, recursion_available: bool) -> bytes:
    """The reply to `query` in `limit` octets; over that the question alone with TC (RFC 2181 section 9).

    The question is repeated octet for octet, and an OPT is there when the query had one.
    """
    flags = QR | query.flags & REPEATED_FLAGS | int(answer.rcode)
    if answer.authoritative:
        flags |= AA
    if recursion_available:
        flags |= RA
    if answer.authentic and query.wants_ad:
        flags |= AD
    opt = _opt_octets(query)
    additionals = 1 if opt else 0
    counts = (1, sum(map(len, answer.records)), len(answer.authority), additionals)
    records = _record_octets(query, answer) if answer.records else b""
    reply = b"".join((HEADER.pack(query.id, flags, *counts), query.question, records, *answer.authority, opt))
    if len(reply) <= limit:
        return reply
    return HEADER.pack(query.id, flags | TC, 1, 0, 0, additionals) + query.question + opt


def _opt_octets(query: Query) -> bytes:
    if query.edns is None:
        return b""
    # DO is repeated (RFC 3225 section 3), the version is 0.
    return b"\0" + RECORD.pack(TYPE_OPT, OWN_PAYLOAD, query.edns.flags & DO, 0)


def _record_octets(query: Query, answer: Answer) -> bytes:
    """The answer section, compressed against the question (RFC 1035 section 4.1.4)."""
    message = io.BytesIO()
    message.write(bytes(HEADER.size))
    offsets: dict[dns.name.Name, int] = {}
    dns.name.from_wire(query.question, 0)[0].to_wire(message, offsets)
    message.write(query.question[-TYPE_CLASS.size :])
    for rrset in answer.records:
        # In zone-file order: a test of preference between equals must not depend on chance.
        rrset.to_wire(message, offsets, want_shuffle=False)
    return message.getvalue()[HEADER.size + len(query.question) :]
