"""Walks on the budgets of this daemon: a lane for unknown hosts, a lane for known ones.

Joins the three that know nothing of each other: the walk, the upstream, and the account of what a walk
may spend.
"""

import trio

from fastvhost.config import Config
from fastvhost.limits import Bucket, capped
from fastvhost.model import Finding
from fastvhost.resolve.account import Account
from fastvhost.resolve.reply import Reply, RrType
from fastvhost.resolve.rfc3263 import walk
from fastvhost.resolve.upstream import Upstream

__all__ = ["Lane", "Walker"]

_KNOWN_SHARE = 0.2
"""The part of the upstream's budget that only known domains can spend."""


class Lane:
    """A share of the upstream: what may be sent, and how much may be under way."""

    __slots__ = ("bucket", "slots")

    def __init__(self, *, queries_per_second: float, in_flight: int) -> None:
        self.bucket = Bucket(capped(queries_per_second))
        self.slots = trio.Semaphore(in_flight)


class Walker:
    """Starts walks; `unknown.bucket` is the one that `Budgets` charges when it admits one."""

    def __init__(self, config: Config, upstream: Upstream) -> None:
        self._own = config.own
        self._dns = config.dns
        self._upstream = upstream
        limits = config.limits
        known = max(1, round(limits.upstream_inflight * _KNOWN_SHARE))
        self.known = Lane(queries_per_second=limits.upstream_qps * _KNOWN_SHARE, in_flight=known)
        self.unknown = Lane(
            queries_per_second=limits.upstream_qps * (1.0 - _KNOWN_SHARE),
            in_flight=max(1, limits.upstream_inflight - known),
        )

    async def walk(self, host: str, *, known: bool) -> Finding:
        """Find out whether the DNS records of `host` lead to us, within `dns.walk_timeout`."""
        lane = self.known if known else self.unknown
        account = Account(
            bucket=lane.bucket,
            slots=lane.slots,
            deadline=trio.current_time() + self._dns.walk_timeout,
            prepaid=0 if known else 1,
        )

        async def query(name: str, rrtype: RrType) -> Reply:
            return await self._upstream.query(name, rrtype, account)

        return await walk(host, own=self._own, dns=self._dns, query=query)
