"""The names of a zone: from its file, by zone transfer (AXFR), or along its NSEC chain (RFC 4034)."""

from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_endpoint
from fastvhost.errors import ConfigError
from tools.dnslab.errors import LabError
from tools.dnslab.query import owner_text
from tools.dnslab.zones import read_zone
from tools.flood.errors import FloodError

__all__ = ["MOST_NAMES", "names_by_nsec", "names_by_transfer", "names_in_file"]

MOST_NAMES = 1_000_000
"""Owner names taken of one zone."""

_SECONDS = 10.0
"""For one message, and for the connection of a transfer to go on."""
_TRANSFER_SECONDS = 300.0


def names_in_file(path: Path) -> list[str]:
    """The owner names of a zone file that has an `$ORIGIN` line, in its order.

    Raises:
        FloodError: it is no zone file.
    """
    try:
        return [owner_text(owner) for owner in read_zone(path).nodes]
    except LabError as error:
        raise FloodError(str(error)) from error


def names_by_transfer(zone_at_server: str) -> list[str]:
    """The owner names of `ZONE@ADDRESS[:PORT]`, as the server transfers it (RFC 5936).

    Raises:
        FloodError: it does not, or the argument is not of that form.
    """
    origin, server = _zone_and_server(zone_at_server)
    zone = dns.zone.Zone(origin, relativize=False)
    try:
        dns.query.inbound_xfr(
            server.address, zone, port=server.port, timeout=_SECONDS, lifetime=_TRANSFER_SECONDS
        )
    except (OSError, EOFError, dns.exception.DNSException) as error:
        raise FloodError(f"{zone_at_server}: no transfer: {_why(error)}") from error
    return [name.to_text(omit_final_dot=True) for name in list(zone.nodes)[:MOST_NAMES]]


def names_by_nsec(zone_at_server: str) -> list[str]:
    """The owner names of `ZONE@ADDRESS[:PORT]` along its NSEC records, one query a name, one at a time.

    Raises:
        FloodError: the zone has no such chain, the server does not answer, or the argument is wrong.
    """
    origin, server = _zone_and_server(zone_at_server)
    owner, names = origin, list[str]()
    while len(names) < MOST_NAMES:
        names.append(owner.to_text(omit_final_dot=True))
        after = _next_owner(owner, server, zone_at_server)
        if after == origin:
            break
        # Every step goes on in canonical order; a server that makes its NSEC records up would never end.
        if after <= owner or not after.is_subdomain(origin) or after.labels[0] == b"\0":
            raise FloodError(f"{zone_at_server}: the NSEC record at {owner} leads nowhere: {after}")
        owner = after
    return names


def _next_owner(owner: dns.name.Name, server: Endpoint, what: str) -> dns.name.Name:
    query = dns.message.make_query(owner, dns.rdatatype.NSEC, want_dnssec=True)
    try:
        reply, _ = dns.query.udp_with_fallback(query, server.address, _SECONDS, server.port)
    except (OSError, dns.exception.DNSException) as error:
        raise FloodError(f"{what}: {owner}: {_why(error)}") from error
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.NSEC and rrset.name == owner:
            after: dns.name.Name = rrset[0].next
            return after
    raise FloodError(f"{what}: no NSEC record at {owner}: {dns.rcode.to_text(reply.rcode())}")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _zone_and_server(text: str) -> tuple[dns.name.Name, Endpoint]:
    zone, _, server = text.rpartition("@")
    try:
        return dns.name.from_text(zone or "@"), parse_endpoint(server, default_port=53)
    except (dns.exception.DNSException, ConfigError) as error:
        raise FloodError(f"{text}: not ZONE@ADDRESS or ZONE@ADDRESS:PORT: {error}") from error
