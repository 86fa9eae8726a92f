"""A reader of DNS messages: octets to record sets, of the types that a walk needs.

Our own, since whoever owns a zone chooses what is read here: 64 kB of records with names of a hundred labels
hold a general reader, and with it everybody, for seconds. This one follows no name further than 255 octets
and reads no more than 256 records and 4,096 labels. Tests hold it against dnspython, message by message.

Source: RFC 1035 section 4, RFC 2181 section 8, RFC 2782, RFC 3403 section 4.1, RFC 3597 section 4, RFC 4034,
RFC 6891.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from fastvhost.resolve.reply import Naptr, Nsec, Record, RrType, Srv, Txt

__all__ = [
    "MAX_LABELS",
    "MAX_NSECS",
    "MAX_RECORDS",
    "MalformedMessageError",
    "Message",
    "Soa",
    "read_message",
]

MAX_RECORDS = 256
"""Records of one message, all sections together. No honest answer to a walk's questions comes near it."""

MAX_LABELS = 4_096
"""Labels of all names of one message, each name that is pointed to counted once: sixteen a record. Read, they
take some 3 ms; what fits 64 kB took 40 ms, and replies to several walks may come at once."""

MAX_NSECS = 8
"""NSEC records of one message that are kept, the first ones: a proof has two (RFC 4035 section 3.1.3)."""

_HEADER = Struct("!6H")
_FIXED = Struct("!HHIH")
_SRV = Struct("!3H")
_NAPTR = Struct("!HH")
_SOA_NUMBERS = Struct("!5I")
_SIGNATURE = Struct("!HBBIIIH")

_MAX_NAME = 255
"""Octets of a name on the wire (RFC 1035 section 2.3.4)."""

_IN = 1
_NS = 2
_CNAME = 5
_SOA = 6
_DNAME = 39
_OPT = 41
_RRSIG = 46
_NSEC = 47

_TYPES_TOLD = frozenset({_NS, _CNAME, _SOA, _DNAME, *(rrtype.value for rrtype in RrType)})
"""The types of an NSEC's bitmap that are kept: with all of them it could hold 65,536."""

_MAX_BITMAP = 32
"""Octets of one window of that bitmap (RFC 4034 section 4.1.2)."""

_MAX_POINTERS = 16
"""Of one name: as many as dnspython follows. A chain of them could be 8,000 long."""


def _octet_text(octet: int) -> str:
    if octet in b'".$();@\\':
        return f"\\{octet:c}"
    return chr(octet).lower() if 0x20 < octet < 0x7F else f"\\{octet:03}"


_TEXTS = {octet: _octet_text(octet) for octet in range(256)}
"""Lower-case; octets that mean something in names or zone files are escaped (RFC 1035 section 5.1)."""


class MalformedMessageError(ValueError):
    """The octets are no DNS message, or one that nobody has to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soa:
    """What a negative answer needs of an SOA record (RFC 2308 section 5)."""

    zone: str
    ttl: int
    minimum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A reply, taken apart. Names are lower-case text without trailing dot, the root is empty."""

    rcode: int
    """With the eight bits of EDNS where there are some (RFC 6891 section 6.1.3)."""
    records: dict[tuple[str, RrType], tuple[list[Record], int]]
    """Record sets of the answer section by owner and type, each with its least TTL."""
    aliases: dict[str, tuple[str, int]]
    """CNAME records of the answer section by owner: target, the last if there are more, and least TTL."""
    soas: list[Soa]
    """Of the authority section."""
    nsecs: list[Nsec] = field(default_factory=list)
    """Of the authority section, the first `MAX_NSECS`."""


def read_message(octets: bytes, question_end: int) -> Message:
    """Read the message whose one question, if any, ends at `question_end`.

    Cost: some 5 us and 2 us a record. The worst that is read takes some 5 ms.

    Raises:
        MalformedMessageError: the octets end early, a length is wrong, a name is too long or goes in
            circles, or there are over `MAX_RECORDS` records or `MAX_LABELS` labels.
    """
    try:
        return _Reader(octets, question_end).message()
    except (IndexError, struct.error) as error:
        raise MalformedMessageError("it ends early") from error


