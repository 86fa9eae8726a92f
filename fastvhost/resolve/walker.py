"""Walks on the budgets of this daemon: a lane for unknown hosts, a lane for known ones.

Joins those that know nothing of each other: the walk, the upstream, the account of what a walk may spend,
and what is proved without asking.
"""

from collections.abc import Callable
from dataclasses import replace

import trio

from fastvhost.config import Config
from fastvhost.limits import Bucket, capped
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.account import Account, Lane, UnderWay
from fastvhost.resolve.branches import elsewhere, step
from fastvhost.resolve.denial import ProvenDenial
from fastvhost.resolve.nsec_zone import Proof
from fastvhost.resolve.reply import Failure, Negative, Reply, RrType, Via
from fastvhost.resolve.rfc3263 import walk
from fastvhost.resolve.slots import Slots
from fastvhost.resolve.turns import Turns
from fastvhost.resolve.upstream import Upstream

__all__ = ["Walker"]

_KNOWN_SHARE = 0.1
"""The part of the upstream's budget that only refreshes of known domains can spend; at least one query a
second, and one under way."""

_CHECKS_SHARE = 0.1
"""The part that only housekeeping can spend."""


_ASKED_AT_ONCE = 8
"""Unknown hosts of one zone that a trusted upstream is asked about at a time: what it says of these may
prove what those that wait want to know."""


