"""DNS messages: the octets of a query, and what a datagram that came back is worth.

dnspython reads every answer; the header and the question are compared here first, on the octets, so that
a forged or stray datagram costs next to nothing.

Source: RFC 1035 section 4, RFC 2308, RFC 5452 section 9.1, RFC 6891.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from fastvhost.resolve.reply import Answer, Failure, Naptr, Negative, Record, Reply, RrType, Srv

__all__ = ["Question", "Truncated", "Unfinished", "read_reply"]

_HEADER = Struct("!HHHHHH")
_TYPE_AND_CLASS = Struct("!HH")

_UDP_PAYLOAD = 1232
"""The UDP size that we offer: no fragments on any path of MTU 1280 or more (DNS flag day 2020)."""

_OPT = b"\0" + Struct("!HHIH").pack(41, _UDP_PAYLOAD, 0, 0)

_QR = 0x8000
_OPCODE = 0x7800
_TC = 0x0200
_RD = 0x0100
_AD = 0x0020

_NAMED_RCODES = frozenset(dns.rcode.Rcode)

_MAY_OMIT_QUESTION = frozenset({dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""Errors that servers send without the question. None of them is evidence of anything."""


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
        self.name = dns.name.from_text(name, idna_codec=None)
        self.rrtype = rrtype
        self.want_ad = want_ad
        self._section = self.name.to_digestable() + _TYPE_AND_CLASS.pack(rrtype.value, dns.rdataclass.IN)

    def octets(self, message_id: int) -> bytes:
        """The query; AD set asks a validating server for its word (RFC 6840 section 5.7)."""
        flags = _RD | (_AD if self.want_ad else 0)
        return _HEADER.pack(message_id, flags, 1, 0, 0, 1) + self._section + _OPT

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
        end = _HEADER.size + len(self._section)
        return questions == 1 and octets[_HEADER.size : end].lower() == self._section


def read_reply(octets: bytes, question: Question) -> Reply | Truncated | Unfinished:
    """Read a message that `question.is_answered_by`; never raises."""
    flags = int.from_bytes(octets[2:4], "big")
    if flags & _TC:
        return Truncated()
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
        return _read(message, question)
    except (dns.exception.DNSException, TypeError, ValueError) as error:
        return Failure(why=f"malformed reply ({type(error).__name__})")


def _read(message: dns.message.Message, question: Question) -> Reply | Unfinished:
    rcode = message.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        # An extended RCODE has 4,096 values; those without a name are one to whoever counts them.
        return Failure(why=dns.rcode.to_text(rcode) if rcode in _NAMED_RCODES else "unknown RCODE")
    authentic = question.want_ad and bool(message.flags & dns.flags.AD)
    name, ttls, aliases = question.name, [], list[str]()
    seen = {name}
    while (records := _rrset(message, name, question.rrtype.value)) is None:
        cname = _rrset(message, name, RdataType.CNAME)
        if cname is None:
            break
        name = _target(cname)
        if name in seen:
            return Failure(why="a loop of CNAME records")
        seen.add(name)
        ttls.append(cname.ttl)
        aliases.append(_text(name))
    if records is not None:
        if rcode != dns.rcode.NOERROR:
            return Failure(why="records in an NXDOMAIN reply")
        return Answer(
            records=tuple(_record(rdata) for rdata in records),
            ttl=min([records.ttl, *ttls]),
            aliases=tuple(aliases),
            authentic=authentic,
        )
    negative_ttl = _negative_ttl(message, name)
    if negative_ttl is not None:
        return Negative(
            nxdomain=rcode == dns.rcode.NXDOMAIN,
            ttl=min([negative_ttl, *ttls]),
            aliases=tuple(aliases),
            authentic=authentic,
        )
    if aliases and rcode == dns.rcode.NOERROR:
        return Unfinished(aliases=tuple(aliases), ttl=min(ttls))
    kind = "NXDOMAIN" if rcode == dns.rcode.NXDOMAIN else "empty answer"
    return Failure(why=f"{kind} without SOA")


def _rrset(message: dns.message.Message, name: dns.name.Name, rdtype: int) -> dns.rrset.RRset | None:
    return message.get_rrset(message.answer, name, dns.rdataclass.IN, RdataType(rdtype))


def _target(rrset: dns.rrset.RRset) -> dns.name.Name:
    cname = rrset[0]
    if not isinstance(cname, CNAME):
        raise TypeError(f"a record of type {cname.rdtype} among CNAME records")
    return cname.target


def _negative_ttl(message: dns.message.Message, name: dns.name.Name) -> int | None:
    """RFC 2308 section 5: min(SOA TTL, SOA MINIMUM), of the SOA of a zone that `name` can be in."""
    for rrset in message.authority:
        soa = rrset[0]
        if isinstance(soa, SOA) and name.is_subdomain(rrset.name):
            return min(rrset.ttl, int(soa.minimum))
    return None


def _record(rdata: dns.rdata.Rdata) -> Record:
    match rdata:
        case A() | AAAA():
            return ip_address(rdata.address)
        case SRV():
            return Srv(
                priority=rdata.priority, weight=rdata.weight, port=rdata.port, target=_text(rdata.target)
            )
        case NAPTR():
            return Naptr(
                order=rdata.order,
                preference=rdata.preference,
                flags=_ascii(rdata.flags),
                services=_ascii(rdata.service),
                regexp=_ascii(rdata.regexp),
                replacement=_text(rdata.replacement),
            )
        case _:
            raise TypeError(f"a record of type {rdata.rdtype} that dnspython did not read")


def _text(name: dns.name.Name) -> str:
    """Lower-case, without trailing dot, the root empty; odd octets escaped as in a zone file."""
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def _ascii(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace").lower()
