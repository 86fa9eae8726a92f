"""Work for unknown hosts in small pieces, between which known ones are answered."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["GivingWay"]

_PIECE = 3
"""Of requests or replies: about a tenth of a millisecond."""

_Item = TypeVar("_Item")


class GivingWay:
    """Who has something to do that is never to wait for a whole turn of something else."""

    def __init__(self) -> None:
        self._others: list[Callable[[], None]] = []

    def to(self, other: Callable[[], None]) -> Callable[[], None]:
        """Have `other` called between pieces from now on, which never raises; call the result to end that."""
        self._others.append(other)
        return lambda: self._others.remove(other)

    def while_doing(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items as they come; before the first, and after each `_PIECE`, it is the others' turn."""
        for number, item in enumerate(items):
            if number % _PIECE == 0:
                for other in self._others:
                    other()
            yield item
