"""Which clients get a reply: `listen.allow`, remembered by address."""

from collections.abc import Sequence
from ipaddress import ip_address

from fastvhost.config import Network
from fastvhost.host import normalised_address

__all__ = ["AllowedClients"]

_MOST_REMEMBERED = 4096


class AllowedClients:
    """The networks of `listen.allow`; an IPv4-mapped IPv6 address counts as the IPv4 one."""

    __slots__ = ("_before", "_networks")

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._before: set[str] = set()

    def allows(self, address: str) -> bool:
        """Whether a client at `address`, as a socket gives it, is to be answered."""
        return address in self._before or self._is_within(address)

    def _is_within(self, address: str) -> bool:
        client = normalised_address(ip_address(address))
        if not any(client in network for network in self._networks):
            return False
        if len(self._before) >= _MOST_REMEMBERED:
            self._before.clear()
        self._before.add(address)
        return True
