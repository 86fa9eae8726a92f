"""The requests of a run, all prebuilt: a ring of frames, sent in order, again and again.

Frame number n has the id `n mod 65536`, so that sending costs no work in Python. Only frames for random
hosts are touched again: 16 digits are written into each before it is sent.
"""

import random
import secrets
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

from fastvhost.faces.pdb_codec import write_request
from tools.pdbload.plan import Plan

__all__ = ["IDS", "RequestRing"]

IDS = 0x10000
"""The ids that PDB has; a ring that is sent more than once has a multiple of it in frames."""

_ALIGNMENT = 8
_NAME_AT = 6
_PREFIX = b"u"
"""Before the digits of a random label: a top label must begin with a letter."""
_RUN_DIGITS = 8
_SERIAL_DIGITS = 8
_DIGITS_AT = _NAME_AT + len(_PREFIX) + _RUN_DIGITS


class RequestRing:
    """Frames in one buffer, `stride` octets apart, and what each one's reply must begin with."""

    def __init__(self, plan: Plan) -> None:
        order = random.Random(0)  # the same order in every run: runs are compared
        length = -(-max(1, len(plan.names)) // IDS) * IDS
        if plan.count is not None:
            length = min(length, plan.count)
        self._serial = 0
        run = secrets.token_hex(_RUN_DIGITS // 2).encode()
        unknown = b"%b%b%0*d.%b" % (_PREFIX, run, _SERIAL_DIGITS, 0, plan.under.encode())
        known = _repeated(plan.names, order)
        names = [unknown if order.random() < plan.unknown_share else next(known) for _ in range(length)]
        frames = [write_request(name, number % IDS) for number, name in enumerate(names)]
        self._unknown = [number for number, name in enumerate(names) if name is unknown]
        self.lengths = [len(frame) for frame in frames]
        self.stride = -(-max(self.lengths) // _ALIGNMENT) * _ALIGNMENT
        self.octets = bytearray(b"".join(frame.ljust(self.stride, b"\0") for frame in frames))
        self.heads = [_reply_head(frame) for frame in frames]
        """What the reply to each frame begins with: all of it but the two octets of the value."""

    def __len__(self) -> int:
        return len(self.lengths)

    def refresh(self, first: int, count: int) -> None:
        """Give the frames for random hosts among these, which are to be sent, hosts not asked before."""
        unknown = self._unknown
        if not unknown:
            return
        for number in islice(unknown, bisect_left(unknown, first), bisect_left(unknown, first + count)):
            self._serial += 1
            at = number * self.stride
            digits = at + _DIGITS_AT
            self.octets[digits : digits + _SERIAL_DIGITS] = b"%08d" % (self._serial % 10**_SERIAL_DIGITS)
            self.heads[number] = _reply_head(self.octets[at : at + self.lengths[number]])


def _repeated(names: Sequence[bytes], order: random.Random) -> Iterator[bytes]:
    """All names, in one random order, for ever; nothing when there are none."""
    shuffled = list(names)
    order.shuffle(shuffled)
    while shuffled:
        yield from shuffled


def _reply_head(frame: bytes | bytearray) -> bytes:
    return b"\x01\x01\x01%c%b" % (len(frame) + 2, bytes(frame[4:]))
