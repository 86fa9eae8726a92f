"""The zone `test.`, in which DNS says of hosts that they are ours."""

from collections.abc import Iterable

from tests.support import OURS
from tools.dnslab import Zone, parse_zone

__all__ = ["zone_of"]


def zone_of(hosts: Iterable[str], *records: str, ttl: int = 600) -> Zone:
    """A zone that leads each of `hosts` to us by SRV, with these further records; made-up names end soon."""
    head = (f"$TTL {ttl}", "@ SOA ns hostmaster 1 3600 600 86400 5", "@ NS ns", f"edge A {OURS}")
    led = (f"_sip._udp.{host}. SRV 0 0 5060 edge" for host in hosts)
    return parse_zone("\n".join((*head, *led, *records)), origin="test")
