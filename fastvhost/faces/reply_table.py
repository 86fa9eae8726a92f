"""The reply table: which replies are repeated without asking anybody, how long, and at whose expense.

It stands in front of `Lookup`: a request that differs from an earlier one in nothing but its id gets the
same reply, unparsed. A reply is repeated only as long as `Lookup` says, and never after a retraction. HOSTED
replies and the others have room of their own, so that no flood of other hosts pushes out one of ours.
"""

import random
from array import array

from fastvhost.faces.entries import Entries, Repeated
from fastvhost.model import VerdictKind

__all__ = ["PLACES", "ReplyTable"]

_HOSTED_PLACES = 32_768
_OTHER_PLACES = 32_768
PLACES = _HOSTED_PLACES + _OTHER_PLACES
"""Replies in all; some 350 octets each."""

_ADMITTED = 1 / 16
"""The share of new replies that push out a live one. Where more are asked for than there is room, this saves
most of the work of taking turns; and what is asked for now and then seldom costs another its place."""

_NONE = -1


class _Ring:
    """Places by number, taken in turn."""

    __slots__ = ("_turn", "places")

    def __init__(self, places: range) -> None:
        self.places = places
        self._turn = 0

    @property
    def number(self) -> int:
        """The place whose turn it is."""
        return self.places[self._turn]

    def turn(self) -> None:
        self._turn = (self._turn + 1) % len(self.places)


class ReplyTable:
    """What is repeated, by host; `entries`, which has `PLACES` places, finds it by request."""

    def __init__(
        self, entries: Entries, *, hosted_places: int = _HOSTED_PLACES, other_places: int = _OTHER_PLACES
    ) -> None:
        self._entries = entries
        places = hosted_places + other_places
        self._hosted = _Ring(range(hosted_places))
        self._others = _Ring(range(hosted_places, places))
        self._until = array("d", bytes(8 * places))
        self._hosts: list[str | None] = [None] * places
        # The places of one host are a linked list: it has one for each source that asks, and each spelling.
        self._first: dict[str, int] = {}
        self._before = array("i", [_NONE]) * places
        self._after = array("i", [_NONE]) * places

    def __len__(self) -> int:
        return sum(host is not None for host in self._hosts)

    def put(self, host: str, repeated: Repeated, now: float) -> None:
        """Repeat a reply about a canonical host, if there is room for it."""
        ring = self._hosted if repeated.kind is VerdictKind.HOSTED else self._others
        number = self._entries.find(repeated.key)
        if number is not None and number not in ring.places:
            self._entries.drop(number)
            self._unlink(number)
            number = None
        if number is None:
            number = ring.number
            if self._until[number] > now and random.random() > _ADMITTED:
                return
            ring.turn()
        self._unlink(number)
        if self._entries.put(number, repeated):
            self._until[number] = repeated.until
            self._link(number, host)

    def retract(self, host: str) -> None:
        """Repeat nothing more about a host."""
        number = self._first.pop(host, _NONE)
        while number != _NONE:
            after = self._after[number]
            self._entries.drop(number)
            self._hosts[number] = None
            self._until[number] = 0.0
            number = after

    def retract_everything(self) -> None:
        """Repeat nothing more."""
        self._entries.clear()
        places = len(self._hosts)
        self._hosts = [None] * places
        self._until = array("d", bytes(8 * places))
        self._first.clear()

    def _link(self, number: int, host: str) -> None:
        first = self._first.get(host, _NONE)
        self._before[number], self._after[number] = _NONE, first
        if first != _NONE:
            self._before[first] = number
        self._first[host] = number
        self._hosts[number] = host

    def _unlink(self, number: int) -> None:
        host = self._hosts[number]
        if host is None:
            return
        before, after = self._before[number], self._after[number]
        if before != _NONE:
            self._after[before] = after
        elif after != _NONE:
            self._first[host] = after
        else:
            del self._first[host]
        if after != _NONE:
            self._before[after] = before
        self._hosts[number] = None
        self._until[number] = 0.0
