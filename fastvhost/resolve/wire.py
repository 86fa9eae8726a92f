"""DNS messages: the octets of a query, and what a datagram that came back is worth.

The header and the question are compared on the octets before anything is read, so that a forged or stray
datagram costs next to nothing.

Source: RFC 1035 section 4, RFC 2308, RFC 5452 section 9.1, RFC 6891.
"""

import re
import struct
from dataclasses import dataclass
from struct import Struct

import dns.exception
import dns.rcode

from fastvhost.resolve.message import MalformedMessageError, Message, Soa, read_message
from fastvhost.resolve.reply import Answer, Denial, Failure, Negative, Reply, RrType

__all__ = ["Question", "Truncated", "Unfinished", "nxdomain_ttl", "read_reply"]

_HEADER = Struct("!HHHHHH")
_TYPE_AND_CLASS = Struct("!HH")
_IN = 1

_RECORD = Struct("!HHIH")
_SOA = 6
_SOA_NUMBERS = Struct("!5I")
_OPT_HEAD = Struct("!BHHIH")
_OPT_TYPE = 41
_MAX_LABEL = 63
_POINTER = 0xC0
_USUAL_SOA = 100
_USUAL_END = 12 + 150
"""With these no name, its compressed part included, can pass 255 octets."""

_UDP_PAYLOAD = 1232
"""The UDP size that we offer: no fragments on any path of MTU 1280 or more (DNS flag day 2020)."""

_DO = 0x8000

_OPT, _OPT_DO = (b"\0" + Struct("!HHIH").pack(41, _UDP_PAYLOAD, flags, 0) for flags in (0, _DO))

_QR = 0x8000
_OPCODE = 0x7800
_TC = 0x0200
_RD = 0x0100
_AD = 0x0020

_NAMED_RCODES = frozenset(dns.rcode.Rcode)