class Walker:
    """Starts walks; `unknown.bucket` is the one that `Budgets` charges when it admits one.

    `zone_of` has the registrable domain of a host.
    """

    def __init__(
        self, config: Config, upstream: Upstream, *, zone_of: Callable[[str], str] | None = None
    ) -> None:
        self._zone_of = zone_of if config.dns.trusted else None
        self._turns = Turns(_ASKED_AT_ONCE)
        self._own = config.own
        self._dns = config.dns
        self.upstream = upstream
        self.denial = ProvenDenial(longest=config.cache.not_hosted_ttl[1])
        qps, in_flight = config.limits.upstream_qps, config.limits.upstream_inflight
        known_qps, known_in_flight = max(1.0, qps * _KNOWN_SHARE), max(1, round(in_flight * _KNOWN_SHARE))
        checks_qps, checks_in_flight = qps * _CHECKS_SHARE, round(in_flight * _CHECKS_SHARE)
        known = Lane(bucket=Bucket(capped(known_qps)), slots=Slots(known_in_flight))
        # No lane can do with less than one, so where that is all there is, they draw on the same.
        self.checks = Lane(
            bucket=Bucket(capped(checks_qps)) if checks_qps >= 1.0 else known.bucket,
            slots=Slots(checks_in_flight) if checks_in_flight >= 1 else known.slots,
        )
        left_qps = qps - known_qps - (checks_qps if checks_qps >= 1.0 else 0.0)
        left_in_flight = in_flight - known_in_flight - checks_in_flight
        self.unknown = Lane(
            bucket=Bucket(capped(left_qps)) if left_qps >= 1.0 else known.bucket,
            slots=Slots(left_in_flight) if left_in_flight >= 1 else known.slots,
        )
        # What unknown hosts leave may serve known ones; never the other way round.
        self.known = replace(known, spare=self.unknown)

    def budget(self, now: float) -> dict[str, float]:
        """What is left of the upstream's budget, by lane."""
        lanes = {"unknown": self.unknown, "known": self.known, "checks": self.checks}
        return {
            f"{name}.{what}": value
            for name, lane in lanes.items()
            for what, value in (
                ("tokens", lane.bucket.tokens(now)),
                ("burst", lane.bucket.gcra.burst),
                ("rate", lane.bucket.gcra.rate),
                ("slots_free", lane.slots.value),
            )
        }

    def share_lanes(self, other: "Walker") -> None:
        """Spend the same tokens and slots as `other`, so that both in turn cost DNS no more than one."""
        self.checks, self.unknown, self.known = other.checks, other.unknown, other.known

    async def walk(self, host: str, *, admitted_at: float | None) -> Finding:
        """Find out whether the DNS records of `host` lead to us, within `dns.walk_timeout`.

        `admitted_at` is when the token of `unknown.bucket` is there that was taken for it; None: the known
        lane pays.
        """
        account = self._account(self.known if admitted_at is None else self.unknown)
        account.prepaid_at = admitted_at
        # Of a host that was HOSTED DNS itself is asked: what is proved may be older than what is believed.
        return await self._walk(host, account, by_proof=admitted_at is not None)

    async def go_on(self, host: str, under_way: UnderWay) -> Finding:
        """The same for an unknown host whose first question, NAPTR, was asked and paid for before."""
        account = self._account(self.unknown)
        account.under_way, account.queries = under_way, 1
        account.deadline = under_way.sent_at + self._dns.walk_timeout
        try:
            return await self._walk(host, account, by_proof=False)
        finally:
            if account.under_way is not None:  # nobody came to wait for it
                account.under_way.sent.sock.close()

    def denied(self, host: str, now: float) -> Finding | None:
        """The finding on a canonical `host` that is proved not to be there at all, at no cost."""
        proof = self.denial.proof(host, RrType.NAPTR, now)
        if proof is None or not proof.nxdomain:
            return None
        reason = f"{host} does not exist: {proof.by}"
        reply = _reply_of(proof, now)
        shown = step(0, host, RrType.NAPTR, reply, "no such domain", VerdictKind.NOT_HOSTED)
        return elsewhere(proof.expires - now, reason, shown)

    async def confirm(self, host: str, *, known: bool) -> Finding:
        """The same once more, asking over TCP; `known`: at the cost of the known lane."""
        account = self._account(self.known if known else self.unknown)
        account.over_tcp = True
        return await self._walk(host, account, by_proof=False)

    async def check(self, host: str, *, over_tcp: bool = False) -> Finding:
        """The same at the cost of housekeeping."""
        account = self._account(self.checks)
        account.over_tcp = over_tcp
        return await self._walk(host, account, by_proof=False)

    async def text(self, name: str) -> Reply:
        """TXT at `name`, at the cost of housekeeping."""
        return await self.upstream.query(name, RrType.TXT, self._account(self.checks))

    def _account(self, lane: Lane) -> Account:
        return Account(lane=lane, deadline=trio.current_time() + self._dns.walk_timeout)

    async def _walk(self, host: str, account: Account, *, by_proof: bool) -> Finding:
        async def ask(name: str, rrtype: RrType) -> Reply:
            reply = await self.upstream.query(name, rrtype, account)
            self.denial.learn(name, reply, trio.current_time())
            return reply

        async def ask_unless_proved(name: str, rrtype: RrType) -> Reply:
            reply = self._proved(name, rrtype)
            if reply is not None:
                await trio.lowlevel.checkpoint()
                return reply
            if name != host or self._zone_of is None:
                return await ask(name, rrtype)
            with trio.move_on_at(account.deadline):
                async with self._turns.turn(self._zone_of(host)):
                    return self._proved(name, rrtype) or await ask(name, rrtype)
            return Failure(why="over dns.walk_timeout")

        query = ask_unless_proved if by_proof else ask
        return await walk(host, own=self._own, dns=self._dns, query=query)

    def _proved(self, name: str, rrtype: RrType) -> Negative | None:
        now = trio.current_time()
        proof = self.denial.proof(name, rrtype, now)
        if proof is None:
            return None
        self.denial.counters.questions += 1
        return _reply_of(proof, now)


def _reply_of(proof: Proof, now: float) -> Negative:
    """The reply that DNS would give."""
    return Negative(
        nxdomain=proof.nxdomain,
        ttl=int(proof.expires - now),
        authentic=True,
        via=Via(server=f"{proof.by} (RFC 8198)"),
    )
