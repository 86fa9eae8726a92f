"""DNS queries as this server reads them: octets in, values out, no I/O.

*Source: RFC 1035 section 4, RFC 6891 (EDNS), RFC 7871 (client subnet).*
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from fastvhost.host import Address, normalised_address

__all__ = [
    "CLIENT_SUBNET",
    "HEADER",
    "OPT",
    "Edns",
    "Faulty",
    "Head",
    "Qtype",
    "Query",
    "Rcode",
    "read_query",
]

HEADER = Struct("!2s5H")
"""Id, flags, then how many questions, answers, authorities and additionals there are."""

OPT = 41
CLIENT_SUBNET = 8

_RESPONSE = 0x8000
_OPCODE = 0x7800
_REPEATED = _OPCODE | 0x0110
"""Opcode, RD and CD: a reply has those of its query (RFC 1035 section 4.1.1, RFC 4035 section 3.1.6)."""

_MAX_LABEL = 63
_MAX_NAME = 255
_POINTER = 0xC0
_TYPE_AND_CLASS = Struct("!2H")
_RECORD = Struct("!2HIH")
"""Type, class, TTL and length of a record's octets."""
_OPTION = Struct("!2H")
_SUBNET = Struct("!H2B")
_DNSSEC_OK = 0x8000


class Qtype(IntEnum):
    """The types that a query is told apart by."""

    A = 1
    NS = 2
    SOA = 6
    TXT = 16
    AAAA = 28
    ANY = 255


class Rcode(IntEnum):
    """What a reply says of its query (RFC 1035 section 4.1.1, RFC 6891 section 9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Edns:
    """What the OPT record of a query says."""

    payload: int
    """Octets of the largest reply that its client takes in a datagram."""
    dnssec_ok: bool
    subnet: bytes = b""
    """The client subnet as it came, to be echoed; empty without one."""
    source: Address | None = None
    """The network address of that subnet; None without one, or where its prefix has no bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a reply repeats of its query."""

    flags: int
    question: bytes = b""
    """Name, type and class as they came, in their own case; empty where they cannot be read."""
    edns: Edns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query that can be answered."""

    head: Head
    labels: tuple[bytes, ...]
    """Of the name, in their own case, without the root."""
    qtype: int
    qclass: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """A query that gets an RCODE and nothing else."""

    head: Head
    rcode: Rcode


class _FormatError(Exception):
    """Not what the format asks for; never leaves this module."""


def read_query(message: bytes) -> Query | Faulty | None:
    """Read a query; None where it is none: too short for a header, or a response.

    A response is never answered, or two servers could keep each other busy for ever. Never raises.
    """
    if len(message) < HEADER.size:
        return None
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    head = Head(flags=flags & _REPEATED)
    if flags & _OPCODE:
        return Faulty(head=head, rcode=Rcode.NOTIMP)
    # Exactly one question: RFC 9619 section 4. Only a zone transfer has more sections in its query.
    if questions != 1 or answers or authorities:
        return Faulty(head=head, rcode=Rcode.FORMERR)
    try:
        labels, name_end = _read_name(message)
        qtype, qclass = _unpack(_TYPE_AND_CLASS, message, name_end)
        end = name_end + _TYPE_AND_CLASS.size
        opt = _find_opt(message, end, additionals)
    except _FormatError:
        return Faulty(head=head, rcode=Rcode.FORMERR)
    question = message[HEADER.size : end]
    if opt is None:
        head = Head(flags=head.flags, question=question)
        return Query(head=head, labels=labels, qtype=qtype, qclass=qclass)
    payload, extended, options = opt
    edns = Edns(payload=payload, dnssec_ok=bool(extended & _DNSSEC_OK))
    rcode = Rcode.NOERROR
    if extended >> 16 & 0xFF:
        rcode = Rcode.BADVERS
    else:
        try:
            edns = _with_subnet(edns, options)
        except _FormatError:
            rcode = Rcode.FORMERR
    head = Head(flags=head.flags, question=question, edns=edns)
    if rcode is not Rcode.NOERROR:
        return Faulty(head=head, rcode=rcode)
    return Query(head=head, labels=labels, qtype=qtype, qclass=qclass)


def _read_name(message: bytes) -> tuple[tuple[bytes, ...], int]:
    """The labels of the name in question, and where it ends; it has nothing before it to point to."""
    labels = []
    at = HEADER.size
    while True:
        length = _octet(message, at)
        at += 1
        if length == 0:
            break
        if length > _MAX_LABEL:
            raise _FormatError
        labels.append(message[at : at + length])
        at += length
    if at - HEADER.size > _MAX_NAME:
        raise _FormatError
    return tuple(labels), at


def _find_opt(message: bytes, at: int, additionals: int) -> tuple[int, int, bytes] | None:
    """Class, TTL and options of the OPT record among the additional ones, which end the message."""
    found = None
    for _ in range(additionals):
        start = at
        at = _skip_name(message, at)
        is_root = at == start + 1
        rtype, rclass, ttl, length = _unpack(_RECORD, message, at)
        at += _RECORD.size
        content = message[at : at + length]
        at += length
        if at > len(message):
            raise _FormatError
        if rtype == OPT:
            if found is not None or not is_root:  # RFC 6891 section 6.1.1
                raise _FormatError
            found = rclass, ttl, content
    if at != len(message):
        raise _FormatError
    return found


def _skip_name(message: bytes, at: int) -> int:
    """Where a name ends that may be compressed."""
    while True:
        length = _octet(message, at)
        if length >= _POINTER:
            return at + 2
        if length > _MAX_LABEL:
            raise _FormatError
        at += 1 + length
        if length == 0:
            return at


def _with_subnet(edns: Edns, options: bytes) -> Edns:
    """`edns` with the client subnet among `options`; those of other codes are passed over."""
    subnet = None
    at = 0
    while at < len(options):
        code, length = _unpack(_OPTION, options, at)
        at += _OPTION.size
        content = options[at : at + length]
        at += length
        if at > len(options):
            raise _FormatError
        if code == CLIENT_SUBNET:
            if subnet is not None:  # nobody could say which is meant
                raise _FormatError
            subnet = content
    if subnet is None:
        return edns
    return Edns(
        payload=edns.payload, dnssec_ok=edns.dnssec_ok, subnet=subnet, source=_source_of_subnet(subnet)
    )


def _source_of_subnet(subnet: bytes) -> Address | None:
    """The network address; its octets, as many as the prefix needs, have no bits beyond the prefix.

    *Source: RFC 7871 section 6; family 0, by which `dig +subnet=0` says that there is none, as in BIND.*
    """
    family, prefix, scope = _unpack(_SUBNET, subnet, 0)
    octets = subnet[_SUBNET.size :]
    most = {0: 0, 1: 32, 2: 128}.get(family)
    if most is None or prefix > most or scope or len(octets) != (prefix + 7) // 8:
        raise _FormatError
    if prefix == 0:
        return None
    value = int.from_bytes(octets.ljust(most // 8, b"\0"), "big")
    if value & ((1 << (most - prefix)) - 1):
        raise _FormatError
    return IPv4Address(value) if family == 1 else normalised_address(IPv6Address(value))


def _octet(octets: bytes, at: int) -> int:
    if at >= len(octets):
        raise _FormatError
    return octets[at]


def _unpack(form: Struct, octets: bytes, at: int) -> tuple[int, ...]:
    if at + form.size > len(octets):
        raise _FormatError
    return form.unpack_from(octets, at)
