"""Replies matched with the requests outstanding, and checked: a batch at once where that is possible."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from tools.load.dialect import Dialect
from tools.load.ring import IDS, RequestRing
from tools.load.wire import BATCH, Wire

__all__ = ["Matched", "Replies"]

_ALL = b"\1" * BATCH
_NONE = bytes(BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What one look at the socket brought."""

    received: int = 0
    """Datagrams, strays included."""
    ids: Sequence[int] = ()
    """Of the requests for known hosts that were answered."""
    unknown_ids: Sequence[int] = ()
    """Of those for random hosts."""
    outcomes: Sequence[int] = ()
    """What the known were told, in the dialect's numbers."""
    unknown_outcomes: Sequence[int] = ()
    """What the random were told."""


class Replies:
    """Reads replies off a wire.

    A server answers in the order in which it is asked, and says of a name what it said before. So the reply
    to each frame of the ring is kept once it has been checked, and the next ones are received in line with
    these: a batch in which nothing is new is one comparison. All else is looked at one by one.
    """

    def __init__(self, wire: Wire, ring: RequestRing, dialect: Dialect) -> None:
        self._wire = wire
        self._ring = ring
        self._dialect = dialect
        self._next = 0
        """The number of the request whose reply is expected next."""
        self._known = bytearray(len(wire.replies))
        self._known_octets = memoryview(self._known)
        # Of the replies that are known, by frame.
        self._lengths = array("I", bytes(4 * len(ring)))
        self._outcomes = array("L", bytes(8 * len(ring)))

    def take(self, outstanding: bytearray, sent: int, most: int = BATCH) -> Matched:
        """What is there, at most `most` of a batch.

        Args:
            outstanding: by id, 1 for each request that has no reply; those answered are set to 0.
            sent: how many requests have been sent.
        """
        first, first_id = self._next % len(self._ring), self._next % IDS
        lengths = self._wire.receive(first, min(most, len(self._ring) - first, IDS - first_id))
        received = len(lengths)
        if not received:
            return Matched()
        replies, slot = self._wire.replies, self._wire.slot
        start, frames = first * slot, slice(first, first + received)
        if (
            lengths.tobytes() == self._lengths[frames].tobytes()
            and replies.startswith(self._known_octets[start : start + received * slot], start)
            and outstanding.startswith(_ALL[:received], first_id)
        ):
            outstanding[first_id : first_id + received] = _NONE[:received]
            self._next += received
            ids = range(first_id, first_id + received)
            return Matched(received=received, ids=ids, outcomes=self._outcomes[frames])
        matched = self._one_by_one(start, lengths.tolist(), outstanding, sent)
        # What stays of these in the slots would make the next ones there look different.
        replies[start : start + received * slot] = bytes(received * slot)
        return matched

    def _one_by_one(self, start: int, lengths: list[int], outstanding: bytearray, sent: int) -> Matched:
        replies, echoes, slot = self._wire.replies, self._ring.echoes, self._wire.slot
        id_at, echo_at, outcome_of = self._dialect.id_at, self._dialect.echo_at, self._dialect.outcome
        is_unknown = self._ring.is_unknown
        ids: list[int] = []
        unknown_ids: list[int] = []
        outcomes: list[int] = []
        unknown_outcomes: list[int] = []
        for at, length in zip(range(start, start + len(lengths) * slot, slot), lengths, strict=True):
            message_id = replies[at + id_at] << 8 | replies[at + id_at + 1]
            if not outstanding[message_id]:
                continue
            number = sent - 1 - (sent - 1 - message_id) % IDS
            frame = number % len(self._ring)
            echo = echoes[frame]
            if not replies.startswith(echo, at + echo_at):
                continue
            outcome = outcome_of(replies, at, length, echo)
            if outcome is None:
                continue
            outstanding[message_id] = 0
            self._next = number + 1
            if is_unknown[frame]:
                unknown_ids.append(message_id)
                unknown_outcomes.append(outcome)
                continue
            ids.append(message_id)
            outcomes.append(outcome)
            self._known[frame * slot : (frame + 1) * slot] = replies[at : at + length].ljust(slot, b"\0")
            self._lengths[frame] = length
            self._outcomes[frame] = outcome
        return Matched(
            received=len(lengths),
            ids=ids,
            unknown_ids=unknown_ids,
            outcomes=outcomes,
            unknown_outcomes=unknown_outcomes,
        )
