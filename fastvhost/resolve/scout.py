"""The scout: asks the first question of a walk without a task of its own.

Nearly all unknown hosts do not exist, and one reply says so. For these a task, with its time-outs and scopes,
is most of what a walk costs. So the first query goes out at once, one task receives the replies of all,
and those that say NXDOMAIN in the usual form end there. Any other reply, and any query that is not answered
soon, is handed on to a walk, socket and all, and goes on as if the walk had sent it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import trio

from fastvhost.compiled_library import NotCompiledError
from fastvhost.config import Endpoint
from fastvhost.giving_way import GivingWay
from fastvhost.model import ABSENT, Finding, Step, VerdictKind
from fastvhost.resolve.account import UnderWay
from fastvhost.resolve.compiled_queries import CompiledQueries
from fastvhost.resolve.queries import UNUSUAL, PlainQueries, Queries
from fastvhost.resolve.walker import Walker
from fastvhost.slow_zones import SLOW_SECONDS

__all__ = ["HandedOn", "Landed", "Scout", "open_queries"]

_NOT_HOSTED = VerdictKind.NOT_HOSTED
"""Looked up once: nearly every walk of an unknown host ends with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """A query that a walk has to go on with, on the budgets and by the configuration that it was sent by."""

    walker: Walker
    under_way: UnderWay


Landed = Callable[[Finding | HandedOn], None]
"""Called once with what was found, or with the query that a walk has to go on with; never raises."""


def open_queries() -> Queries:
    """The fastest form that this installation and platform have."""
    try:
        return CompiledQueries()
    except NotCompiledError:
        return PlainQueries()


class _Asked:
    """A query of ours and who waits for it."""

    __slots__ = ("host", "landed", "number", "sent_at", "server", "walker")

    def __init__(
        self, host: str, walker: Walker, server: Endpoint, number: int, sent_at: float, landed: Landed
    ) -> None:
        self.host = host
        self.walker = walker
        self.server = server
        self.number = number
        self.sent_at = sent_at
        self.landed = landed


class Scout:
    """Queries for unknown hosts, each holding a slot of theirs, for at most `SLOW_SECONDS`.

    For upstreams that are not trusted only: of what these say nothing is kept beyond the question.
    """

    def __init__(
        self, walker: Walker | None, giving_way: GivingWay, queries: Callable[[], Queries] = open_queries
    ) -> None:
        """See `configure`."""
        self._walker = walker
        self._giving_way = giving_way
        self._queries = queries()
        self._by_number: dict[int, _Asked] = {}
        self._in_order: deque[_Asked] = deque()
        self._some = trio.Event()
        self._stopped = False

    def configure(self, walker: Walker | None) -> None:
        """Ask on the budgets of this walker from now on, or, without one, nothing.

        What is under way goes on as it began, and gives its slot back to those whom it took it from.
        """
        self._walker = walker

    @property
    def under_way(self) -> int:
        """Queries that have not landed."""
        return len(self._by_number)

    def ask(self, host: str, landed: Landed) -> bool:
        """Ask for NAPTR at `host`, at the cost of a token that the caller has taken and that is there.

        False: nothing was sent, and `landed` will not be called.
        """
        walker = self._walker
        if walker is None or self._stopped:
            return False
        lane = walker.unknown
        try:
            lane.slots.acquire_nowait()
        except trio.WouldBlock:
            return False
        now = trio.current_time()
        server = walker.upstream.first_server(now)
        number = self._queries.ask(server, host)
        if number is None:  # the walk will meet the reason too, and knows what to make of it
            lane.slots.give_back()
            return False
        walker.upstream.note_sent()
        lane.retries.earn()
        asked = _Asked(host, walker, server, number, now, landed)
        self._by_number[number] = asked
        self._in_order.append(asked)
        self._some.set()
        return True

    async def go_on(self, host: str, handed_on: HandedOn) -> Finding:
        """Walk on from a query that was handed on."""
        return await handed_on.walker.go_on(host, handed_on.under_way)

    async def listen(self) -> NoReturn:
        """Receive replies until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._queries.fileno())
            self._take_turn()

    async def watch(self) -> NoReturn:
        """Hand on what is not answered soon, until cancelled."""
        while True:
            await self._some.wait()
            while self._in_order:
                await trio.sleep_until(self._in_order[0].sent_at + SLOW_SECONDS)
                now = trio.current_time()
                while self._in_order and self._in_order[0].sent_at + SLOW_SECONDS <= now:
                    self._hand_on_unless_landed(self._in_order.popleft())
            self._some = trio.Event()

    def stop(self) -> None:
        """Ask nothing more, and hand on all that is under way."""
        self._stopped = True
        while self._in_order:
            self._hand_on_unless_landed(self._in_order.popleft())

    def close(self) -> None:
        """Give back what it holds; only once nothing of it runs."""
        self._queries.close()

    def _take_turn(self) -> None:
        now = trio.current_time()
        # All at once: the number of a query that has ended may be that of the next.
        ended = [(self._by_number.pop(number), ttl, octets) for number, ttl, octets in self._queries.turn()]
        for asked, ttl, octets in self._giving_way.while_doing(ended):
            if ttl == UNUSUAL:
                self._hand_on(asked)
            else:
                asked.walker.unknown.slots.give_back()
                asked.landed(_finding(asked, ttl, octets, now))

    def _hand_on_unless_landed(self, asked: _Asked) -> None:
        if self._by_number.get(asked.number) is asked:
            del self._by_number[asked.number]
            self._hand_on(asked)

    def _hand_on(self, asked: _Asked) -> None:
        sent = self._queries.take(asked.number)
        asked.walker.unknown.slots.give_back()
        under_way = UnderWay(server=asked.server, sent=sent, sent_at=asked.sent_at)
        asked.landed(HandedOn(walker=asked.walker, under_way=under_way))


def _finding(asked: _Asked, ttl: int, octets: int, now: float) -> Finding:
    """What a walk makes of such a reply (RFC 8020: nothing is below the name either)."""
    seconds = now - asked.sent_at
    asked.walker.upstream.note_nxdomain(asked.server, seconds, octets)
    shown = Step(
        depth=0,
        question=f"NAPTR {asked.host}",
        rcode="NXDOMAIN",
        ttl=ttl,
        server=str(asked.server),
        seconds=seconds,
        proved="no such domain",
        kind=_NOT_HOSTED,
    )
    return Finding(kind=_NOT_HOSTED, ttl=ttl, reason=ABSENT, steps=(shown,))