_MAY_OMIT_QUESTION = frozenset({dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""Errors that servers send without the question. None of them is evidence of anything."""

_PLAIN_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
"""Names that need no escapes, as nearly all do."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """The reply left records out: ask over TCP (RFC 7766). One that did so over TCP is worth nothing."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Aliases whose end the server does not know: ask for the last of them."""

    aliases: tuple[str, ...]
    ttl: int


class Question:
    """A name and type, and the octets that ask for them.

    Raises:
        dns.exception.DNSException: `name` does not fit a DNS message.
    """

    __slots__ = ("_section", "name", "rrtype", "want_ad")

    def __init__(self, name: str, rrtype: RrType, *, want_ad: bool = False) -> None:
        # A dot that is escaped belongs to the last label.
        self.name = name.lower() if name.endswith("\\.") else name.lower().removesuffix(".")
        self.rrtype = rrtype
        self.want_ad = want_ad
        self._section = _name_octets(self.name) + _TYPE_AND_CLASS.pack(rrtype.value, _IN)

    def label_starts(self) -> frozenset[int]:
        """Offsets in the message at which the labels of the question's name begin, those below 256."""
        section = self._section
        starts = []
        at = 0
        while section[at]:
            starts.append(_HEADER.size + at)
            at += 1 + section[at]
        return frozenset(starts)

    @property
    def end(self) -> int:
        """Where the question ends in the query and in a reply that has one."""
        return _HEADER.size + len(self._section)

    def octets(self, message_id: int) -> bytes:
        """The query; AD set asks a validating server for its word (RFC 6840 section 5.7), DO for its proofs.

        With DO a negative reply brings NSEC records and signatures (RFC 3225): some 500 octets with ECDSA,
        1,200 with RSA of 2,048 bits, which may not fit a datagram and then costs a second query, over TCP.
        """
        flags, opt = (_RD | _AD, _OPT_DO) if self.want_ad else (_RD, _OPT)
        return _HEADER.pack(message_id, flags, 1, 0, 0, 1) + self._section + opt

    def is_answered_by(self, octets: bytes, message_id: int) -> bool:
        """Whether a message is a reply to this query by id, kind and whole question.

        Length octets are below 64, so lower-casing the section changes letters only.
        """
        if len(octets) < _HEADER.size:
            return False
        reply_id, flags, questions, *_ = _HEADER.unpack_from(octets)
        if reply_id != message_id or not flags & _QR or flags & _OPCODE:
            return False
        if questions == 0:
            return flags & 0xF in _MAY_OMIT_QUESTION
        return questions == 1 and octets[_HEADER.size : self.end].lower() == self._section


def nxdomain_ttl(octets: bytes, question: Question) -> int | None:
    """How long a message that `question.is_answered_by` proves in the usual form that the name is not there.

    That is NXDOMAIN with no answer and one SOA, whose names are short and compressed, if at all, with parts
    of the question. None for any other message: `read_reply` knows what it is worth, and of this one it
    says the same at ten times the cost.
    """
    at = question.end
    try:
        _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(octets)
        if flags & (_TC | 0xF) != dns.rcode.NXDOMAIN or (questions, answers, authorities) != (1, 0, 1):
            return None
        starts = question.label_starts()
        if octets[at]:
            # The zone is a parent of the name, or the name: whatever else it may be, is left to the other.
            if octets[at] != _POINTER or octets[at + 1] not in starts:
                return None
            at += 1
        at += 1
        rrtype, rrclass, ttl, length = _RECORD.unpack_from(octets, at)
        if rrtype != _SOA or rrclass != _IN or ttl >> 31 or length > _USUAL_SOA or question.end > _USUAL_END:
            return None
        at += _RECORD.size
        end = at + length
        at = _end_of_name(octets, _end_of_name(octets, at, starts), starts)
        *_, minimum = _SOA_NUMBERS.unpack_from(octets, at)
        if at + _SOA_NUMBERS.size != end:
            return None
        if additionals:
            root, rrtype, _, extended, length = _OPT_HEAD.unpack_from(octets, end)
            if additionals != 1 or root or rrtype != _OPT_TYPE or extended >> 24:
                return None
            end += _OPT_HEAD.size + length
    except (struct.error, _UnusualError, IndexError):
        return None
    return min(ttl, minimum) if end == len(octets) and not minimum >> 31 else None


class _UnusualError(Exception):
    """A name in a form that is left to the reader of all forms."""


def _end_of_name(octets: bytes, at: int, starts: frozenset[int]) -> int:
    """Where a name ends that is the root, labels before it, or labels before a part of the question."""
    while True:
        length = octets[at]
        if length == 0:
            return at + 1
        if length > _MAX_LABEL:
            if length != _POINTER or octets[at + 1] not in starts:
                raise _UnusualError
            return at + 2
        at += 1 + length


def read_reply(octets: bytes, question: Question) -> Reply | Truncated | Unfinished:
    """Read a message that `question.is_answered_by`; never raises."""
    if len(octets) < _HEADER.size:
        return Failure(why="unreadable reply: it ends early")
    _, flags, questions, *_ = _HEADER.unpack_from(octets)
    if flags & _TC:
        return Truncated()
    try:
        message = read_message(octets, question.end if questions else _HEADER.size)
    except MalformedMessageError as error:
        return Failure(why=f"unreadable reply: {error}")
    if message.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        # An extended RCODE has 4,096 values; those without a name are one to whoever counts them.
        rcode = dns.rcode.Rcode.make(message.rcode)
        return Failure(why=dns.rcode.to_text(rcode) if rcode in _NAMED_RCODES else "unknown RCODE")
    return _evidence(message, question, authentic=question.want_ad and bool(flags & _AD))


def _evidence(message: Message, question: Question, *, authentic: bool) -> Reply | Unfinished:
    """Follow the aliases from the question to records, or to the SOA that says there are none."""
    name, ttls, aliases = question.name, list[int](), list[str]()
    nxdomain = message.rcode == dns.rcode.NXDOMAIN
    while (found := message.records.get((name, question.rrtype))) is None:
        alias = message.aliases.get(name)
        if alias is None:
            break
        name, ttl = alias
        if name in aliases or name == question.name:
            return Failure(why="a loop of CNAME records")
        aliases.append(name)
        ttls.append(ttl)
    if found is not None:
        if nxdomain:
            return Failure(why="records in an NXDOMAIN reply")
        records, ttl = found
        return Answer(
            records=tuple(dict.fromkeys(records)),
            ttl=min([ttl, *ttls]),
            aliases=tuple(aliases),
            authentic=authentic,
        )
    soa = _soa_of(message, name)
    if soa is not None:
        proves = authentic and not aliases
        return Negative(
            nxdomain=nxdomain,
            # RFC 2308 section 5.
            ttl=min([soa.ttl, soa.minimum, *ttls]),
            aliases=tuple(aliases),
            authentic=authentic,
            denial=Denial(zone=soa.zone, nsecs=tuple(message.nsecs)) if proves else None,
        )
    if aliases and not nxdomain:
        return Unfinished(aliases=tuple(aliases), ttl=min(ttls))
    return Failure(why=f"{'NXDOMAIN' if nxdomain else 'empty answer'} without SOA")


def _soa_of(message: Message, name: str) -> Soa | None:
    """The SOA of a zone that `name` can be in."""
    return next((soa for soa in message.soas if _is_within(name, soa.zone)), None)


def _is_within(name: str, zone: str) -> bool:
    if "\\" in name:  # an escaped dot ends no label
        return _odd_name(name).is_subdomain(_odd_name(zone))
    return not zone or name == zone or name.endswith(f".{zone}")


def _name_octets(name: str) -> bytes:
    if _PLAIN_NAME.fullmatch(name):
        labels = name.encode("ascii").split(b".")
        return b"".join([b"%c%b" % (len(label), label) for label in labels]) + b"\0"
    return _odd_name(name).to_digestable()


def _odd_name(name: str) -> "dns.name.Name":
    import dns.name  # 15 ms of each start, for names that hardly any zone has

    return dns.name.from_text(name, idna_codec=None)
