"""A zone as a validating resolver shows it: with its NSEC chain. The signatures are no real ones. Pure."""

from bisect import bisect_right
from dataclasses import replace

import dns.name
import dns.rdatatype
import dns.rrset

from tools.dnslab.zones import Labels, Zone, record_octets

__all__ = ["closest_encloser", "denial", "signed"]

SIGNATURE = "A" * 86 + "=="
"""In the length of ECDSA P-256, so that replies have the size that they have elsewhere."""


def signed(zone: Zone) -> Zone:
    """The same zone, signed: answers from it have AD, negative ones the NSEC records that prove them.

    Each goes only to who asks for it, by AD or DO. The TTL of the records is that of a negative answer
    (RFC 9077). There are no delegations: what the zone file has below an NS record is the zone's.
    """
    soa = zone.nodes[zone.origin][dns.rdatatype.SOA]
    ttl = min(soa.ttl, soa[0].minimum)
    owners = sorted(tuple(reversed(owner)) for owner, records in zone.nodes.items() if records)
    chain = []
    for owner, after in zip(owners, [*owners[1:], owners[0]], strict=True):
        types = {*zone.nodes[owner[::-1]], dns.rdatatype.NSEC, dns.rdatatype.RRSIG}
        shown = " ".join(dns.rdatatype.to_text(dns.rdatatype.RdataType.make(one)) for one in sorted(types))
        name, next_name = (dns.name.Name((*labels[::-1], b"")) for labels in (owner, after))
        labels = len(owner) - (owner[-1:] == (b"*",))
        apex = dns.name.Name((*zone.origin, b""))
        times = "20380101000000 20200101000000"
        records = (
            dns.rrset.from_text(name, ttl, "IN", "NSEC", f"{next_name} {shown}"),
            dns.rrset.from_text(
                name, ttl, "IN", "RRSIG", f"NSEC 13 {labels} {ttl} {times} 1 {apex} {SIGNATURE}"
            ),
        )
        chain.append((owner, tuple(map(record_octets, records))))
    return replace(zone, nsec=tuple(chain))


def denial(zone: Zone, owner: Labels) -> tuple[bytes, ...]:
    """The records that prove a negative answer about `owner` (RFC 4035 section 3.1.3)."""
    proof = dict.fromkeys(_at_or_before(zone, owner))
    if owner not in zone.nodes:
        proof.update(dict.fromkeys(_at_or_before(zone, (b"*", *closest_encloser(zone, owner)))))
    return tuple(proof)


def closest_encloser(zone: Zone, owner: Labels) -> Labels:
    """The longest name above `owner`, a name of the zone, that exists (RFC 4592 section 3.3.1)."""
    return next(owner[cut:] for cut in range(1, len(owner) + 1) if owner[cut:] in zone.nodes)


def _at_or_before(zone: Zone, owner: Labels) -> tuple[bytes, ...]:
    place = bisect_right(zone.nsec, owner[::-1], key=lambda link: link[0])
    return zone.nsec[place - 1][1]
