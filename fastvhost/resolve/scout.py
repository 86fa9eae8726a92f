"""The scout: asks the first question of a walk without a task of its own.

Nearly all unknown hosts do not exist, and one reply says so. For these a task, with its time-outs and scopes,
is most of what a walk costs. So the first query goes out at once, one task receives the replies of all,
and those that say NXDOMAIN in the usual form end there. Any other reply, and any query that is not answered
soon, is handed on to a walk, socket and all, and goes on as if the walk had sent it.
"""

import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import dns.exception
import trio

from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.resolve.account import UnderWay
from fastvhost.resolve.branches import elsewhere, step
from fastvhost.resolve.reply import Negative, RrType, Via
from fastvhost.resolve.walker import Walker
from fastvhost.resolve.wire import Question, nxdomain_ttl
from fastvhost.slow_zones import SLOW_SECONDS

__all__ = ["HandedOn", "Landed", "Scout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """A query that a walk has to go on with, on the budgets and by the configuration that it was sent by."""

    walker: Walker
    under_way: UnderWay


Landed = Callable[[Finding | HandedOn], None]
"""Called once with what was found, or with the query that a walk has to go on with; never raises."""

_BATCH = 64
"""Replies between two looks at the rest of the program."""


class _Asked:
    """A query of ours and who waits for it."""

    __slots__ = ("host", "landed", "question", "under_way", "walker")

    def __init__(
        self, host: str, question: Question, walker: Walker, under_way: UnderWay, landed: Landed
    ) -> None:
        self.host = host
        self.question = question
        self.walker = walker
        self.under_way = under_way
        self.landed = landed


class Scout:
    """Queries for unknown hosts, each holding a slot of theirs, for at most `SLOW_SECONDS`.

    For upstreams that are not trusted only: of what these say nothing is kept beyond the question.
    """

    def __init__(self, walker: Walker | None) -> None:
        """See `configure`."""
        self._walker = walker
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Asked] = {}
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
        return len(self._by_fd)

    def ask(self, host: str, landed: Landed) -> bool:
        """Ask for NAPTR at `host`, at the cost of a token that the caller has taken and that is there.

        False: nothing was sent, and `landed` will not be called.
        """
        walker = self._walker
        if walker is None or self._stopped:
            return False
        lane = walker.unknown
        try:
            question = Question(host, RrType.NAPTR)
            lane.slots.acquire_nowait()
        except (dns.exception.DNSException, trio.WouldBlock):
            return False
        try:
            under_way = walker.upstream.start(question)
        except OSError:  # the walk will meet it too, and knows what to make of it
            lane.slots.give_back()
            return False
        fd = under_way.sent.sock.fileno()
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except OSError:  # ENOSPC, ENOMEM
            under_way.sent.sock.close()
            lane.slots.give_back()
            return False
        lane.retries.earn()
        asked = _Asked(host, question, walker, under_way, landed)
        self._by_fd[fd] = asked
        self._in_order.append(asked)
        self._some.set()
        return True

    async def go_on(self, host: str, handed_on: HandedOn) -> Finding:
        """Walk on from a query that was handed on."""
        return await handed_on.walker.go_on(host, handed_on.under_way)

    async def listen(self) -> NoReturn:
        """Receive replies until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, _BATCH):
                self._receive(fd)

    async def watch(self) -> NoReturn:
        """Hand on what is not answered soon, until cancelled."""
        while True:
            await self._some.wait()
            while self._in_order:
                await trio.sleep_until(self._in_order[0].under_way.sent_at + SLOW_SECONDS)
                now = trio.current_time()
                while self._in_order and self._in_order[0].under_way.sent_at + SLOW_SECONDS <= now:
                    self._hand_on_unless_landed(self._in_order.popleft())
            self._some = trio.Event()

    def stop(self) -> None:
        """Ask nothing more, and hand on all that is under way."""
        self._stopped = True
        while self._in_order:
            self._hand_on_unless_landed(self._in_order.popleft())

    def close(self) -> None:
        """Give back what it holds; only once nothing of it runs."""
        self._epoll.close()
        for asked in self._by_fd.values():
            asked.under_way.sent.sock.close()

    def _receive(self, fd: int) -> None:
        asked = self._by_fd[fd]
        under_way = asked.under_way
        sent = under_way.sent
        came = sent.receive()
        if came is None:  # the datagram failed its checksum
            return
        if isinstance(came, bytes) and asked.question.is_answered_by(came, sent.message_id):
            ttl = nxdomain_ttl(came, asked.question)
            if ttl is not None:
                del self._by_fd[fd]
                sent.sock.close()
                asked.walker.unknown.slots.give_back()
                asked.landed(self._finding(asked, ttl, len(came)))
                return
        sent.came = came
        self._hand_on(fd, asked)

    def _finding(self, asked: _Asked, ttl: int, octets: int) -> Finding:
        """What a walk makes of such a reply (RFC 8020: nothing is below the name either)."""
        under_way = asked.under_way
        seconds = trio.current_time() - under_way.sent_at
        reply = Negative(nxdomain=True, ttl=ttl, via=Via(server=str(under_way.server), seconds=seconds))
        asked.walker.upstream.note_reply(under_way, reply, octets)
        shown = step(0, asked.host, RrType.NAPTR, reply, "no such domain", VerdictKind.NOT_HOSTED)
        return elsewhere(ttl, ABSENT, shown)

    def _hand_on_unless_landed(self, asked: _Asked) -> None:
        fd = asked.under_way.sent.sock.fileno()
        if self._by_fd.get(fd) is asked:
            self._hand_on(fd, asked)

    def _hand_on(self, fd: int, asked: _Asked) -> None:
        del self._by_fd[fd]
        self._epoll.unregister(fd)
        asked.walker.unknown.slots.give_back()
        asked.landed(HandedOn(walker=asked.walker, under_way=asked.under_way))
