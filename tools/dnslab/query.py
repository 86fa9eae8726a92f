"""A query, read by hand: octets in, a `Query` or None out, never an exception.

`dns.message.from_wire` costs more than the rest of a negative answer together; a query is 12 octets,
one name and perhaps one OPT.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from tools.dnslab.zones import Labels

__all__ = ["Edns", "Query", "owner_text", "parse_query"]

HEADER = struct.Struct("!HHHHHH")
TYPE_CLASS = struct.Struct("!HH")
RECORD = struct.Struct("!HHIH")

QR = 0x8000
AD = 0x0020
DO = 0x8000
TYPE_OPT = 41
MAX_NAME = 255
"""Octets of a name, lengths and root label counted (RFC 1035 section 2.3.4)."""
MAX_RECORDS = 16
"""Records after the question; a query has an OPT and perhaps a TSIG."""

_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_*."


class Edns(NamedTuple):
    """What a query's OPT record says (RFC 6891 section 6.1)."""

    payload: int
    """Octets that the asker takes in one datagram."""
    flags: int
    """The TTL field: extended RCODE, version, DO."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question as it came. Positional, since one is made for every packet of a flood."""

    id: int
    flags: int
    owner: Labels
    question: bytes
    """The question section, octet for octet: a reply repeats it, letter case included."""
    rdtype: int
    rdclass: int
    edns: Edns | None

    @property
    def opcode(self) -> int:
        """0 for a standard query (RFC 1035 section 4.1.1)."""
        return self.flags >> 11 & 0xF

    @property
    def dnssec(self) -> bool:
        """Whether DNSSEC records are asked for, by DO (RFC 3225)."""
        return self.edns is not None and bool(self.edns.flags & DO)

    @property
    def wants_ad(self) -> bool:
        """Whether the AD bit is asked for, by itself (RFC 6840 section 5.7) or by DO."""
        return self.dnssec or bool(self.flags & AD)


def parse_query(octets: bytes) -> Query | None:
    """Read a query; None when it is malformed.

    Malformed is: a reply, not exactly one question, a compressed or overlong name in it, two OPT records
    (RFC 6891 section 6.1.1), more than `MAX_RECORDS` records, octets missing or left over.
    """
    try:
        return _parse(octets)
    except (IndexError, struct.error):
        return None


def _parse(octets: bytes) -> Query | None:
    query_id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(octets)
    records = answers + authorities + additionals
    if flags & QR or questions != 1 or records > MAX_RECORDS:
        return None
    labels = []
    at = HEADER.size
    while length := octets[at]:
        end = at + 1 + length
        # The two high bits mark a pointer; in the first name there is nothing to point back to.
        if length > 63 or end - HEADER.size >= MAX_NAME:
            return None
        labels.append(octets[at + 1 : end].lower())
        at = end
    rdtype, rdclass = TYPE_CLASS.unpack_from(octets, at + 1)
    at += 1 + TYPE_CLASS.size
    question = octets[HEADER.size : at]
    edns = None
    for _ in range(records):
        start = at
        at = _after_name(octets, at)
        record_type, record_class, ttl, length = RECORD.unpack_from(octets, at)
        if record_type == TYPE_OPT:
            if edns is not None or octets[start]:
                return None
            edns = Edns(record_class, ttl)
        at += RECORD.size + length
    if at != len(octets):
        return None
    return Query(query_id, flags, tuple(labels), question, rdtype, rdclass, edns)


def _after_name(octets: bytes, at: int) -> int:
    """The offset after a name that may end in a pointer (RFC 1035 section 4.1.4)."""
    while length := octets[at]:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1


def owner_text(owner: Labels) -> str:
    """An owner as zone files write it, lower case, no trailing dot; the root is `"."`.

    Octets other than letters, digits, `-`, `_` and `*` become `\\DDD` (RFC 1035 section 5.1), dots within a
    label too, so that two names never share one text.
    """
    joined = b".".join(owner)
    if not joined.translate(None, _PLAIN) and joined.count(b".") == len(owner) - 1:
        return joined.decode("ascii")
    return ".".join("".join(map(_escaped, label)) for label in owner) or "."


def _escaped(octet: int) -> str:
    return chr(octet) if octet in _PLAIN and octet != ord(".") else f"\\{octet:03d}"
