"""Budgets: what unknown hosts may cost, by source, by zone and in all.

GCRA (ITU-T I.371, the virtual scheduling form) keeps one float for each bucket: the instant at which it
will be full again. Tables of buckets are LRUs, so that ten million sources cost no more than the bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network

from cachetools import LRUCache

from fastvhost.config import Limits
from fastvhost.host import Address

__all__ = ["TOKEN_LIFE", "Bucket", "Budget", "Budgets", "Gcra", "KeyedBuckets", "capped"]

_TABLE_ENTRIES = 65_536
"""Sources, and zones, that are told apart at one time; some 250 octets each."""


class Budget(Enum):
    """Which budget is spent."""

    SOURCE = "source"
    ZONE = "zone"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Gcra:
    """A rate: any W seconds see at most `burst + rate * W` tokens; `burst` is at least 1."""

    rate: float
    burst: float

    def wait(self, full_at: float, now: float) -> float:
        """Seconds from `now` until a bucket that will be full at `full_at` has a token; 0.0: it has one."""
        return max(0.0, full_at - now - (self.burst - 1.0) / self.rate)

    def after(self, full_at: float, now: float) -> float:
        """When that bucket will be full after it gave a token at `now`."""
        return max(full_at, now) + 1.0 / self.rate


TOKEN_LIFE = 0.02
"""Seconds after it was due that a token may still be spent. One that is older must be paid for again,
or else tokens that pile up while the program stalls would all be spent at once."""


def capped(per_second: float) -> Gcra:
    """The rate whose tokens, each spent within `TOKEN_LIFE`, never pass `per_second` in *any* one second.

    A tenth of the cap is burst, the rest is rate. Below two a second the burst of one token is half of it
    or more.
    """
    burst = max(1.0, per_second / 10.0)
    return Gcra(max(per_second - burst, per_second / 2.0) / (1.0 + TOKEN_LIFE), burst)


class Bucket:
    """One bucket. Tokens may be taken ahead of time: the taker then waits for its own."""

    __slots__ = ("_full_at", "_gcra")

    def __init__(self, gcra: Gcra) -> None:
        self._gcra = gcra
        self._full_at = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0.0 when one is there now."""
        return self._gcra.wait(self._full_at, now)

    def take(self, now: float) -> float:
        """Take the next token and return the seconds until it is there."""
        wait = self.wait(now)
        self._full_at = self._gcra.after(self._full_at, now)
        return wait


class KeyedBuckets:
    """A bucket for each key; at `entries` the one that was used longest ago is forgotten, so full again."""

    __slots__ = ("_full_at", "_gcra")

    def __init__(self, gcra: Gcra, *, entries: int = _TABLE_ENTRIES) -> None:
        self._gcra = gcra
        self._full_at: LRUCache[object, float] = LRUCache(entries)

    def __len__(self) -> int:
        return len(self._full_at)

    def conforms(self, key: object, now: float) -> bool:
        """Whether `key` has a token at `now`."""
        return self._gcra.wait(self._full_at.get(key, now), now) == 0.0

    def take(self, key: object, now: float) -> None:
        """Take a token of `key`, which `conforms` has granted at `now`."""
        self._full_at[key] = self._gcra.after(self._full_at.get(key, now), now)


class Budgets:
    """Whether one more walk for an unknown host may start."""

    __slots__ = ("_prefixes", "_sources", "_upstream", "_zones", "zone_of")

    def __init__(self, limits: Limits, *, upstream: Bucket, registrable_domain: Callable[[str], str]) -> None:
        self._prefixes = dict(zip((4, 6), limits.source_prefix, strict=True))
        self._sources = KeyedBuckets(Gcra(limits.source_rate, max(1.0, 2 * limits.source_rate)))
        self._zones = KeyedBuckets(Gcra(limits.zone_rate, max(1.0, 2 * limits.zone_rate)))
        self._upstream = upstream
        self.zone_of = registrable_domain
        """The registrable domain of a canonical host."""

    def admit(self, host: str, source: Address | None, now: float) -> Budget | None:
        """Charge a walk for `host` and return None; or charge nothing and return the budget that is spent.

        The upstream's token that is charged here pays for the first upstream query of the walk. A
        query that names no source has no source budget.
        """
        prefix = None if source is None else self._prefix(source)
        if prefix is not None and not self._sources.conforms(prefix, now):
            return Budget.SOURCE
        zone = self.zone_of(host)
        if not self._zones.conforms(zone, now):
            return Budget.ZONE
        if self._upstream.wait(now) > 0.0:
            return Budget.UPSTREAM
        if prefix is not None:
            self._sources.take(prefix, now)
        self._zones.take(zone, now)
        self._upstream.take(now)
        return None

    def _prefix(self, source: Address) -> object:
        length = self._prefixes[source.version]
        return source if length == source.max_prefixlen else ip_network((source, length), strict=False)
