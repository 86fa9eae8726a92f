"""DNS replies as this server writes them: values in, octets out, no I/O.

*Source: RFC 1035 section 4, RFC 6891 (EDNS), RFC 7871 (client subnet), RFC 8914 (extended errors).*
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from fastvhost.faces.dns_query import CLIENT_SUBNET, HEADER, OPT, Edns, Head, Qtype, Rcode

__all__ = [
    "MAX_DATAGRAM",
    "Answer",
    "ExtendedError",
    "InfoCode",
    "address_record",
    "most_octets",
    "ns_record",
    "soa_record",
    "text_record",
    "ttl_places",
    "write_reply",
]

MAX_DATAGRAM = 1232
"""Octets of a datagram that no link breaks into fragments: the DNS flag day of 2020."""

_LEAST_DATAGRAM = 512
"""Octets that every client takes (RFC 1035 section 2.3.4, RFC 6891 section 6.2.3)."""

_RESPONSE = 0x8000
_AUTHORITATIVE = 0x0400
_TRUNCATED = 0x0200
_RECURSION_AVAILABLE = 0x0080
_DNSSEC_OK = 0x8000

_AFTER_ID = Struct("!5H")
_RECORD = Struct("!3HIH")
"""Owner as a pointer, type, class, TTL and length of the record's octets."""
_TTL_IN_RECORD = 6
_MINIMUM_OCTETS = 4
"""The MINIMUM of an SOA ends it."""
_OPT = Struct("!B2H2BHH")
_OPTION = Struct("!2H")
_EXTENDED_ERROR = Struct("!3H")
_SOA = Struct("!5I")

_IN = 1
_POINTER = 0xC000
_EXTENDED_ERROR_CODE = 15

_MAX_TEXT = 255
"""Octets of an error's text: for a reader, not for a program."""

_RNAME = b"\x06nobody\x07invalid\x00"
_SERIAL = 1
_REFRESH, _RETRY, _EXPIRE = 3_600, 1_200, 604_800


class InfoCode(IntEnum):
    """Extended errors of RFC 8914 section 4."""

    OTHER = 0
    STALE_ANSWER = 3
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedError:
    """Why a reply is as it is; sent where its query has EDNS."""

    code: InfoCode
    text: str = ""
    """Shortened to 255 octets of UTF-8, and to what the reply has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reply says beyond what it repeats of its query; records are octets."""

    rcode: Rcode = Rcode.NOERROR
    authoritative: bool = False
    answer: tuple[bytes, ...] = ()
    authority: tuple[bytes, ...] = ()
    error: ExtendedError | None = None


def most_octets(head: Head) -> int:
    """The octets that a datagram to whoever asked may have."""
    if head.edns is None:
        return _LEAST_DATAGRAM
    return min(max(head.edns.payload, _LEAST_DATAGRAM), MAX_DATAGRAM)


def write_reply(head: Head, answer: Answer, *, most: int) -> bytes:
    """The reply without its first two octets, the query's id.

    Where it would be over `most` octets, at least 512, it is truncated: TC, and no records but OPT.
    """
    records = b"".join(answer.answer + answer.authority)
    counts = 1 if head.question else 0, len(answer.answer), len(answer.authority)
    # RA: whoever asks for recursion gets all that it would bring here, and `dig` warns where it is clear.
    flags = _RESPONSE | _RECURSION_AVAILABLE | head.flags | answer.rcode & 0xF
    if answer.authoritative:
        flags |= _AUTHORITATIVE
    options = 0 if head.edns is None else _octets_of_opt(head.edns, answer.error)
    room = most - HEADER.size - len(head.question) - options
    if len(records) > room:
        flags |= _TRUNCATED
        records, counts = b"", (counts[0], 0, 0)
    opt = b""
    if head.edns is not None:
        opt = _opt(head.edns, answer, room - len(records))
    return b"%b%b%b%b" % (_AFTER_ID.pack(flags, *counts, 1 if opt else 0), head.question, records, opt)


def ttl_places(head: Head, answer: Answer) -> tuple[int, ...]:
    """Where the TTL stands in the reply that is written of an answer with at most one record, whole.

    Of an SOA the TTL and MINIMUM.
    """
    at = HEADER.size + len(head.question) + _TTL_IN_RECORD
    if answer.answer:
        return (at,)
    if answer.authority:
        (soa,) = answer.authority
        return at, at - _TTL_IN_RECORD + len(soa) - _MINIMUM_OCTETS
    return ()


def address_record(octets: bytes, ttl: int) -> bytes:
    """A of the name in question."""
    return _record(HEADER.size, Qtype.A, ttl, octets)


def text_record(strings: Sequence[bytes], ttl: int) -> bytes:
    """TXT of the name in question; each string at most 255 octets, at least one of them."""
    return _record(
        HEADER.size, Qtype.TXT, ttl, b"".join(b"%c%b" % (len(string), string) for string in strings)
    )


def soa_record(apex: int, ttl: int) -> bytes:
    """SOA of the zone whose name stands at offset `apex` of the reply; TTL and MINIMUM are both `ttl`.

    *Source: RFC 6303 section 3, for zones that nobody else has: the zone is its own name server.*
    """
    times = _SOA.pack(_SERIAL, _REFRESH, _RETRY, _EXPIRE, ttl)
    return _record(apex, Qtype.SOA, ttl, b"%b%b%b" % (_pointer(apex), _RNAME, times))


def ns_record(apex: int, ttl: int) -> bytes:
    """NS of the zone likewise: itself."""
    return _record(apex, Qtype.NS, ttl, _pointer(apex))


def _record(owner: int, rtype: Qtype, ttl: int, content: bytes) -> bytes:
    return _RECORD.pack(_POINTER | owner, rtype, _IN, ttl, len(content)) + content


def _pointer(offset: int) -> bytes:
    return (_POINTER | offset).to_bytes(2, "big")


def _octets_of_opt(edns: Edns, error: ExtendedError | None) -> int:
    """How many it has, but for an error's text."""
    subnet = _OPTION.size + len(edns.subnet) if edns.subnet else 0
    return _OPT.size + subnet + (0 if error is None else _EXTENDED_ERROR.size)


def _opt(edns: Edns, answer: Answer, room: int) -> bytes:
    """The OPT record; `room` is what is left for an error's text."""
    options = b""
    if edns.subnet:
        # As it came, with the scope at 0: what we say does not depend on who asks (RFC 7871 section 7.2.1).
        options = _OPTION.pack(CLIENT_SUBNET, len(edns.subnet)) + edns.subnet
    if answer.error is not None:
        text = _shortened(answer.error.text, min(room, _MAX_TEXT))
        options += _EXTENDED_ERROR.pack(_EXTENDED_ERROR_CODE, 2 + len(text), answer.error.code) + text
    dnssec_ok = _DNSSEC_OK if edns.dnssec_ok else 0  # RFC 3225 section 3: copied
    return _OPT.pack(0, OPT, MAX_DATAGRAM, answer.rcode >> 4, 0, dnssec_ok, len(options)) + options


def _shortened(text: str, most: int) -> bytes:
    """UTF-8 without a character cut in two."""
    octets = text.encode(errors="replace")
    return octets if len(octets) <= most else octets[:most].decode(errors="ignore").encode()
