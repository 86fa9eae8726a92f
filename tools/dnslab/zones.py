"""Zones, indexed for answering: from zone-file text to a table by labels.

An owner name is a tuple of lower-case labels without the root's (`(b"sip", b"example")`): such a tuple
hashes in C, a `dns.name.Name` in Python, and a flood of unknown names is mostly hashing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

from tools.dnslab.errors import ZoneError

__all__ = [
    "Labels",
    "Namespace",
    "Unknown",
    "Zone",
    "build_namespace",
    "labels_of",
    "parse_zone",
    "read_zone",
    "record_octets",
]

Labels: TypeAlias = tuple[bytes, ...]
Records: TypeAlias = Mapping[int, dns.rrset.RRset]
Unknown: TypeAlias = Literal["refused", "nxdomain"]

# The root's own SOA in shape and in TTLs, so that a client sees what it sees on the internet.
ROOT_ZONE = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2026010100 1800 900 604800 86400\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One zone: its records by owner and type."""

    origin: Labels
    soa_octets: bytes
    """The SOA as one uncompressed record, ready for an authority section; its TTL is the zone file's."""
    nodes: Mapping[Labels, Records]
    """Every name that exists; an empty non-terminal has no records (RFC 8020 section 2)."""
    nsec: tuple[tuple[Labels, tuple[bytes, ...]], ...] = ()
    """In canonical order, each owner, from the root down, with its NSEC record and the RRSIG over it; empty
    for a zone that is not signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Every zone that the lab serves, by origin."""

    zones: Mapping[Labels, Zone]
    recursion_available: bool
    """The RA bit: set when the lab plays a resolver that knows the whole internet."""

    def zone_of(self, owner: Labels) -> Zone | None:
        """The zone with the longest origin that `owner` is at or below; None when there is none."""
        for cut in range(len(owner) + 1):
            zone = self.zones.get(owner[cut:])
            if zone is not None:
                return zone
        return None


def labels_of(name: dns.name.Name) -> Labels:
    """The key of an absolute name: its labels in lower case (RFC 4343), without the root's."""
    return tuple(label.lower() for label in name.labels[:-1])


def build_namespace(zones: Iterable[Zone], *, unknown: Unknown) -> Namespace:
    """Serve these zones, and say `unknown` of a name outside all of them.

    `"refused"` is what an authoritative server answers. `"nxdomain"` adds a root zone in which only the
    parents of the zones exist: a made-up name is NXDOMAIN, a parent such as `com.` is NODATA (RFC 8020).
    A root zone among `zones` stands in its place. Of two zones of the same origin the later counts.
    """
    by_origin = {zone.origin: zone for zone in zones}
    if unknown == "nxdomain" and () not in by_origin:
        root = parse_zone(ROOT_ZONE, origin=".")
        parents: dict[Labels, Records] = {
            origin[cut:]: {} for origin in by_origin for cut in range(1, len(origin))
        }
        by_origin[()] = Zone(origin=(), soa_octets=root.soa_octets, nodes=parents | dict(root.nodes))
    return Namespace(zones=by_origin, recursion_available=unknown == "nxdomain")


def read_zone(path: Path | str, origin: str | None = None) -> Zone:
    """Load a zone file (RFC 1035 section 5); see `parse_zone`. An unreadable file is a `ZoneError` too."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneError(f"{path}: cannot be read: {error}") from error
    try:
        return parse_zone(text, origin)
    except ZoneError as error:
        raise ZoneError(f"{path}: {error}") from error


def parse_zone(text: str, origin: str | None = None) -> Zone:
    """Load a zone from the text of a zone file.

    Args:
        text: master-file format; `$INCLUDE` is not followed, records outside the zone are left out.
        origin: the zone's name; None when the text says so by `$ORIGIN`.

    Raises:
        ZoneError: the text does not parse, names no origin, or has not exactly one SOA at the origin.
            NS records are not asked for: nobody delegates to the lab.
    """
    try:
        parsed = dns.zone.from_text(text, origin=origin, relativize=False, check_origin=False)
    except dns.zone.UnknownOrigin as error:
        raise ZoneError("has no $ORIGIN line before its first record") from error
    except dns.exception.DNSException as error:
        raise ZoneError(f"does not parse: {' '.join(str(error).split())}") from error
    if parsed.origin is None:
        raise ZoneError("is empty: an SOA record is needed")
    nodes: dict[Labels, Records] = {}
    for name, node in parsed.nodes.items():
        nodes[labels_of(name)] = {
            int(rdataset.rdtype): dns.rrset.from_rdata_list(name, rdataset.ttl, rdataset)
            for rdataset in node.rdatasets
        }
    origin_labels = labels_of(parsed.origin)
    soa = nodes.get(origin_labels, {}).get(dns.rdatatype.SOA)
    if soa is None:
        raise ZoneError(f"has no SOA record at its origin {parsed.origin}")
    for owner in list(nodes):
        for cut in range(1, len(owner) - len(origin_labels)):
            nodes.setdefault(owner[cut:], {})
    return Zone(origin=origin_labels, soa_octets=record_octets(soa), nodes=nodes)


def record_octets(rrset: dns.rrset.RRset) -> bytes:
    """The first record of a set in wire form, uncompressed (RFC 1035 section 4.1.3)."""
    rdata_octets = rrset[0].to_wire()
    return b"".join(
        (
            rrset.name.to_wire() or b"",
            int(rrset.rdtype).to_bytes(2, "big"),
            int(rrset.rdclass).to_bytes(2, "big"),
            int(rrset.ttl).to_bytes(4, "big"),
            len(rdata_octets or b"").to_bytes(2, "big"),
            rdata_octets or b"",
        )
    )
