"""A bounded table that a scan cannot flush: what was asked for again outlives what was asked for once.

Two queues in the manner of S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, 2023), without its ghosts: whatever is
new stands in the first, and is dropped at its end unless somebody asked for it meanwhile. Who was asked for
goes on to the second, and there round again as often as it was asked for since. To ask moves nothing.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from fastvhost.segments import Segments

__all__ = ["ScanResistant"]

_FIRST_QUEUE = 4
"""The first queue has at least a fourth of the room: that many new keys may come before a key must have been
asked for again. It has more as long as the second does not need it."""

_CHANCES = 64
"""Keys that one new key may send on or round, some 10 us of work, before the oldest of the first queue is
dropped, asked for or not."""

V = TypeVar("V")


class ScanResistant(Generic[V]):
    """At most `most` values by key. Every call is O(1); some 40 octets an entry beside key and value."""

    __slots__ = ("_again", "_asked", "_first", "_first_least", "_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._first_least = max(1, most // _FIRST_QUEUE)
        self._values: dict[str, V] = {}
        self._asked: set[str] = set()
        # A key that was removed stays in its queue until its turn comes: so the bound is that of the queues.
        self._first = Segments()
        self._again = Segments()

    def __len__(self) -> int:
        return len(self._values)

    def ask(self, key: str) -> V | None:
        """The value of `key`, which is worth more from now on."""
        value = self._values.get(key)
        if value is not None:
            self._asked.add(key)
        return value

    def peek(self, key: str) -> V | None:
        """The value of `key`; nobody asked."""
        return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        """Set the value of `key`; a new key may push out another."""
        if key not in self._values:
            self._first.append(key)
            if len(self._first) + len(self._again) > self._most:
                self._make_room()
        self._values[key] = value

    def remove(self, key: str) -> None:
        """Forget `key`."""
        self._values.pop(key, None)
        self._asked.discard(key)

    def clear(self) -> None:
        """Forget every key."""
        self._values.clear()
        self._asked.clear()
        self._first.clear()
        self._again.clear()

    def pieces(self) -> Iterator[tuple[bool, dict[str, V]]]:
        """All values by key, a thousand or so at a time: first those that were asked for again (True).

        Meanwhile anything may change; what moves between the queues may then be left out.
        """
        values, asked = self._values, self._asked
        for keys in self._again.pieces():
            yield True, {key: values[key] for key in keys if key in values}
        for keys in self._first.pieces():
            there = [key for key in keys if key in values]
            yield True, {key: values[key] for key in there if key in asked}
            yield False, {key: values[key] for key in there if key not in asked}

    def take_back(self, values: dict[str, V], *, again: bool) -> None:
        """Put what `pieces` had of a table like this one; `again` as there. What has no room is left out."""
        room = self._most - len(self._first) - len(self._again)
        if len(values) > room or not self._values.keys().isdisjoint(values):
            new = (key for key in values if key not in self._values)
            values = {key: values[key] for key in islice(new, room)}
        (self._again if again else self._first).extend(values)
        self._values.update(values)

    def _make_room(self) -> None:
        for _ in range(_CHANCES):
            queue = self._first if len(self._first) > self._first_least else self._again
            key = queue.popleft()
            if key not in self._asked:
                self._values.pop(key, None)
                return
            self._asked.discard(key)
            self._again.append(key)
        # The new key is the last of the first queue, and not the one to drop.
        queue = self._first if len(self._first) > 1 else self._again
        self.remove(queue.popleft())
