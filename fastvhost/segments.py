"""A queue of keys that can be looked through piece by piece while it goes on.

A million keys cannot be copied without a pause that everybody would notice; a segment of them can.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

__all__ = ["Segments"]

_SEGMENT = 256
"""Keys of a segment: some 3 us to copy."""


class Segments:
    """First in, first out. Every call but `clear` and `__iter__` is O(1)."""

    __slots__ = ("_last", "_length", "_segments")

    def __init__(self) -> None:
        self._last: deque[str] = deque()
        self._segments: deque[deque[str]] = deque((self._last,))
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        """All keys from the oldest on; the queue must not change meanwhile."""
        return (key for segment in self._segments for key in segment)

    def append(self, key: str) -> None:
        """Put `key` at the end."""
        self._last.append(key)
        self._length += 1
        if len(self._last) == _SEGMENT:
            self._begin_segment()

    def extend(self, keys: Iterable[str]) -> None:
        """Put keys at the end, in their order."""
        left = iter(keys)
        while more := list(islice(left, _SEGMENT - len(self._last))):
            self._last.extend(more)
            self._length += len(more)
            if len(self._last) == _SEGMENT:
                self._begin_segment()

    def popleft(self) -> str:
        """Take out the oldest key.

        Raises:
            IndexError: there is none.
        """
        oldest = self._segments[0]
        key = oldest.popleft()
        self._length -= 1
        if not oldest and len(self._segments) > 1:
            self._segments.popleft()
        return key

    def clear(self) -> None:
        """Take out every key."""
        self._last = deque()
        self._segments = deque((self._last,))
        self._length = 0

    def pieces(self) -> Iterator[list[str]]:
        """The keys that are there now, by segments, from the oldest on; meanwhile the queue may change.

        What has left when its turn comes is left out; what came since may be.
        """
        for segment in list(self._segments):
            yield list(segment)

    def _begin_segment(self) -> None:
        # At once, so that the last one always has room.
        self._last = deque()
        self._segments.append(self._last)
