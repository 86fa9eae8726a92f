"""Turns: at most so many at a time for each key, the others in a queue."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

__all__ = ["Turns"]


class Turns:
    """Has an entry only for a key that somebody holds a turn of; whoever takes them bounds their number."""

    __slots__ = ("_at_once", "_slots")

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._slots: dict[str, trio.Semaphore] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn of `key` and hold it for the length of the block."""
        slots = self._slots.get(key)
        if slots is None:
            slots = self._slots[key] = trio.Semaphore(self._at_once)
        try:
            async with slots:
                yield
        finally:
            if slots.value == self._at_once:
                self._slots.pop(key, None)
