"""Replies that are repeated, by the octets that stand around the id of a request: the form in Python."""

from array import array
from dataclasses import dataclass
from math import inf
from struct import Struct
from typing import Protocol

from fastvhost.model import VerdictKind

__all__ = ["MAX_KEY", "MAX_REPLY", "Entries", "PythonEntries", "Repeated", "key_of"]

MAX_KEY = 4_095
MAX_REPLY = 1_232
"""Octets of the longest key and reply that are kept: a reply that fits an IPv6 packet unfragmented."""

_TTL = Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A reply that answers every request with this key, once the request's id is written into it."""

    key: bytes
    """The request without the two octets of its id."""
    reply: bytes
    """The whole reply, whatever id it has."""
    kind: VerdictKind
    until: float
    """The instant from which it answers nobody."""
    expires: float
    """What its TTLs count down to."""
    look_at: float = inf
    """The instant from which the next request is also left to the caller, once: so that replies which are
    asked for all along are renewed before they end."""
    ttl_at: tuple[int, ...] = ()
    """Where TTLs stand in the reply, at most two; each is the whole seconds that are left to `expires`."""


class Entries(Protocol):
    """A table of numbered places, each with a reply or none; no two replies have the same key."""

    def put(self, number: int, repeated: Repeated) -> bool:
        """Keep a reply, in place of the one with this number; False: it cannot be kept."""
        ...

    def drop(self, number: int) -> None:
        """Forget the reply with this number, where there is one."""
        ...

    def clear(self) -> None:
        """Forget all."""
        ...

    def find(self, key: bytes) -> int | None:
        """The number of the reply with this key."""
        ...


def key_of(request: bytes, id_at: int) -> bytes:
    """The request without its id, which stands at `id_at`."""
    return request[:id_at] + request[id_at + 2 :]


class PythonEntries:
    """A dict, and who is in it by number."""

    def __init__(self, id_at: int, places: int) -> None:
        self._id_at = id_at
        self._id_end = id_at + 2
        self._by_key: dict[bytes, tuple[float, int, bytes, bytes, tuple[int, ...], float, int]] = {}
        self._keys: list[bytes | None] = [None] * places
        self._look_at = array("d", bytes(8 * places))
        self.repeats = [0] * (max(VerdictKind) + 1)
        """How often a reply was repeated, by `VerdictKind`."""

    def repeat(self, request: bytes, now: float) -> tuple[bytes, bool] | None:
        """The reply to `request` where one may be repeated, and whether the caller is to look at it too."""
        at, end = self._id_at, self._id_end
        found = self._by_key.get(request[:at] + request[end:])
        if found is None or now >= found[0]:
            return None
        until, kind, head, tail, ttl_at, expires, number = found
        is_due = now >= self._look_at[number]
        if is_due:
            self._look_at[number] = until
        else:
            self.repeats[kind] += 1
        if ttl_at:
            ttl = _TTL.pack(max(0, int(expires - now)))
            reply = bytearray(head + request[at:end] + tail)
            for place in ttl_at:
                reply[place : place + 4] = ttl
            return bytes(reply), is_due
        return head + request[at:end] + tail, is_due

    def put(self, number: int, repeated: Repeated) -> bool:
        """See `Entries`."""
        self.drop(number)
        reply = repeated.reply
        # A key that ends with the id is also that of requests cut off within it.
        if not self._id_at < len(repeated.key) <= MAX_KEY or len(reply) > MAX_REPLY:
            return False
        head, tail = reply[: self._id_at], reply[self._id_end :]
        self._keys[number] = repeated.key
        self._look_at[number] = repeated.look_at
        self._by_key[repeated.key] = (
            repeated.until,
            repeated.kind,
            head,
            tail,
            repeated.ttl_at,
            repeated.expires,
            number,
        )
        return True

    def drop(self, number: int) -> None:
        """See `Entries`."""
        key = self._keys[number]
        if key is not None:
            self._keys[number] = None
            del self._by_key[key]

    def clear(self) -> None:
        """See `Entries`."""
        self._by_key.clear()
        self._keys = [None] * len(self._keys)

    def find(self, key: bytes) -> int | None:
        """See `Entries`."""
        found = self._by_key.get(key)
        return None if found is None else found[-1]
