"""Which clients get a reply: `listen.allow`."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from fastvhost.config import Network
from fastvhost.host import normalised_address

__all__ = ["is_allowed"]


def is_allowed(client: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    """Whether a client is in one of the networks; an IPv4-mapped IPv6 address counts as the IPv4 one."""
    address = normalised_address(client)
    return any(address in network for network in networks)
