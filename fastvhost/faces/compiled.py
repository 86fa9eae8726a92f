"""Batches in compiled code, `batch.c`, where the installation could compile it.

`Repeater` has a thread of that code receive and repeat, which the interpreter never holds up: whatever it is
busy with, known hosts are answered. `CompiledBatch` takes turns in the caller's thread, as others do.

`python tools/compile_batch.py` compiles it beside this file; building a wheel does the same.
"""

import ctypes
import secrets
import socket
from collections.abc import Mapping, Sequence
from ctypes import c_double, c_int32, c_uint32, c_uint64, c_void_p
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

from fastvhost.compiled_library import load_library
from fastvhost.faces.batch import BATCH, Client, DatagramCounters, InTurns, Left
from fastvhost.faces.entries import Repeated
from fastvhost.faces.latency import BOUNDS, Histogram
from fastvhost.faces.mmsg import ADDRESS
from fastvhost.faces.mmsg_batch import address_octets
from fastvhost.host import Address
from fastvhost.model import VerdictKind

__all__ = ["LIBRARY", "CompiledBatch", "Repeater"]

LIBRARY = Path(__file__).with_name("libbatch.so")

_ABI = 5
"""Which `batch.c` this was written for."""

_REQUEST = 1024
_KINDS = 8
_REQUESTS = range(0, BATCH * _REQUEST, _REQUEST)
_NAMES = range(0, BATCH * ADDRESS, ADDRESS)


class _Counters(ctypes.Structure):
    _fields_ = (
        ("received", c_uint64),
        ("sent", c_uint64),
        ("sent_by_owner", c_uint64),
        ("receive_errors", c_uint64),
        ("send_errors", c_uint64),
        ("send_errors_of_owner", c_uint64),
        ("overrun", c_uint64),
        ("repeated", c_uint64 * _KINDS),
        ("within", (c_uint64 * (len(BOUNDS) + 1)) * _KINDS),
        ("seconds", c_double * _KINDS),
    )


class _Head(ctypes.Structure):
    """The part of `batch` that is shared: counters, and what was taken last."""

    _fields_ = (
        ("counters", _Counters),
        ("lengths", c_uint32 * BATCH),
        ("name_lengths", c_uint32 * BATCH),
        ("names", (ctypes.c_uint8 * ADDRESS) * BATCH),
        ("requests", (ctypes.c_uint8 * _REQUEST) * BATCH),
    )


_OCTETS = (ctypes.c_char_p, c_uint32)

_SIGNATURES = {
    "batch_abi": (c_int32, ()),
    "batch_open": (c_void_p, (c_int32, c_uint32, c_uint32, c_uint64, c_uint64)),
    "batch_close": (None, (c_void_p,)),
    "batch_turn": (c_int32, (c_void_p, c_double)),
    "batch_patience": (None, (c_void_p, c_double)),
    "batch_take": (c_int32, (c_void_p, c_double)),
    "batch_start": (c_int32, (c_void_p, c_double, ctypes.POINTER(c_double))),
    "batch_stand_in": (None, (c_void_p,)),
    "batch_stop": (None, (c_void_p,)),
    "batch_send": (None, (c_void_p, ctypes.c_char_p, c_uint32, ctypes.c_char_p, c_uint32)),
    "batch_allow": (None, (c_void_p, ctypes.c_char_p, c_uint32)),
    "batch_forget_allowed": (None, (c_void_p,)),
    "batch_find": (c_int32, (c_void_p, ctypes.c_char_p, c_uint32)),
    "batch_drop": (None, (c_void_p, c_int32)),
    "batch_clear": (None, (c_void_p,)),
    "batch_put": (
        c_int32,
        (c_void_p, c_int32, *_OCTETS, *_OCTETS, c_uint32, *[c_double] * 3, *[c_uint32] * 2),
    ),
}


