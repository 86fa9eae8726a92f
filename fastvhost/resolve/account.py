"""The account of one walk: what it may still spend."""

from dataclasses import dataclass

import trio

from fastvhost.limits import TOKEN_LIFE, Bucket

__all__ = ["MAX_OCTETS", "MAX_QUERIES", "Account", "Refusal"]

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


@dataclass(slots=True, kw_only=True)
class Account:
    """Paid from by `Upstream.query` before each datagram or connection."""

    bucket: Bucket
    """The budget of upstream queries that pays."""
    slots: trio.Semaphore
    """One is held for each query under way."""
    deadline: float
    """The instant by which the walk must have ended."""
    prepaid_at: float | None = None
    """When a token of `bucket` was taken for the first query, as the walk was admitted; None: it was not."""
    queries: int = 0
    """Queries of the walk that were sent, or refused by the budget."""
    octets: int = 0
    """Octets of the replies, which whoever read them adds."""

    async def pay(self) -> Refusal | None:
        """Pay for one upstream query and return when it may be sent, which must be done at once.

        Or return what refuses it: a bound of the walk, or a budget that has no token before the deadline.
        """
        exhausted = self._exhausted()
        if exhausted is not None:
            return Refusal(why=exhausted, limited=False)
        self.queries += 1
        prepaid_at, self.prepaid_at = self.prepaid_at, None
        now = trio.current_time()
        if prepaid_at is None or now > prepaid_at + TOKEN_LIFE:
            while True:
                if now + self.bucket.wait(now) >= self.deadline:
                    return Refusal(why="limits.upstream_qps is spent", limited=True)
                due = now + self.bucket.take(now)
                if due > now:
                    await trio.sleep_until(due)
                now = trio.current_time()
                if now <= due + TOKEN_LIFE:
                    break
        return None

    def _exhausted(self) -> str | None:
        """Which bound of the walk is reached; None while it may go on."""
        if self.queries >= MAX_QUERIES:
            return f"over {MAX_QUERIES} upstream queries"
        if self.octets > MAX_OCTETS:
            return f"over {MAX_OCTETS} octets of replies"
        return None
