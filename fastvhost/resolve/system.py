"""The system's own DNS servers, for a configuration that names none."""

import dns.exception
import dns.resolver

from fastvhost.config import Endpoint
from fastvhost.errors import ConfigError

__all__ = ["system_servers"]


def system_servers() -> tuple[Endpoint, ...]:
    """The servers of /etc/resolv.conf, in its order.

    Raises:
        ConfigError: there is none, or the file cannot be read.
    """
    why = "/etc/resolv.conf names no server"
    try:
        resolver = dns.resolver.Resolver()
        servers = tuple(Endpoint(str(address), resolver.port) for address in resolver.nameservers)
    except (dns.exception.DNSException, OSError, ValueError) as error:
        # ValueError: a server that is no address, or a file that is not UTF-8.
        servers, why = (), f"/etc/resolv.conf cannot be used: {str(error) or why}"
    if not servers:
        raise ConfigError(f"dns.servers is empty, and {why}: name at least one server in dns.servers")
    return servers
