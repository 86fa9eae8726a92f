"""Frames out and replies in, many at a time, where the kernel takes them so.

One system call each is the plainest; sendmmsg and recvmmsg move a batch; and a batch of frames of one length
crosses the kernel's network stack as one datagram, cut up in front of the receiver (UDP_SEGMENT, udp(7)).
That costs a third, so that the sender outruns whatever answers each by itself.

Replies are received into a buffer with a slot for each frame of the ring. Both wires fill it alike, so that
what is made of the replies is one code.
"""

import ctypes
import errno
import os
import socket
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from fastvhost.config import Endpoint
from fastvhost.faces.mmsg import Messages, SystemCalls
from tools.load.ring import RequestRing

__all__ = ["BATCH", "BatchedWire", "PlainWire", "SegmentedWire", "Wire", "open_wire"]

BATCH = 64
"""Most datagrams of one call; no more segments than Linux 4.18 cuts a datagram into."""

_UDP_SEGMENT = 103
"""Linux, include/uapi/linux/udp.h."""

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

    def fileno(self) -> int:
        """A descriptor that is readable while a reply is there."""
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

    def fileno(self) -> int:
        """See `Wire`."""
        return self._sock.fileno()


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


class SegmentedWire(BatchedWire):
    """Up to `BATCH` frames of one length cross the kernel as one datagram, which is cut up at its end."""

    def __init__(self, sock: socket.socket, ring: RequestRing, slot: int) -> None:
        super().__init__(sock, ring, slot)
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, ring.stride)

    def send(self, first: int, count: int) -> int:
        """See `Wire`."""
        self._sock.send(self._frames[first * self._stride : (first + count) * self._stride])
        return count


@contextmanager
def open_wire(
    server: Endpoint, ring: RequestRing, slot: int, *, batched: bool | None = None
) -> Iterator[Wire]:
    """A wire to `server` for the length of the block; of the quickest form for this ring, unless told.

    `slot` is how many octets of a reply are received.
    """
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        sock.connect(server)
        given = BatchedWire if batched else PlainWire
        form = _quickest(sock, ring) if batched is None else given
        yield form(sock, ring, slot)


def _quickest(sock: socket.socket, ring: RequestRing) -> type[PlainWire]:
    if sys.platform != "linux":
        return PlainWire
    try:
        sock.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
    except OSError:  # Linux before 4.18
        return BatchedWire
    return SegmentedWire if set(ring.lengths) == {ring.stride} else BatchedWire
