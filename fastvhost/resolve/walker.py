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
"""The part of the upstream's budget that only known domains can spend; at least one query a second, and
one under way."""


class Lane:
    """A share of the upstream: what may be sent, and how much may be under way."""

    __slots__ = ("bucket", "slots")

    def __init__(self, *, bucket: Bucket, slots: trio.Semaphore) -> None:
        self.bucket = bucket
        self.slots = slots


class Walker:
    """Starts walks; `unknown.bucket` is the one that `Budgets` charges when it admits one."""

    def __init__(self, config: Config, upstream: Upstream) -> None:
        self._own = config.own
        self._dns = config.dns
        self._upstream = upstream
        qps, in_flight = config.limits.upstream_qps, config.limits.upstream_inflight
        known_qps = max(1.0, qps * _KNOWN_SHARE)
        known_in_flight = max(1, round(in_flight * _KNOWN_SHARE))
        self.known = Lane(bucket=Bucket(capped(known_qps)), slots=trio.Semaphore(known_in_flight))
        # No lane can do with less than one, so where that is all there is, both draw on the same.
        self.unknown = Lane(
            bucket=Bucket(capped(qps - known_qps)) if qps - known_qps >= 1.0 else self.known.bucket,
            slots=trio.Semaphore(in_flight - known_in_flight)
            if in_flight > known_in_flight
            else self.known.slots,
        )

    async def walk(self, host: str, *, known: bool) -> Finding:
        """Find out whether the DNS records of `host` lead to us, within `dns.walk_timeout`."""
        lane = self.known if known else self.unknown
        now = trio.current_time()
        account = Account(
            bucket=lane.bucket,
            slots=lane.slots,
            deadline=now + self._dns.walk_timeout,
            prepaid_at=None if known else now,
        )

        async def query(name: str, rrtype: RrType) -> Reply:
            return await self._upstream.query(name, rrtype, account)

        return await walk(host, own=self._own, dns=self._dns, query=query)
