"""How many lines of one kind the log gets: what anybody can provoke must not fill a disk.

Pure; `now` is in seconds on the clock of the log.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["LineLimit"]

_SECONDS = 60.0

_MOST_KINDS = 256
"""There are fewer than a hundred log statements; what passes the bound is not limited, and not counted."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Minute:
    began: float
    lines: int = 0


class LineLimit(Generic[K]):
    """At most `per_minute` lines of each kind in a minute, which begins with the first of them."""

    __slots__ = ("_minutes", "_per_minute")

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minutes: dict[K, _Minute] = {}

    def admits(self, kind: K, now: float) -> bool:
        """Whether a line of `kind` may be written; call `ended` before it."""
        minute = self._minutes.get(kind)
        if minute is None:
            if len(self._minutes) >= _MOST_KINDS:
                return True
            minute = self._minutes[kind] = _Minute(now)
        minute.lines += 1
        return minute.lines <= self._per_minute

    def ended(self, now: float) -> Iterator[tuple[K, int]]:
        """The kinds whose minute is over, with how many lines of them were left out; each once.

        A clock that was set back ends every minute.
        """
        for kind, minute in list(self._minutes.items()):
            if not minute.began <= now < minute.began + _SECONDS:
                del self._minutes[kind]
                if minute.lines > self._per_minute:
                    yield kind, minute.lines - self._per_minute

    def end(self) -> Iterator[tuple[K, int]]:
        """The same for every kind, whenever its minute began."""
        return self.ended(float("inf"))
