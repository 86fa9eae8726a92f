"""Slots: how many upstream queries may be under way, and which gives way when there are no more.

While there is room, a slow query may take all the time it has. When another waits for its slot, the one
that was sent longest ago gives way once it is slow. So slots turn over at their number divided by
`SLOW_SECONDS`, however silent the servers of whatever zones are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from fastvhost.slow_zones import SLOW_SECONDS

__all__ = ["Slot", "Slots"]


class Slot:
    """A slot that is held; `gave_way` tells whether it was taken away."""

    __slots__ = ("_scope", "_sent")

    def __init__(self, scope: trio.CancelScope, sent: "dict[trio.CancelScope, float]") -> None:
        self._scope = scope
        self._sent = sent

    @property
    def gave_way(self) -> bool:
        """Whether what was under way was ended in favour of another."""
        return self._scope.cancelled_caught

    def note_sent(self) -> None:
        """The query leaves now. One that still waits for its budget is not slow."""
        self._sent.setdefault(self._scope, trio.current_time())


class Slots:
    """`most` slots; who waits is served in the order of asking."""

    __slots__ = ("_free", "_sent", "gave_way")

    def __init__(self, most: int) -> None:
        self._free = trio.Semaphore(most)
        self._sent: dict[trio.CancelScope, float] = {}
        self.gave_way = 0
        """Queries that were ended in favour of others."""

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

    async def acquire(self) -> None:
        """Wait for a slot, to be used by `hold` at once; a slow query gives way to each that waits."""
        wait = self._seconds_to_slow()
        while True:
            with trio.move_on_after(wait):
                await self._free.acquire()
                return
            wait = SLOW_SECONDS if self._end_slowest() else self._seconds_to_slow()

    @contextmanager
    def hold(self) -> Iterator[Slot]:
        """Use a slot that was taken, until the end of the block, which comes early where it gives way."""
        scope = trio.CancelScope()
        try:
            with scope:
                yield Slot(scope, self._sent)
        finally:
            self._sent.pop(scope, None)
            self._free.release()

    def _seconds_to_slow(self) -> float:
        for sent in self._sent.values():
            return max(0.0, sent + SLOW_SECONDS - trio.current_time())
        return SLOW_SECONDS

    def _end_slowest(self) -> bool:
        if not self._sent or self._seconds_to_slow() > 0.0:
            return False
        scope = next(iter(self._sent))
        del self._sent[scope]
        scope.cancel()
        self.gave_way += 1
        return True
