"""Frames out and replies in, many at a time: sendmmsg and recvmmsg where the C library has them.

Replies are received into a buffer with a slot for each frame of the ring. Both wires fill it alike, so that
what is made of the replies is one code.
"""

import ctypes
import errno
import os
import select
import socket
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from fastvhost.config import Endpoint
from fastvhost.faces.mmsg import Messages, SystemCalls
from tools.load.ring import RequestRing

__all__ = ["BATCH", "BatchedWire", "PlainWire", "Wire", "open_wire"]

BATCH = 64
"""Most datagrams of one call."""

_SOCKET_BUFFER = 4 * 1024 * 1024


class Wire(Protocol):
    """A connected socket; `replies` has a slot of `slot` octets for the reply to each frame of the ring."""

    replies: bytearray
    slot: int

    def send(self, first: int, count: int) -> int:
        """Send at most `count` frames of the ring from number `first` on; return how many went."""
        ...

    def receive(self, first: int, most: int) -> memoryview:
        """Take what is there, at most `most` datagrams, into the slots from `first` on.

        Returns the length in octets of each, as native unsigned integers.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Return when a reply is there, or after `seconds`."""
        ...


class PlainWire:
    """One system call a datagram; on every platform."""

    def __init__(self, sock: socket.socket, ring: RequestRing, slot: int) -> None:
        self._sock = sock
        self._stride = ring.stride
        self._lengths = ring.lengths
        self._frames = memoryview(ring.octets)
        self.slot = slot
        self.replies = bytearray(len(ring) * slot)
        self._slots = memoryview(self.replies)

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        for number in range(first, first + count):
            at = number * self._stride
            self._sock.send(self._frames[at : at + self._lengths[number]])
        return count

    def receive(self, first: int, most: int) -> memoryview:
        """See `Wire`."""
        lengths = array("I")
        try:
            for at in range(first * self.slot, (first + most) * self.slot, self.slot):
                slot = self._slots[at : at + self.slot]
                lengths.append(self._sock.recv_into(slot, self.slot, socket.MSG_DONTWAIT))
        except BlockingIOError:
            pass
        return memoryview(lengths)

    def wait(self, seconds: float) -> None:
        """See `Wire`."""
        select.select([self._sock], [], [], seconds)


class BatchedWire(PlainWire):
    """Up to `BATCH` datagrams a system call; the headers of all messages are prebuilt as well."""

    def __init__(self, sock: socket.socket, ring: RequestRing, slot: int) -> None:
        super().__init__(sock, ring, slot)
        self._calls = SystemCalls()
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._fd = sock.fileno()
        self._outgoing = Messages(ring.octets, ring.stride, ring.lengths)
        self._incoming = Messages(self.replies, slot, [slot] * len(ring))

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        return self._calls.send(self._fd, self._outgoing, first, count, 0)

    def receive(self, first: int, most: int) -> memoryview:
        """See `Wire`."""
        # Unlike `SystemCalls.receive` not always into the first messages.
        received = self._recvmmsg(self._fd, self._incoming.at(first), most, socket.MSG_DONTWAIT, None)
        if received < 0:
            error = ctypes.get_errno()
            if error not in (errno.EAGAIN, errno.EINTR):
                raise OSError(error, os.strerror(error))
            received = 0
        return self._incoming.received[first : first + received]


@contextmanager
def open_wire(
    server: Endpoint, ring: RequestRing, slot: int, *, batched: bool | None = None
) -> Iterator[Wire]:
    """A wire to `server` for the length of the block; batched where that is possible, unless told.

    `slot` is how many octets of a reply are received.
    """
    if batched is None:
        batched = sys.platform == "linux"
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        sock.connect(server)
        yield (BatchedWire if batched else PlainWire)(sock, ring, slot)