class _Reader:
    """One pass over one message."""

    __slots__ = ("_at", "_labels_left", "_names", "_octets", "_signatures")

    def __init__(self, octets: bytes, at: int) -> None:
        self._octets = octets
        self._at = at
        self._labels_left = MAX_LABELS
        self._names: dict[int, str] = {}
        self._signatures: dict[str, set[tuple[str, int]]] = {}

    def message(self) -> Message:
        _, flags, _, *counts = _HEADER.unpack_from(self._octets)
        if sum(counts) > MAX_RECORDS:
            raise MalformedMessageError(f"over {MAX_RECORDS} records")
        message = Message(rcode=flags & 0xF, records={}, aliases={}, soas=[])
        answers, authorities, additional = counts
        for _ in range(answers):
            self._answer(message)
        for _ in range(authorities):
            self._authority(message)
        extended = 0
        for _ in range(additional):
            extended |= self._extended_rcode()
        nsecs = [
            replace(nsec, signatures=frozenset(self._signatures.get(nsec.owner, ())))
            for nsec in message.nsecs
        ]
        return replace(message, rcode=message.rcode | extended, nsecs=nsecs)

    def _answer(self, message: Message) -> None:
        owner, rdtype, ttl, end = self._fixed_part()
        if rdtype == _CNAME:
            _, least = message.aliases.get(owner, ("", ttl))
            message.aliases[owner] = (self._last_name(end), min(least, ttl))
        elif rdtype in _READERS:
            record = _READERS[rdtype](self, end)
            key = (owner, RrType(rdtype))
            before = message.records.get(key)
            if before is None:
                message.records[key] = ([record], ttl)
            else:
                # RFC 2181 section 5.2: one set, one TTL, so the least of those that are there.
                message.records[key] = (before[0], min(before[1], ttl))
                before[0].append(record)
        self._at = end

    def _authority(self, message: Message) -> None:
        owner, rdtype, ttl, end = self._fixed_part()
        if rdtype == _SOA:
            self._name()
            self._name()
            *_, minimum = _SOA_NUMBERS.unpack_from(self._octets, self._at)
            if self._at + _SOA_NUMBERS.size != end:
                raise MalformedMessageError("an SOA record of a wrong length")
            message.soas.append(Soa(zone=owner, ttl=ttl, minimum=minimum))
        elif rdtype == _NSEC and len(message.nsecs) < MAX_NSECS:
            next_name, types = self._uncompressed_name(), self._types(end)
            nsec = Nsec(owner=owner, next_name=next_name, types=types, ttl=ttl, signatures=frozenset())
            message.nsecs.append(nsec)
        elif rdtype == _RRSIG:
            self._signature(owner, end)
        self._at = end

    def _types(self, end: int) -> frozenset[int]:
        """RFC 4034 section 4.1.2: windows of 256 types each, ascending, without zeros at their ends."""
        types: set[int] = set()
        last = -1
        while self._at < end:
            window, length = self._octets[self._at], self._octets[self._at + 1]
            start = self._at + 2
            self._at = start + length
            if window <= last or not 0 < length <= _MAX_BITMAP or self._at > end:
                raise MalformedMessageError("an NSEC record with a damaged bitmap")
            if self._octets[self._at - 1] == 0:
                raise MalformedMessageError("an NSEC record with zeros at the end of its bitmap")
            last = window
            if window == 0:  # every type that is kept is there
                bitmap = int.from_bytes(self._octets[start : self._at].ljust(_MAX_BITMAP, b"\0"), "big")
                types.update(rdtype for rdtype in _TYPES_TOLD if bitmap >> 255 - rdtype & 1)
        if self._at != end:
            raise MalformedMessageError("an NSEC record of a wrong length")
        return frozenset(types)

    def _signature(self, owner: str, end: int) -> None:
        """Note who signed the NSEC records of `owner`; the signature itself is the upstream's to judge."""
        covered, _, labels, *_ = _SIGNATURE.unpack_from(self._octets, self._at)
        if covered == _NSEC:
            self._at += _SIGNATURE.size
            signer = self._uncompressed_name()
            if self._at > end:
                raise MalformedMessageError("an RRSIG record of a wrong length")
            self._signatures.setdefault(owner, set()).add((signer, labels))

    def _extended_rcode(self) -> int:
        self._name()
        rdtype, _, ttl, length = _FIXED.unpack_from(self._octets, self._at)
        self._at = self._end_of(length)
        return ttl >> 24 << 4 if rdtype == _OPT else 0

    def _fixed_part(self) -> tuple[str, int, int, int]:
        """Owner, type (0 where the class is not IN), TTL, and where the record ends."""
        owner = self._name()
        rdtype, rdclass, ttl, length = _FIXED.unpack_from(self._octets, self._at)
        end = self._end_of(length)
        # RFC 2181 section 8: a TTL with the top bit set is zero.
        return owner, rdtype if rdclass == _IN else 0, ttl if ttl < 0x80000000 else 0, end

    def _end_of(self, length: int) -> int:
        self._at += _FIXED.size
        end = self._at + length
        if end > len(self._octets):
            raise MalformedMessageError("it ends early")
        return end

    def a(self, end: int) -> IPv4Address:
        return IPv4Address(self._exactly(4, end))

    def aaaa(self, end: int) -> IPv6Address:
        return IPv6Address(self._exactly(16, end))

    def srv(self, end: int) -> Srv:
        priority, weight, port = _SRV.unpack_from(self._octets, self._at)
        self._at += _SRV.size
        return Srv(priority=priority, weight=weight, port=port, target=self._last_name(end))

    def naptr(self, end: int) -> Naptr:
        order, preference = _NAPTR.unpack_from(self._octets, self._at)
        self._at += _NAPTR.size
        flags, services, regexp = (self._character_string(end) for _ in range(3))
        return Naptr(
            order=order,
            preference=preference,
            flags=flags,
            services=services,
            regexp=regexp,
            replacement=self._last_name(end),
        )

    def txt(self, end: int) -> Txt:
        strings = [self._character_octets(end)]  # RFC 1035 section 3.3.14: one or more
        while self._at < end:
            strings.append(self._character_octets(end))
        return Txt(tuple(strings))

    def _exactly(self, length: int, end: int) -> bytes:
        if end - self._at != length:
            raise MalformedMessageError("an address of a wrong length")
        return self._octets[self._at : end]

    def _character_octets(self, end: int) -> bytes:
        start = self._at + 1
        self._at = start + self._octets[self._at]
        if self._at > end:
            raise MalformedMessageError("a character-string over the end of its record")
        return self._octets[start : self._at]

    def _character_string(self, end: int) -> str:
        return self._character_octets(end).decode("ascii", "backslashreplace").lower()

    def _last_name(self, end: int) -> str:
        name = self._name()
        if self._at != end:
            raise MalformedMessageError("a record of a wrong length")
        return name

    def _name(self) -> str:
        """The name here. One that is all pointer, as most are, is read once for each place it points to."""
        octets, start = self._octets, self._at
        if octets[start] < 0xC0:
            return self._labels(start)
        target = (octets[start] & 0x3F) << 8 | octets[start + 1]
        name = self._names.get(target)
        if name is None:
            name = self._names[target] = self._labels(start)
        self._at = start + 2
        return name

    def _uncompressed_name(self) -> str:
        """One that its sender must not compress (RFC 4034 sections 3.1.7 and 4.1.1)."""
        return self._labels(self._at, most_pointers=0)

    def _labels(self, at: int, *, most_pointers: int = _MAX_POINTERS) -> str:
        """Follow labels and pointers, which must lead to a prior name (RFC 1035 section 4.1.4): all end."""
        octets = self._octets
        labels: list[str] = []
        length, pointers, end = 1, 0, 0
        start, stop = at, len(octets)
        while size := octets[at]:
            if size >= 0xC0:
                if at + 2 > stop:
                    raise MalformedMessageError("a name that runs into itself")
                target = (size & 0x3F) << 8 | octets[at + 1]
                if target >= start:
                    raise MalformedMessageError("a pointer that does not lead backwards")
                pointers += 1
                if pointers > most_pointers:
                    raise MalformedMessageError(f"a name of over {most_pointers} pointers")
                end = end or at + 2
                at, start, stop = target, target, start
                continue
            if size > 63:
                raise MalformedMessageError("a label of an unknown kind")
            length += size + 1
            if length > _MAX_NAME:
                raise MalformedMessageError("a name over 255 octets")
            label = octets[at + 1 : at + 1 + size]
            at += size + 1
            if at >= stop:
                raise MalformedMessageError("a name that runs into itself or over the end")
            labels.append(label.decode("latin-1").translate(_TEXTS))
        self._labels_left -= len(labels)
        if self._labels_left < 0:
            raise MalformedMessageError(f"over {MAX_LABELS} labels")
        self._at = end or at + 1
        return ".".join(labels)


_READERS: dict[int, Callable[[_Reader, int], Record]] = {
    RrType.A.value: _Reader.a,
    RrType.AAAA.value: _Reader.aaaa,
    RrType.SRV.value: _Reader.srv,
    RrType.NAPTR.value: _Reader.naptr,
    RrType.TXT.value: _Reader.txt,
}
