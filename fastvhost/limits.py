"""Token buckets: one of its own, or one for each of any number of keys.

GCRA (ITU-T I.371, the virtual scheduling form) keeps one float for each bucket: the instant at which it
will be full again.
"""

from array import array
from dataclasses import dataclass
from secrets import token_bytes

__all__ = ["TOKEN_LIFE", "Bucket", "Gcra", "KeyedBuckets", "capped"]


@dataclass(frozen=True, slots=True)
class Gcra:
    """A rate: any W seconds see at most `burst + rate * W` tokens; `burst` is at least 1."""

    rate: float
    burst: float

    def wait(self, full_at: float, now: float) -> float:
        """Seconds from `now` until a bucket that will be full at `full_at` has a token; 0.0: it has one."""
        return max(0.0, full_at - now - (self.burst - 1.0) / self.rate)

    def after(self, full_at: float, now: float) -> float:
        """When that bucket will be full after it gave a token at `now`."""
        return max(full_at, now) + 1.0 / self.rate

    def share(self, part: float) -> "Gcra":
        """A part (over 0, at most 1) of this rate, with that part of its burst, but one token at least."""
        return Gcra(self.rate * part, max(1.0, self.burst * part))


TOKEN_LIFE = 0.02
"""Seconds after it was due that a token may still be spent. One that is older must be paid for again,
or else tokens that pile up while the program stalls would all be spent at once."""


def capped(per_second: float) -> Gcra:
    """The rate whose tokens, each spent within `TOKEN_LIFE`, never pass `per_second` in *any* one second.

    A tenth of the cap is burst, the rest is rate. Below two a second the burst of one token is half of it
    or more.
    """
    burst = max(1.0, per_second / 10.0)
    return Gcra(max(per_second - burst, per_second / 2.0) / (1.0 + TOKEN_LIFE), burst)


class Bucket:
    """One bucket. Tokens may be taken ahead of time: the taker then waits for its own."""

    __slots__ = ("_full_at", "gcra")

    def __init__(self, gcra: Gcra) -> None:
        self.gcra = gcra
        self._full_at = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0.0 when one is there now."""
        return self.gcra.wait(self._full_at, now)

    def tokens(self, now: float) -> float:
        """Tokens that are there: at most `gcra.burst`; below 0.0 those taken ahead of time."""
        return self.gcra.burst - max(0.0, self._full_at - now) * self.gcra.rate

    def take(self, now: float) -> float:
        """Take the next token and return the seconds until it is there."""
        wait = self.wait(now)
        self._full_at = self.gcra.after(self._full_at, now)
        return wait


_Cells = tuple[int, int, int, int]


class KeyedBuckets:
    """A bucket for each key, however many keys there are, in 2 MiB.

    No key is ever forgotten, so no number of others makes one that has spent its tokens look full again.
    The price is that keys share cells: each key has one in each of four rows of 65,536 and is as full as
    the fullest of these, so it is refused for others' sake only where all four of its cells are spent
    by others. Where k keys have spent all they have, that is one key in (65,536 / k)**4.

    Source: a count-min sketch (Cormode and Muthukrishnan, 2005) with the conservative update of Estan and
    Varghese (2002), of instants instead of counts.
    """

    __slots__ = ("_full_at", "_gcra", "_looked_up", "_seed")

    def __init__(self, gcra: Gcra) -> None:
        self._gcra = gcra
        # Of the last key: whoever conforms takes next.
        self._looked_up: tuple[bytes | None, _Cells] = (None, (0, 0, 0, 0))
        self._full_at = array("d", [float("-inf")]) * (4 << 16)
        # Who can compute a key's cells can spend them for it. `hash` of octets is SipHash, with a secret of
        # the process; the seed stands in where PYTHONHASHSEED has fixed that one.
        self._seed = token_bytes(8)

    def conforms(self, key: bytes, now: float) -> bool:
        """Whether `key` has a token at `now`."""
        full_at = self._full_at
        a, b, c, d = self._cells(key)
        return self._gcra.wait(min(full_at[a], full_at[b], full_at[c], full_at[d]), now) == 0.0

    def take(self, key: bytes, now: float) -> None:
        """Take a token of `key`, which `conforms` has granted at `now`."""
        full_at = self._full_at
        cells = a, b, c, d = self._cells(key)
        after = self._gcra.after(min(full_at[a], full_at[b], full_at[c], full_at[d]), now)
        for cell in cells:
            if full_at[cell] < after:
                full_at[cell] = after

    def _cells(self, key: bytes) -> _Cells:
        """One of each row: 16 of the 64 bits of the hash choose it."""
        looked_up, cells = self._looked_up
        if looked_up == key:
            return cells
        bits = hash(self._seed + key)
        cells = (
            bits & 0xFFFF,
            0x10000 | (bits >> 16 & 0xFFFF),
            0x20000 | (bits >> 32 & 0xFFFF),
            0x30000 | (bits >> 48 & 0xFFFF),
        )
        self._looked_up = key, cells
        return cells
