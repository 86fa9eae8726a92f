"""Who we are when nobody has said: the addresses that this machine sends from."""

import socket
from ipaddress import ip_address, ip_network

from fastvhost.config import Network, Own
from fastvhost.errors import ConfigError

__all__ = ["own_by_default"]

_ELSEWHERE = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
"""Documentation addresses (RFC 5737, RFC 3849): no datagram is sent, only the route is looked up."""


def own_by_default() -> Own:
    """The IPv4 and the IPv6 address of the default routes, and the usual ports.

    Raises:
        ConfigError: this machine has no such route.
    """
    found = [network for family, elsewhere in _ELSEWHERE if (network := _source_of(family, elsewhere))]
    if not found:
        raise ConfigError("this machine has no route outwards whose address could be taken for own.addresses")
    return Own(addresses=tuple(found))


def _source_of(family: socket.AddressFamily, destination: str) -> Network | None:
    try:
        # A kernel without IPv6 refuses the socket already.
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((destination, 9))
            address = ip_address(sock.getsockname()[0])
    except OSError:
        return None
    return None if address.is_loopback or address.is_unspecified else ip_network(address)
