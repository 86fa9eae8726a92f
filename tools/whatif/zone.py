"""A DNS in which given hosts are hosted: what their owners would have published. Pure."""

from collections.abc import Iterable

from fastvhost.config import Own
from fastvhost.host import DomainName, parse_host
from fastvhost.resolve.rfc3263 import SRV_PREFIX
from tools.flood.errors import FloodError

__all__ = ["MOST_HOSTS", "hosted_zone", "made_up_hosts"]

MOST_HOSTS = 20_000
"""The lab reads about 20,000 records a second."""

_SOA = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2026010100 1800 900 604800 {ttl}\n"
_EDGE = "edge.whatif-edge.test."


def made_up_hosts(count: int) -> tuple[bytes, ...]:
    """Hosts of different owners: each under a registrable domain of its own."""
    return tuple(b"whatif%d.test" % number for number in range(1, count + 1))


def hosted_zone(own: Own, names: Iterable[bytes], *, ttl: int) -> str:
    """A root zone, as text, where each of `names` (`HOST` or `HOST SOURCE`) leads to `own`, and that is all.

    Each has an SRV record for one transport that `own` serves, whose target is one of its names, else a host
    with one of its addresses. What is no domain name is left out: it is not asked for in DNS.

    Raises:
        FloodError: there are over `MOST_HOSTS`.
    """
    hosts = {
        host.name
        for name in names
        if isinstance(host := parse_host(name.partition(b" ")[0].decode(errors="replace")), DomainName)
    }
    if len(hosts) > MOST_HOSTS:
        raise FloodError(f"{len(hosts):,} hosts: at most {MOST_HOSTS:,} are put into the lab's zone")
    transport = min(own.ports, key=list(SRV_PREFIX).index)
    target = f"{min(own.names)}." if own.names else _EDGE
    lines = [f"$ORIGIN .\n$TTL {ttl}\n", _SOA.format(ttl=ttl)]
    if own.addresses:
        address = own.addresses[0].network_address
        lines.append(f"{_EDGE} {'A' if address.version == 4 else 'AAAA'} {address}\n")
    port = min(own.ports[transport])
    lines += (f"{SRV_PREFIX[transport]}.{host}. SRV 10 10 {port} {target}\n" for host in sorted(hosts))
    return "".join(lines)
