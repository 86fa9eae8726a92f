"""The account of one walk: what it may still spend, and the share of the upstream that pays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from fastvhost.config import Endpoint
from fastvhost.limits import TOKEN_LIFE, Bucket
from fastvhost.resolve.exchange import Sent
from fastvhost.resolve.patience import Retries
from fastvhost.resolve.slots import Slot, Slots

__all__ = ["MAX_OCTETS", "MAX_QUERIES", "Account", "Lane", "Refusal", "UnderWay"]

MAX_QUERIES = 24
"""Upstream queries of one walk, retries and TCP included: bounds the fan-out that a zone can cause
(the NXNSAttack of Afek, Bremler-Barr and Shafir, 2020, is the precedent)."""

MAX_OCTETS = 65_536
"""Octets of replies that one walk reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a query may not be sent; `limited` where our budget is spent, not a bound of the walk."""

    why: str
    limited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A share of the upstream: what may be sent, and how much may be under way."""

    bucket: Bucket
    slots: Slots
    retries: Retries = field(default_factory=Retries)
    spare: "Lane | None" = None
    """A share that may be used too, as far as it has something left at the moment."""

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Hold a slot: one of ours, else one of the spare ones, else wait for one of ours."""
        for lane in (self, self.spare):
            if lane is not None:
                try:
                    lane.slots.acquire_nowait()
                except trio.WouldBlock:
                    continue
                slots = lane.slots
                break
        else:
            await self.slots.acquire()
            slots = self.slots
        with slots.hold() as slot:
            yield slot

    def take(self, now: float) -> float:
        """Take a token: one of ours, else a spare one, else ours to come; seconds until it is there."""
        spare = None if self.spare is None else self.spare.bucket
        if spare is not None and self.bucket.wait(now) > 0.0 and spare.wait(now) == 0.0:
            return spare.take(now)
        return self.bucket.take(now)

    def wait(self, now: float) -> float:
        """Seconds until the token that `take` would take."""
        wait = self.bucket.wait(now)
        return wait if self.spare is None else min(wait, self.spare.wait(now))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """The first query of a walk, sent before there was a task for the walk."""

    server: Endpoint
    sent: Sent
    sent_at: float


@dataclass(slots=True, kw_only=True)
class Account:
    """Paid from by `Upstream.query` before each datagram or connection."""

    lane: Lane
    """What pays."""
    deadline: float
    """The instant by which the walk must have ended."""
    prepaid_at: float | None = None
    """When the token is there that was taken for the first query as the walk was admitted; None: none was."""
    under_way: UnderWay | None = None
    """The first query where it was sent and paid for already; then `queries` counts it."""
    over_tcp: bool = False
    """Ask over TCP first, which nobody can forge who is not on the way."""
    queries: int = 0
    """Queries of the walk that were sent, or refused by the budget."""
    octets: int = 0
    """Octets of the replies so far."""

    async def pay(self) -> Refusal | None:
        """Pay for one upstream query and return when it may be sent, which must be done at once.

        Or return what refuses it: a bound of the walk, or a budget that has no token before the deadline.
        """
        if self.queries >= MAX_QUERIES:
            return Refusal(why=f"over {MAX_QUERIES} upstream queries", limited=False)
        self.queries += 1
        prepaid_at, self.prepaid_at = self.prepaid_at, None
        now = trio.current_time()
        if prepaid_at is not None and prepaid_at > now:
            if prepaid_at >= self.deadline:
                return Refusal(why="limits.upstream_qps is spent", limited=True)
            await trio.sleep_until(prepaid_at)
            now = trio.current_time()
        if prepaid_at is None or now > prepaid_at + TOKEN_LIFE:
            while True:
                if now + self.lane.wait(now) >= self.deadline:
                    return Refusal(why="limits.upstream_qps is spent", limited=True)
                due = now + self.lane.take(now)
                if due > now:
                    await trio.sleep_until(due)
                now = trio.current_time()
                if now <= due + TOKEN_LIFE:
                    break
        return None

    def take_in(self, octets: int) -> Refusal | None:
        """Count a reply; or return why it is not to be read, nor any that comes after it."""
        self.octets = min(self.octets + octets, MAX_OCTETS + 1)
        if self.octets > MAX_OCTETS:
            return Refusal(why=f"over {MAX_OCTETS} octets of replies", limited=False)
        return None
