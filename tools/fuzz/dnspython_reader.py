"""Messages as dnspython reads them, in the terms of our own reader: what that one is held against."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.message
import dns.name
import dns.rdata
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import AAAA, CNAME, DNAME, NAPTR, NS, NSEC, RRSIG, SOA, SRV, TXT, A
from dns.rdtypes.ANY.NSEC import NSEC as NsecRdata  # noqa: N811 - the type has the same name

from fastvhost.resolve.message import (
    MAX_LABELS,
    MAX_NSECS,
    MAX_RECORDS,
    MalformedMessageError,
    Message,
    read_message,
)
from fastvhost.resolve.reply import Naptr, Nsec, Srv, Txt

__all__ = [
    "TYPES_TOLD",
    "assert_read_as_by_dnspython",
    "assert_rejected_or_read_as_by_dnspython",
    "dnspython_message",
    "is_over_labels",
    "name_of",
]

_HEADER_OCTETS = 12

_Seen = tuple[dict[object, object], dict[object, object], list[object], list[object]]
"""Record sets, aliases, SOA and NSEC records."""

TYPES_TOLD = frozenset({NS, CNAME, SOA, DNAME, A, TXT, AAAA, SRV, NAPTR})
"""Of the bitmap of an NSEC record."""


def name_of(text: str) -> dns.name.Name:
    """A name of ours, which is to have one spelling: lower-case, relative, the root empty."""
    assert text == text.lower()
    name = dns.name.from_text(text, None)
    assert not name.is_absolute()
    return name.concatenate(dns.name.root)


def dnspython_message(octets: bytes) -> dns.message.Message:
    """Whatever dnspython can make of it; what it could not is in `errors`."""
    return dns.message.from_wire(octets, one_rr_per_rrset=True, ignore_trailing=True, continue_on_error=True)


def assert_read_as_by_dnspython(octets: bytes, question_end: int) -> None:
    """Both read the message, and the same."""
    expected = dnspython_message(octets)
    assert expected.errors == []
    message = read_message(octets, question_end)
    assert _as_we_see(message) == _as_dnspython_sees(expected)
    assert message.rcode == expected.rcode()


def assert_rejected_or_read_as_by_dnspython(octets: bytes, question_end: int) -> None:
    """What dnspython skips as malformed is not there; what it reads in full, we do not reject."""
    try:
        message = read_message(octets, question_end)
    except MalformedMessageError as error:
        over_labels = is_over_labels(str(error))
        assert over_labels or _is_over_the_bound(octets) or dnspython_message(octets).errors
        return
    assert not _is_over_the_bound(octets)
    expected = dnspython_message(octets)
    errors = [error.exception for error in expected.errors]
    if any(isinstance(error, dns.message.BadEDNS | dns.message.BadTSIG) for error in errors):
        return  # It reads no further than an OPT or TSIG record in a wrong place, which is nothing to us.
    assert _as_we_see(message) == _as_dnspython_sees(expected)
    assert errors or message.rcode == expected.rcode()


def is_over_labels(why: str) -> bool:
    """Whether a message, good or not, was given up for its many labels, which dnspython reads all."""
    return f"over {MAX_LABELS} labels" in why


def _is_over_the_bound(octets: bytes) -> bool:
    """Whether there are too few octets for a header, or more records than anybody has to read."""
    counts = [int.from_bytes(octets[at : at + 2], "big") for at in (6, 8, 10)]
    return len(octets) < _HEADER_OCTETS or sum(counts) > MAX_RECORDS


def _as_we_see(message: Message) -> _Seen:
    records: dict[object, object] = {
        (name_of(owner), rrtype.value): ([_record_of(record) for record in records], ttl)
        for (owner, rrtype), (records, ttl) in message.records.items()
    }
    aliases: dict[object, object] = {
        name_of(owner): (name_of(target), ttl) for owner, (target, ttl) in message.aliases.items()
    }
    assert len(records) == len(message.records)
    assert len(aliases) == len(message.aliases)
    nsecs: list[object] = [
        (name_of(nsec.owner), name_of(nsec.next_name), nsec.types, nsec.ttl, _signatures_of(nsec))
        for nsec in message.nsecs
    ]
    return records, aliases, [(name_of(soa.zone), soa.ttl, soa.minimum) for soa in message.soas], nsecs


def _record_of(record: object) -> object:
    match record:
        case Srv():
            return record.priority, record.weight, record.port, name_of(record.target)
        case Naptr():
            texts = record.flags, record.services, record.regexp
            return record.order, record.preference, *texts, name_of(record.replacement)
        case Txt():
            return record.strings
        case _:
            return record


def _signatures_of(nsec: Nsec) -> set[tuple[dns.name.Name, int]]:
    return {(name_of(signer), labels) for signer, labels in nsec.signatures}


def _as_dnspython_sees(message: dns.message.Message) -> _Seen:
    records: dict[object, Any] = {}
    aliases: dict[object, Any] = {}
    for rrset in message.answer:
        if rrset.rdclass != IN or rrset.rdtype not in {A, AAAA, SRV, NAPTR, TXT, CNAME}:
            continue
        if rrset.rdtype == CNAME:
            _, least = aliases.get(rrset.name, (None, rrset.ttl))
            aliases[rrset.name] = rrset[0].target, min(least, rrset.ttl)
        else:
            key = rrset.name, int(rrset.rdtype)
            before, least = records.get(key, ([], rrset.ttl))
            records[key] = [*before, _rdata_of(rrset[0])], min(least, rrset.ttl)
    soas: list[object] = [
        (rrset.name, rrset.ttl, rrset[0].minimum)
        for rrset in message.authority
        if rrset.rdclass == IN and rrset.rdtype == SOA
    ]
    return records, aliases, soas, _nsecs_dnspython_sees(message.authority)


def _rdata_of(rdata: dns.rdata.Rdata) -> object:
    match rdata:
        case dns.rdtypes.IN.A.A():
            return IPv4Address(rdata.address)
        case dns.rdtypes.IN.AAAA.AAAA():
            return IPv6Address(rdata.address)
        case dns.rdtypes.IN.SRV.SRV():
            return rdata.priority, rdata.weight, rdata.port, rdata.target
        case dns.rdtypes.IN.NAPTR.NAPTR():
            texts = map(_text_of, (rdata.flags, rdata.service, rdata.regexp))
            return rdata.order, rdata.preference, *texts, rdata.replacement
        case dns.rdtypes.ANY.TXT.TXT():
            return rdata.strings
        case _:
            raise AssertionError(f"dnspython read {rdata!r}")


def _text_of(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace").lower()


def _nsecs_dnspython_sees(authority: Sequence[dns.rrset.RRset]) -> list[object]:
    signatures: dict[dns.name.Name, set[object]] = {}
    ours = [rrset for rrset in authority if rrset.rdclass == IN]
    for rrset in ours:
        if rrset.rdtype == RRSIG and rrset[0].type_covered == NSEC:
            signatures.setdefault(rrset.name, set()).add((rrset[0].signer, rrset[0].labels))
    nsecs = [rrset for rrset in ours if rrset.rdtype == NSEC][:MAX_NSECS]
    return [
        (rrset.name, rrset[0].next, _types_of(rrset[0]), rrset.ttl, signatures.get(rrset.name, set()))
        for rrset in nsecs
    ]


def _types_of(nsec: NsecRdata) -> set[int]:
    told = dict(nsec.windows).get(0, b"")
    return {
        rdtype for rdtype in TYPES_TOLD if rdtype // 8 < len(told) and told[rdtype // 8] & 128 >> rdtype % 8
    }
