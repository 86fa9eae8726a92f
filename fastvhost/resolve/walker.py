"""Walks on the budgets of this daemon: a lane for unknown hosts, a lane for known ones.

Joins the three that know nothing of each other: the walk, the upstream, and the account of what a walk
may spend.
"""

from dataclasses import replace

import trio

from fastvhost.config import Config
from fastvhost.limits import Bucket, capped
from fastvhost.model import Finding
from fastvhost.resolve.account import Account, Lane
from fastvhost.resolve.reply import Reply, RrType
from fastvhost.resolve.rfc3263 import walk
from fastvhost.resolve.upstream import Upstream

__all__ = ["Walker"]

_KNOWN_SHARE = 0.2
"""The part of the upstream's budget that only known domains can spend; at least one query a second, and
one under way."""


class Walker:
    """Starts walks; `unknown.bucket` is the one that `Budgets` charges when it admits one."""

    def __init__(self, config: Config, upstream: Upstream) -> None:
        self._own = config.own
        self._dns = config.dns
        self._upstream = upstream
        qps, in_flight = config.limits.upstream_qps, config.limits.upstream_inflight
        known_qps, known_in_flight = max(1.0, qps * _KNOWN_SHARE), max(1, round(in_flight * _KNOWN_SHARE))
        known = Lane(bucket=Bucket(capped(known_qps)), slots=trio.Semaphore(known_in_flight))
        # No lane can do with less than one, so where that is all there is, both draw on the same.
        self.unknown = Lane(
            bucket=Bucket(capped(qps - known_qps)) if qps - known_qps >= 1.0 else known.bucket,
            slots=trio.Semaphore(in_flight - known_in_flight) if in_flight > known_in_flight else known.slots,
        )
        # What unknown hosts leave may serve known ones; never the other way round.
        self.known = replace(known, spare=self.unknown)

    async def walk(self, host: str, *, admitted_at: float | None) -> Finding:
        """Find out whether the DNS records of `host` lead to us, within `dns.walk_timeout`.

        `admitted_at` is when a token of `unknown.bucket` was taken for it; None: the known lane pays.
        """
        lane = self.known if admitted_at is None else self.unknown
        account = Account(
            lane=lane,
            deadline=trio.current_time() + self._dns.walk_timeout,
            prepaid_at=admitted_at,
        )

        async def query(name: str, rrtype: RrType) -> Reply:
            return await self._upstream.query(name, rrtype, account)

        return await walk(host, own=self._own, dns=self._dns, query=query)
