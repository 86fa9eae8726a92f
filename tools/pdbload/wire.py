"""Frames out and replies in, many at a time: sendmmsg and recvmmsg where the C library has them.

Both wires fill the same buffer, so that what is made of the replies is one code.
"""

import ctypes
import errno
import os
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from fastvhost.config import Endpoint
from tools.pdbload.ring import RequestRing

__all__ = ["BATCH", "SLOT", "BatchedWire", "PlainWire", "Wire", "open_wire"]

BATCH = 64
"""Most datagrams of one call."""

SLOT = 256
"""Octets between two replies in the buffer; a PDB frame has at most 255."""

_SOCKET_BUFFER = 4 * 1024 * 1024


class Wire(Protocol):
    """A connected socket; `replies` holds the datagrams of the last `receive`, one a slot."""

    replies: bytearray

    def send(self, first: int, count: int) -> int:
        """Send at most `count` frames of the ring from number `first` on; return how many went."""
        ...

    def receive(self) -> list[int]:
        """Take what is there, at most `BATCH`; return the length in octets of each datagram."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when a reply is there, or after `seconds`."""
        ...


class PlainWire:
    """One system call a datagram; on every platform."""

    def __init__(self, sock: socket.socket, ring: RequestRing) -> None:
        self._sock = sock
        self._stride = ring.stride
        self._lengths = ring.lengths
        self._frames = memoryview(ring.octets)
        self.replies = bytearray(BATCH * SLOT)
        self._slots = [memoryview(self.replies)[at : at + SLOT] for at in range(0, BATCH * SLOT, SLOT)]

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        for number in range(first, first + count):
            at = number * self._stride
            self._sock.send(self._frames[at : at + self._lengths[number]])
        return count

    def receive(self) -> list[int]:
        """See `Wire`."""
        lengths: list[int] = []
        try:
            for slot in self._slots:
                lengths.append(self._sock.recv_into(slot, SLOT, socket.MSG_DONTWAIT))  # noqa: PERF401
        except BlockingIOError:
            pass
        return lengths

    def wait(self, seconds: float) -> None:
        """See `Wire`."""
        select.select([self._sock], [], [], seconds)


class _Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`struct mmsghdr`, the same on Linux and FreeBSD."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class _Messages:
    """An array of message headers over a buffer, one for each `stride` octets of it."""

    def __init__(self, octets: bytearray, stride: int, lengths: Sequence[int]) -> None:
        self._octets = (ctypes.c_char * len(octets)).from_buffer(octets)
        start = ctypes.addressof(self._octets)
        self._vectors = (_Vector * len(lengths))(
            *(_Vector(start + number * stride, length) for number, length in enumerate(lengths))
        )
        first_vector = ctypes.addressof(self._vectors)
        headers = (
            _Header(vectors=first_vector + number * ctypes.sizeof(_Vector), vector_count=1)
            for number in range(len(lengths))
        )
        self._headers = (_Message * len(lengths))(*(_Message(header) for header in headers))
        self._start = ctypes.addressof(self._headers)
        word = ctypes.sizeof(ctypes.c_uint)
        words = memoryview(self._headers).cast("B").cast("I")
        self._lengths = words[_Message.length.offset // word :: ctypes.sizeof(_Message) // word]

    def at(self, number: int) -> ctypes.c_void_p:
        """The address of message `number`."""
        return ctypes.c_void_p(self._start + number * ctypes.sizeof(_Message))

    def lengths(self, count: int) -> list[int]:
        """The octets of each of the first `count` messages, as the kernel noted them."""
        return self._lengths[:count].tolist()


class BatchedWire(PlainWire):
    """Up to `BATCH` datagrams a system call; the headers of all messages are prebuilt as well."""

    def __init__(self, sock: socket.socket, ring: RequestRing) -> None:
        super().__init__(sock, ring)
        libc = ctypes.CDLL(None, use_errno=True)
        self._sendmmsg = libc.sendmmsg
        self._recvmmsg = libc.recvmmsg
        self._fd = sock.fileno()
        self._outgoing = _Messages(ring.octets, ring.stride, ring.lengths)
        self._incoming = _Messages(self.replies, SLOT, [SLOT] * BATCH)

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        return _checked(self._sendmmsg(self._fd, self._outgoing.at(first), count, 0))

    def receive(self) -> list[int]:
        """See `Wire`."""
        messages = self._incoming.at(0)
        received = _checked(self._recvmmsg(self._fd, messages, BATCH, socket.MSG_DONTWAIT, None))
        return self._incoming.lengths(received)


def _checked(returned: int) -> int:
    if returned >= 0:
        return returned
    error = ctypes.get_errno()
    if error == errno.EAGAIN:
        return 0
    raise OSError(error, os.strerror(error))


@contextmanager
def open_wire(server: Endpoint, ring: RequestRing, *, batched: bool | None = None) -> Iterator[Wire]:
    """A wire to `server` for the length of the block; batched where that is possible, unless told."""
    if batched is None:
        batched = sys.platform == "linux"
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        sock.connect(server)
        yield (BatchedWire if batched else PlainWire)(sock, ring)
