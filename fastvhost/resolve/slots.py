"""Slots: how many upstream queries may be under way, and which gives way when there are no more.

While there is room, a slow query may take all the time it has. When another waits for its slot, the one
that was sent longest ago gives way once it is slow. So slots turn over at their number divided by
`SLOW_SECONDS`, however silent the servers of whatever zones are.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import trio

from fastvhost.slow_zones import SLOW_SECONDS

__all__ = ["Slot", "Slots"]


class Slot:
    """A slot that is held."""

    __slots__ = ("_scope", "_slots")

    def __init__(self, scope: trio.CancelScope, slots: "Slots") -> None:
        self._scope = scope
        self._slots = slots

    @property
    def gave_way(self) -> bool:
        """Whether what was under way was ended in favour of another."""
        return self._scope.cancelled_caught

    def note_sent(self) -> None:
        """The query leaves now. One that still waits for its budget is not slow."""
        self._slots.note_sent(self._scope)


class Slots:
    """`most` slots; who waits is served in the order of asking.

    There are as many queries that are to give way as there are that wait: those sent longest ago. Each
    call costs the same, however many wait.
    """

    __slots__ = ("_free", "_giving_way", "_sent", "_waiting")

    def __init__(self, most: int) -> None:
        self._free = trio.Semaphore(most)
        self._waiting = 0
        # By the instant of sending, ascending; all of the first are older than any of the second.
        self._giving_way: OrderedDict[trio.CancelScope, float] = OrderedDict()
        self._sent: OrderedDict[trio.CancelScope, float] = OrderedDict()

    @property
    def value(self) -> int:
        """Slots that are free."""
        return self._free.value

    def acquire_nowait(self) -> None:
        """Take a slot, to be used by `hold` at once.

        Raises:
            trio.WouldBlock: none is free.
        """
        self._free.acquire_nowait()

    def give_back(self) -> None:
        """End the use of a slot that was taken and is not for `hold`."""
        self._free.release()

    async def acquire(self) -> None:
        """Wait for a slot, to be used by `hold` at once; a slow query gives way to each that waits."""
        self._waiting += 1
        if self._sent:
            self._let_give_way(*self._sent.popitem(last=False))
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
            if len(self._giving_way) > self._waiting:
                self._let_go_on(*self._giving_way.popitem())

    @contextmanager
    def hold(self) -> Iterator[Slot]:
        """Use a slot that was taken, until the end of the block, which comes early where it gives way."""
        scope = trio.CancelScope()
        try:
            with scope:
                yield Slot(scope, self)
        finally:
            self._giving_way.pop(scope, None)
            self._sent.pop(scope, None)
            self._free.release()

    def note_sent(self, scope: trio.CancelScope) -> None:
        """A query of the slot that `scope` ends is sent; only the first one's time counts."""
        if scope in self._sent or scope in self._giving_way:
            return
        now = trio.current_time()
        if len(self._giving_way) < self._waiting and not self._sent:
            self._let_give_way(scope, now)
        else:
            self._sent[scope] = now

    def _let_give_way(self, scope: trio.CancelScope, sent: float) -> None:
        self._giving_way[scope] = sent
        scope.deadline = sent + SLOW_SECONDS

    def _let_go_on(self, scope: trio.CancelScope, sent: float) -> None:
        scope.deadline = inf
        self._sent[scope] = sent
        self._sent.move_to_end(scope, last=False)
