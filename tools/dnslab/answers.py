"""The truth about one question: zones, owner and type in, an answer out. Pure."""

from dataclasses import dataclass

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tools.dnslab.nsec import closest_encloser, denial
from tools.dnslab.zones import Labels, Namespace, Records, Zone, labels_of, record_octets

__all__ = ["LAME", "MAX_LINKS", "Answer", "resolve"]

MAX_LINKS = 64
"""CNAMEs in one answer. Resolvers stop at 8 to 17; a test must be able to serve more than a client takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reply says, apart from its form on the wire."""

    rcode: dns.rcode.Rcode
    records: tuple[dns.rrset.RRset, ...] = ()
    authority: tuple[bytes, ...] = ()
    """Uncompressed records: the SOA of a negative answer (RFC 2308 section 3), or a referral's NS."""
    authoritative: bool = True
    authentic: bool = False
    """Everything in it comes from signed zones: the AD bit, for who asks for it."""


# A lame server sends the asker back to where it came from: up to the root (RFC 1912 section 2.8).
LAME = Answer(
    rcode=dns.rcode.NOERROR,
    authority=(record_octets(dns.rrset.from_text(".", 518_400, "IN", "NS", "a.root-servers.net.")),),
    authoritative=False,
)


def resolve(namespace: Namespace, owner: Labels, rdtype: int, *, dnssec: bool = False) -> Answer:
    """Answer a question of class IN as a recursive resolver shows it: the whole CNAME chain at once.

    With `dnssec` (DO) a negative answer from a signed zone has the NSEC records that prove it.

    The RCODE is that of the chain's last name (RFC 6604 section 3). A chain that loops, passes `MAX_LINKS`
    or leaves every zone ends there: NOERROR, the CNAMEs, no SOA. A name outside every zone is REFUSED.
    """
    chain: list[dns.rrset.RRset] = []
    authentic = True
    seen = {owner}
    while True:
        zone = namespace.zone_of(owner)
        if zone is None:
            break
        authentic = authentic and bool(zone.nsec)
        records = _records_at(zone, owner)
        found = () if records is None else _matching(records, rdtype)
        cname = None if records is None else records.get(dns.rdatatype.CNAME)
        if found or cname is None:
            proof = denial(zone, owner) if dnssec and zone.nsec else ()
            return Answer(
                rcode=dns.rcode.NXDOMAIN if records is None else dns.rcode.NOERROR,
                records=(*chain, *found),
                authority=() if found else (zone.soa_octets, *proof),
                authentic=authentic,
            )
        chain.append(cname)
        owner = labels_of(cname[0].target)
        if owner in seen or len(chain) == MAX_LINKS:
            break
        seen.add(owner)
    if not chain:
        return Answer(rcode=dns.rcode.REFUSED, authoritative=False)
    return Answer(rcode=dns.rcode.NOERROR, records=tuple(chain))


def _matching(records: Records, rdtype: int) -> tuple[dns.rrset.RRset, ...]:
    if rdtype == dns.rdatatype.ANY:
        return tuple(records.values())
    rrset = records.get(rdtype)
    return () if rrset is None else (rrset,)


def _records_at(zone: Zone, owner: Labels) -> Records | None:
    """The records at a name, a wildcard's among them; empty for NODATA, None when there is no such name.

    Only the wildcard right below the closest encloser counts (RFC 4592 section 3.3.1): one further up
    does not reach past a name that exists.
    """
    exact = zone.nodes.get(owner)
    if exact is not None:
        return exact
    wildcard = zone.nodes.get((b"*", *closest_encloser(zone, owner)))
    return None if wildcard is None else _renamed(wildcard, owner)


def _renamed(records: Records, owner: Labels) -> Records:
    name = dns.name.Name((*owner, b""))
    return {
        rdtype: dns.rrset.from_rdata_list(name, rrset.ttl, list(rrset)) for rdtype, rrset in records.items()
    }
