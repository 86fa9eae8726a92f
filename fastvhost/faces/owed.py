"""Replies owed: a datagram whose verdict is not known yet is answered when it is, or when it is due.

An entry in two queues, not a task: the flight's list of askers, and here one deque in the order of
deadlines, which one task watches for the whole face.
"""

from collections import deque
from collections.abc import Callable
from typing import NoReturn

import trio

from fastvhost.coalesce import Flight
from fastvhost.model import Verdict

__all__ = ["OwedReplies"]


_MOST = 65_536
"""Entries; some 20 MB with the requests that they keep."""

_IN_VAIN = 4
"""So many deadlines passed in a row, and DNS is taken to be slower than they are: as many as a small proxy
has workers, all of which have then stood still once."""


class _Owed:
    """One asker; called by its flight with the verdict."""

    __slots__ = ("_reply", "due", "flight")

    def __init__(self, flight: Flight, reply: Callable[[Verdict], None], due: float) -> None:
        self.flight = flight
        self.due = due
        self._reply = reply

    def __call__(self, verdict: Verdict) -> None:
        self._reply(verdict)


class OwedReplies:
    """The replies that one face owes; each goes out within `answer_within` seconds.

    An entry stays until its deadline, answered or not: at most 65,536 of them. `patient`: those who wait
    have other things to do meanwhile, so each may wait until its deadline, however often that was in vain.
    """

    def __init__(self, answer_within: float, *, patient: bool = False) -> None:
        self._answer_within = answer_within
        self._patient = patient
        self._in_order: deque[_Owed] = deque()
        self._some = trio.Event()
        self._sooner = trio.Event()
        self._in_vain = 0
        self.overdue = 0
        """Replies that went out before their flight landed: at their deadline; at once, where it was in
        vain to wait; or for want of room here."""

    def configure(self, answer_within: float, now: float) -> None:
        """Answer within so many seconds from now on, what is owed already included."""
        self._answer_within = answer_within
        for owed in self._in_order:
            owed.due = min(owed.due, now + answer_within)  # so these are still in the order of deadlines
        self._sooner.set()
        self._sooner = trio.Event()

    def owe(self, flight: Flight, reply: Callable[[Verdict], None], now: float) -> None:
        """Call `reply` once: with the flight's verdict, or at the deadline with its provisional one.

        A worker of the proxy stands still while it waits, and with DNS dead all of them soon would. So
        nobody waits for a flight that took off `answer_within` ago or earlier; and while the last four
        deadlines passed in vain one asker waits at a time, until a flight lands before its own.
        """
        late = now >= flight.took_off + self._answer_within
        dns_late = self._in_vain >= _IN_VAIN and len(self._in_order) > 0
        in_vain = not self._patient and (late or dns_late)
        if in_vain or len(self._in_order) >= _MOST:
            self.overdue += 1
            reply(flight.provisional)
            return
        owed = _Owed(flight, reply, now + self._answer_within)
        flight.join(owed)
        self._in_order.append(owed)
        self._some.set()

    async def watch_deadlines(self) -> NoReturn:
        """Answer what is due, until cancelled."""
        while True:
            await self._some.wait()
            while self._in_order:
                with trio.move_on_at(self._in_order[0].due):
                    await self._sooner.wait()
                self._answer_due(trio.current_time())
            self._some = trio.Event()

    def _answer_due(self, now: float) -> None:
        while self._in_order and self._in_order[0].due <= now:
            owed = self._in_order.popleft()
            if owed.flight.leave(owed):
                self._in_vain += 1
                self.overdue += 1
                owed(owed.flight.provisional)
            else:
                self._in_vain = 0
