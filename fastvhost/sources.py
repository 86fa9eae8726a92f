"""Sources: what each SIP peer may still cost, and which of them are established.

An address in a datagram is anybody's claim. So no number of sources may make one that spends too much look
new again, and none may push out those who have been served for long.
"""

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_network

from fastvhost.config import Limits
from fastvhost.host import Address
from fastvhost.limits import Bucket, Gcra, KeyedBuckets

__all__ = ["Sources"]

_ESTABLISHED_ENTRIES = 65_536
"""Sources that are remembered as established; some 150 octets each."""

_NEW_PER_SECOND = Gcra(rate=10.0, burst=16_384.0)
"""Sources that may become established. Whoever was told HOSTED in the last 80 minutes cannot have been pushed
out: a registration is renewed within an hour unless it says otherwise (RFC 3261 section 10.2)."""


class Sources:
    """The budgets of sources, each of them all addresses within one `limits.source_prefix`."""

    __slots__ = ("_drop_v4", "_drop_v6", "_established", "_new", "_queries", "walks")

    def __init__(self, limits: Limits) -> None:
        length_v4, length_v6 = limits.source_prefix
        self._drop_v4, self._drop_v6 = 32 - length_v4, 128 - length_v6
        self.walks = _per_second(limits.source_rate)
        """Walks that a source may start."""
        self._queries = _per_second(limits.source_queries) if limits.source_queries else None
        self._established: OrderedDict[bytes, None] = OrderedDict()
        self._new = Bucket(_NEW_PER_SECOND)

    def __len__(self) -> int:
        """Established sources; at most 65,536."""
        return len(self._established)

    def key(self, source: Address) -> bytes:
        """What all addresses of one source have in common."""
        if isinstance(source, IPv4Address):
            return (int(source) >> self._drop_v4).to_bytes(4)
        return (int(source) >> self._drop_v6).to_bytes(16)

    def network(self, key: bytes) -> str:
        """The addresses with this key, in CIDR notation."""
        number = int.from_bytes(key)
        if len(key) == 4:
            return str(ip_network((IPv4Address(number << self._drop_v4), 32 - self._drop_v4)))
        return str(ip_network((IPv6Address(number << self._drop_v6), 128 - self._drop_v6)))

    def charge_query(self, source: Address, now: float) -> bool:
        """Charge one query and return True; or charge nothing and return False: `source_queries` is spent."""
        if self._queries is None:
            return True
        key = self.key(source)
        conforms = self._queries.conforms(key, now)
        if conforms:
            self._queries.take(key, now)
        return conforms

    def established(self, key: bytes) -> bool:
        """Whether this source was told HOSTED lately."""
        return key in self._established

    def told_hosted(self, source: Address, now: float) -> None:
        """Establish a source, or keep it so; a new one only as far as the rate of new ones allows."""
        key = self.key(source)
        if key in self._established:
            self._established.move_to_end(key)
        elif self._new.wait(now) == 0.0:
            self._new.take(now)
            self._established[key] = None
            if len(self._established) > _ESTABLISHED_ENTRIES:
                self._established.popitem(last=False)


def _per_second(rate: float) -> KeyedBuckets:
    return KeyedBuckets(Gcra(rate, max(1.0, 2 * rate)))
