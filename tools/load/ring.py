"""The requests of a run, all prebuilt: a ring of frames, sent in order, again and again.

Frame number n has the id `n mod 65536`, so that sending costs no work in Python. Only frames for random
hosts are touched again: 8 digits are written into each before it is sent another time.
"""

import random
import secrets
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

from tools.load.dialect import RANDOM_LABEL
from tools.load.plan import Plan

__all__ = ["IDS", "RequestRing"]

IDS = 0x10000
"""The ids that PDB and DNS have; a ring that is sent more than once has a multiple of it in frames."""

_RUN_OCTETS = 4
_SERIAL_DIGITS = 8
_DIGITS_IN_LABEL = len(RANDOM_LABEL % (bytes(2 * _RUN_OCTETS), 0)) - _SERIAL_DIGITS


class RequestRing:
    """Frames in one buffer, `stride` octets apart, and the `echoes` that the replies to them must have.

    Raises:
        LoadError: the dialect cannot say one of the names.
    """

    def __init__(self, plan: Plan) -> None:
        self._dialect = dialect = plan.dialect
        order = random.Random(0)  # the same order in every run: runs are compared
        length = -(-max(1, len(plan.names)) // IDS) * IDS
        if plan.count is not None:
            length = min(length, plan.count)
        self._serial = 0
        label = RANDOM_LABEL % (secrets.token_hex(_RUN_OCTETS).encode(), 0)
        unknown = b"%b.%b" % (label, plan.under.encode())
        known = _repeated(plan.names, order)
        names = [unknown if order.random() < plan.unknown_share else next(known) for _ in range(length)]
        self.is_unknown = bytearray(name is unknown for name in names)
        """Of each frame, whether it asks for a random host."""
        self._unknown = [number for number, is_unknown in enumerate(self.is_unknown) if is_unknown]
        if plan.sources:
            made = [dialect.request(b"%b %b" % (name, order.choice(plan.sources)), 0) for name in names]
        else:
            # Written once for each name: writing them for each frame would take seconds.
            written = {name: dialect.request(name, 0) for name in {*plan.names, unknown}}
            made = [written[name] for name in names]
        self._digits_at = dialect.name_at + _DIGITS_IN_LABEL
        id_at = dialect.id_at
        frames = [
            b"%b%b%b" % (frame[:id_at], (number % IDS).to_bytes(2, "big"), frame[id_at + 2 :])
            for number, frame in enumerate(made)
        ]
        self.lengths = [len(frame) for frame in frames]
        self.stride = max(self.lengths)
        self.octets = bytearray(b"".join(frame.ljust(self.stride, b"\0") for frame in frames))
        self.echoes = [dialect.echo(frame) for frame in frames]
        """What the reply to each frame must repeat."""
        for number in self._unknown:
            self._renew(number)
        self._never_sent = len(frames)

    def __len__(self) -> int:
        return len(self.lengths)

    def refresh(self, first: int, count: int) -> None:
        """Give the frames for random hosts among these, which are sent next, hosts not asked before."""
        if self._never_sent > 0:
            self._never_sent -= count
            return
        unknown = self._unknown
        for number in islice(unknown, bisect_left(unknown, first), bisect_left(unknown, first + count)):
            self._renew(number)

    def _renew(self, number: int) -> None:
        self._serial += 1
        at = number * self.stride
        digits = at + self._digits_at
        self.octets[digits : digits + _SERIAL_DIGITS] = b"%08d" % (self._serial % 10**_SERIAL_DIGITS)
        self.echoes[number] = self._dialect.echo(self.octets[at : at + self.lengths[number]])


def _repeated(names: Sequence[bytes], order: random.Random) -> Iterator[bytes]:
    """All of them, in one random order, for ever; nothing when there are none."""
    shuffled = list(names)
    order.shuffle(shuffled)
    while shuffled:
        yield from shuffled
