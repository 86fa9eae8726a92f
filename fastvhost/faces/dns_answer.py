"""What the DNS face says: a verdict, or a place in its zone, as records and codes; no octets are read here.

*Source: the DNS block lists of RFC 5782 section 2, RFC 2308 (negative answers), RFC 8914 (extended errors).*
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from math import inf
from typing import assert_never

from fastvhost.faces.dns_query import Qtype, Rcode
from fastvhost.faces.dns_reply import (
    Answer,
    ExtendedError,
    InfoCode,
    address_record,
    ns_record,
    soa_record,
    text_record,
)
from fastvhost.model import Verdict, VerdictKind

__all__ = [
    "LASTING_TTL",
    "OUTSIDE",
    "UNSUPPORTED",
    "apex_answer",
    "no_records",
    "ttl_of",
    "verdict_answer",
]

LASTING_TTL = 60
"""Seconds that what has no end is believed: the operator may change his word, a domain may leave, and
whoever keeps our answer shall notice within a minute."""

_HOSTED_ADDRESS = IPv4Address("127.0.0.2").packed
"""RFC 5782 section 2.1: what a list answers for what is on it."""

OUTSIDE = Answer(
    rcode=Rcode.REFUSED, error=ExtendedError(code=InfoCode.NOT_AUTHORITATIVE, text="not a name of this zone")
)
"""For a name outside the zone, or a class other than IN."""

UNSUPPORTED = Answer(
    rcode=Rcode.REFUSED,
    error=ExtendedError(code=InfoCode.NOT_SUPPORTED, text="neither transfers nor other meta types"),
)
"""For zone transfers and the like."""


def ttl_of(verdict: Verdict, now: float) -> int:
    """Whole seconds that are left of a verdict, never more than there are."""
    if verdict.expires == inf or verdict.kind is VerdictKind.MALFORMED:  # grammar does not change
        return LASTING_TTL
    return int(verdict.ttl(now))


def verdict_answer(verdict: Verdict, qtype: int, *, apex: int, ttl: int, text: Sequence[bytes]) -> Answer:
    """What a query for a host gets.

    ANY gets the address alone, a subset of what there is (RFC 8482 section 4.1).

    Args:
        verdict: on the host.
        qtype: of the query.
        apex: the offset in the reply at which the zone's name stands.
        ttl: see `ttl_of`.
        text: the attributes of a HOSTED host as character-strings.
    """
    match verdict.kind:
        case VerdictKind.HOSTED:
            return _hosted(verdict, qtype, apex=apex, ttl=ttl, text=text)
        case VerdictKind.NOT_HOSTED:
            return no_records(apex, ttl)
        case VerdictKind.UNDETERMINED:
            return _failed(Rcode.SERVFAIL, InfoCode.NO_REACHABLE_AUTHORITY, verdict)
        case VerdictKind.PENDING:
            return _failed(Rcode.SERVFAIL, InfoCode.OTHER, verdict)
        case VerdictKind.LIMITED:
            return _failed(Rcode.REFUSED, InfoCode.OTHER, verdict)
        case VerdictKind.MALFORMED:
            return no_records(
                apex,
                ttl,
                rcode=Rcode.NXDOMAIN if _is_malformed_below(verdict.host) else Rcode.NOERROR,
                error=ExtendedError(code=InfoCode.OTHER, text=verdict.reason),
            )
        case never:
            assert_never(never)


def apex_answer(qtype: int, apex: int) -> Answer:
    """What a query for the zone's own name gets."""
    match qtype:
        case Qtype.SOA | Qtype.ANY:
            return Answer(authoritative=True, answer=(soa_record(apex, LASTING_TTL),))
        case Qtype.NS:
            return Answer(authoritative=True, answer=(ns_record(apex, LASTING_TTL),))
        case _:
            return no_records(apex, LASTING_TTL)


def no_records(
    apex: int, ttl: int, *, rcode: Rcode = Rcode.NOERROR, error: ExtendedError | None = None
) -> Answer:
    """NODATA, or NXDOMAIN, believed for `ttl` seconds (RFC 2308 section 5: the least of TTL and MINIMUM)."""
    return Answer(rcode=rcode, authoritative=True, authority=(soa_record(apex, ttl),), error=error)


def _hosted(verdict: Verdict, qtype: int, *, apex: int, ttl: int, text: Sequence[bytes]) -> Answer:
    stale = ExtendedError(code=InfoCode.STALE_ANSWER, text=verdict.reason) if verdict.stale else None
    match qtype:
        case Qtype.A | Qtype.ANY:
            record = address_record(_HOSTED_ADDRESS, ttl)
        case Qtype.TXT:
            record = text_record(text or (b"",), ttl)  # RFC 6763 section 6.1: an empty string for none
        case _:
            return no_records(apex, ttl, error=stale)
    return Answer(authoritative=True, answer=(record,), error=stale)


def _failed(rcode: Rcode, code: InfoCode, verdict: Verdict) -> Answer:
    return Answer(rcode=rcode, error=ExtendedError(code=code, text=verdict.reason))


def _is_malformed_below(host: str) -> bool:
    """Whether every name below a malformed one is malformed too, so that NXDOMAIN may deny them all.

    It may (RFC 8020), and resolvers that minimise names ask for the parents first. A label that no host
    may have, or a last one that begins with a digit, spoils what stands before it as well. But 10, 113.10
    and 0.113.10 are parents of 203.0.113.10, and `4]` is one of `[::ffff:192.0.2.4]`.
    """
    labels = host.split(".")
    could_end_ipv4 = len(labels) < 4 and all(label.isdecimal() for label in labels)
    return not could_end_ipv4 and not host.endswith("]")
