"""Budgets: what unknown hosts may cost, by source, by zone and in all."""

from collections.abc import Callable
from enum import Enum

from fastvhost.config import Limits
from fastvhost.host import Address
from fastvhost.limits import Bucket, Gcra, KeyedBuckets
from fastvhost.sources import Sources

__all__ = ["Budget", "Budgets"]

_ESTABLISHED_SHARE = 0.5
"""The part of the upstream's rate for which established sources go before all others."""


class Budget(Enum):
    """Which budget is spent."""

    SOURCE = "source"
    ZONE = "zone"
    UPSTREAM = "upstream"


class Budgets:
    """Whether one more walk for an unknown host may start."""

    __slots__ = ("_kept", "_upstream", "_zones", "sources", "zone_of")

    def __init__(self, limits: Limits, *, upstream: Bucket, registrable_domain: Callable[[str], str]) -> None:
        self.sources = Sources(limits)
        self._zones = KeyedBuckets(Gcra(limits.zone_rate, max(1.0, 2 * limits.zone_rate)))
        self._upstream = upstream
        self._kept = Bucket(upstream.gcra.share(_ESTABLISHED_SHARE))
        self.zone_of = registrable_domain
        """The registrable domain of a canonical host."""

    def admit(self, host: str, source: Address | None, now: float) -> float | Budget:
        """Charge a walk for `host` and return the instant from which its first query may be sent; or charge
        nothing and return the budget that is spent.

        The upstream's token that is charged here pays for the first upstream query of the walk. A query that
        names no source has no source budget.

        Most walks start at once or not at all. But a flood from ever new sources keeps the upstream's bucket
        empty, so an established source may take its token ahead of time, within the part that is kept for
        such, and those who come after it wait longer.
        """
        key = None if source is None else self.sources.key(source)
        if key is not None and not self.sources.walks.conforms(key, now):
            return Budget.SOURCE
        zone = self.zone_of(host).encode()
        if not self._zones.conforms(zone, now):
            return Budget.ZONE
        first = key is not None and self.sources.established(key) and self._kept.wait(now) == 0.0
        if not first and self._upstream.wait(now) > 0.0:
            return Budget.UPSTREAM
        if key is not None:
            self.sources.walks.take(key, now)
        if first:
            self._kept.take(now)
        self._zones.take(zone, now)
        return now + self._upstream.take(now)

    def spent(self, host: str, source: Address | None, now: float) -> Budget | None:
        """Which budget would refuse a walk for `host` at `now`, were it asked for; charges nothing.

        An established source may be admitted all the same where the upstream's is.
        """
        if source is not None and not self.sources.walks.conforms(self.sources.key(source), now):
            return Budget.SOURCE
        if not self._zones.conforms(self.zone_of(host).encode(), now):
            return Budget.ZONE
        return Budget.UPSTREAM if self._upstream.wait(now) > 0.0 else None