class CompiledBatch(InTurns):
    """See `fastvhost.faces.batch.Batch`.

    Raises:
        NotCompiledError: see there.
    """

    form: ClassVar = "compiled"

    def __init__(self, sock: socket.socket, id_at: int, places: int) -> None:
        self._library = load_library(LIBRARY, _SIGNATURES, version="batch_abi", wanted=_ABI)
        seeds = secrets.randbits(64), secrets.randbits(64)
        self._batch: int | None = self._library.batch_open(sock.fileno(), id_at, places, *seeds)
        if not self._batch:
            raise MemoryError("no room for a table of replies")
        self._head = _Head.from_address(self._batch)
        octets = memoryview((ctypes.c_uint8 * ctypes.sizeof(_Head)).from_address(self._batch)).cast("B")
        self._requests = octets[_Head.requests.offset :]
        self._names = octets[_Head.names.offset :]
        repeats = octets[_Counters.repeated.offset :][: _Counters.repeated.size]
        self._repeats = repeats.cast("Q")  # read in every turn: attributes of ctypes cost ten times as much
        self.readable = sock.fileno()
        self.full = False

    @property
    def entries(self) -> "CompiledBatch":
        """See `Batch`."""
        return self

    def turn(self, now: float) -> list[Left]:
        """See `Batch`."""
        self.full = self._library.batch_turn(self._batch, now) == BATCH
        return self._take(now)

    def _take(self, now: float) -> list[Left]:
        count = self._library.batch_take(self._batch, now)
        if not count:
            return []
        head, requests, names = self._head, self._requests, self._names
        lengths, name_lengths = head.lengths[:count], head.name_lengths[:count]
        return [
            (bytes(requests[request : request + length]), bytes(names[name : name + name_length]) or None)
            for request, length, name, name_length in zip(
                _REQUESTS, lengths, _NAMES, name_lengths, strict=False
            )
        ]

    def send(self, octets: bytes, client: Client) -> None:
        """See `Batch`."""
        self._library.batch_send(self._batch, octets, len(octets), client, len(client))

    def address(self, client: Client) -> Address:
        """See `Batch`."""
        return ip_address(address_octets(client))

    def host(self, client: Client) -> bytes:
        """See `Batch`."""
        return address_octets(client)

    def allow(self, client: Client) -> None:
        """See `Batch`."""
        self._library.batch_allow(self._batch, client, len(client))

    def forget_allowed(self) -> None:
        """See `Batch`."""
        self._library.batch_forget_allowed(self._batch)

    def counters(self) -> DatagramCounters:
        """See `Batch`."""
        counts = self._head.counters
        return DatagramCounters(
            received=counts.received,
            sent=counts.sent + counts.sent_by_owner,
            receive_errors=counts.receive_errors,
            send_errors=counts.send_errors + counts.send_errors_of_owner,
            overrun=counts.overrun,
        )

    def repeats(self) -> Sequence[int]:
        """See `Batch`."""
        return self._repeats.tolist()

    def repeated(self, kind: VerdictKind) -> int:
        """See `Batch`."""
        return int(self._head.counters.repeated[kind])

    def put(self, number: int, repeated: Repeated) -> bool:
        """See `Entries`."""
        first, second, *_ = (*repeated.ttl_at, 0, 0)
        kept = self._library.batch_put(
            self._batch,
            number,
            repeated.key,
            len(repeated.key),
            repeated.reply,
            len(repeated.reply),
            repeated.kind,
            repeated.until,
            repeated.look_at,
            repeated.expires,
            first,
            second,
        )
        return bool(kept)

    def drop(self, number: int) -> None:
        """See `Entries`."""
        self._library.batch_drop(self._batch, number)

    def clear(self) -> None:
        """See `Entries`."""
        self._library.batch_clear(self._batch)

    def find(self, key: bytes) -> int | None:
        """See `Entries`."""
        number = int(self._library.batch_find(self._batch, key, len(key)))
        return None if number < 0 else number

    def close(self) -> None:
        """See `Batch`. What comes after is of no effect."""
        batch, self._batch = self._batch, None
        if batch:
            self._library.batch_stop(batch)
            self._head = _Head.from_buffer_copy(self._head)
            self._repeats = memoryview(self._repeats.tobytes()).cast("Q")
            self._library.batch_close(batch)


class Repeater(CompiledBatch):
    """Replies are repeated by a thread of its own from `start` on, and what it leaves is taken in turns.

    At most 512 KiB of datagrams wait to be taken; what comes then is an overrun. So is what comes while the
    oldest has waited for longer than the patience, once the queue has stood for 0.1 s. The thread has a clock
    of its own, which runs like that of the event loop.
    """

    _runs = False

    def start(self, now: float) -> None:
        """See `Batch`. Where no thread can be had, turns go on as without."""
        readable = self._library.batch_start(self._batch, now, (c_double * len(BOUNDS))(*BOUNDS))
        if readable >= 0:
            self.readable = readable
            self._runs = True

    def turn(self, now: float) -> list[Left]:
        """See `Batch`."""
        if not self._runs:
            return super().turn(now)
        rest = self._take(now)
        self.full = len(rest) == BATCH
        return rest

    def set_patience(self, seconds: float) -> None:
        """See `Batch`."""
        self._library.batch_patience(self._batch, seconds)

    def stand_in(self) -> None:
        """See `Batch`."""
        self._library.batch_stand_in(self._batch)

    def repeats(self) -> Sequence[int]:
        """See `Batch`."""
        return () if self._runs else super().repeats()

    def stop(self) -> list[Left]:
        """See `Batch`."""
        self._library.batch_stop(self._batch)
        rest: list[Left] = []
        while taken := self._take(0.0):
            rest += taken
        return rest

    def times(self) -> Mapping[VerdictKind, Histogram]:
        """See `Batch`."""
        counts = self._head.counters
        return {
            kind: Histogram(counts=tuple(counts.within[kind]), total=counts.seconds[kind])
            for kind in VerdictKind
        }
