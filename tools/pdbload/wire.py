"""Frames out and replies in, many at a time: sendmmsg and recvmmsg where the C library has them.

Both wires fill the same buffer, so that what is made of the replies is one code.
"""

import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from fastvhost.config import Endpoint
from fastvhost.faces.mmsg import Messages, SystemCalls
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


class BatchedWire(PlainWire):
    """Up to `BATCH` datagrams a system call; the headers of all messages are prebuilt as well."""

    def __init__(self, sock: socket.socket, ring: RequestRing) -> None:
        super().__init__(sock, ring)
        self._calls = SystemCalls()
        self._fd = sock.fileno()
        self._outgoing = Messages(ring.octets, ring.stride, ring.lengths)
        self._incoming = Messages(self.replies, SLOT, [SLOT] * BATCH)

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        return self._calls.send(self._fd, self._outgoing, first, count, 0)

    def receive(self) -> list[int]:
        """See `Wire`."""
        received = self._calls.receive(self._fd, self._incoming, BATCH, socket.MSG_DONTWAIT)
        return self._incoming.received[:received].tolist()


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
