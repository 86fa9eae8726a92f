"""recvmmsg and sendmmsg: message headers over one buffer, prebuilt; one system call moves many datagrams.

Source: recvmmsg(2), sendmmsg(2); Linux and FreeBSD lay `struct mmsghdr` out alike.
"""

import ctypes
import errno
import os
from collections.abc import Sequence

__all__ = ["ADDRESS", "Messages", "SystemCalls"]

ADDRESS = 28
"""Octets of the longest socket address, `struct sockaddr_in6`."""


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
    """`struct mmsghdr`."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Messages:
    """Headers for `len(lengths)` datagrams, one for each `stride` octets of a buffer.

    `names`, where it is given, has `ADDRESS` octets for the socket address of each.
    """

    def __init__(
        self, octets: bytearray, stride: int, lengths: Sequence[int], *, names: bytearray | None = None
    ) -> None:
        count = len(lengths)
        self._octets = (ctypes.c_char * len(octets)).from_buffer(octets)
        self._names = None if names is None else (ctypes.c_char * len(names)).from_buffer(names)
        start = ctypes.addressof(self._octets)
        first_name = None if self._names is None else ctypes.addressof(self._names)
        self._vectors = (_Vector * count)(
            *(_Vector(start + number * stride, length) for number, length in enumerate(lengths))
        )
        first_vector = ctypes.addressof(self._vectors)
        headers = (
            _Header(
                name=None if first_name is None else first_name + number * ADDRESS,
                name_length=0 if first_name is None else ADDRESS,
                vectors=first_vector + number * ctypes.sizeof(_Vector),
                vector_count=1,
            )
            for number in range(count)
        )
        self._messages = (_Message * count)(*(_Message(header) for header in headers))
        self._start = ctypes.addressof(self._messages)
        word = ctypes.sizeof(ctypes.c_uint)
        per_message = ctypes.sizeof(_Message) // word
        words = memoryview(self._messages).cast("B").cast("I")
        self.received = words[_Message.length.offset // word :: per_message]
        """Octets of each, as the kernel noted them."""
        self.name_lengths = words[_Header.name_length.offset // word :: per_message]
        """Octets of each socket address; the kernel notes them, and has to be told anew each time."""
        longs = memoryview(self._vectors).cast("B").cast("L")
        self.lengths = longs[1::2]
        """Octets to send of each, or that there is room for."""

    def at(self, number: int) -> ctypes.c_void_p:
        """The address of message `number`."""
        return ctypes.c_void_p(self._start + number * ctypes.sizeof(_Message))


class SystemCalls:
    """The two system calls of this C library.

    Raises:
        AttributeError: it has not got them.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._receive = libc.recvmmsg
        self._send = libc.sendmmsg

    def receive(self, fd: int, messages: Messages, count: int, flags: int) -> int:
        """Fill at most `count` messages and return how many; 0 when none is there. Raises OSError."""
        return _checked(self._receive(fd, messages.at(0), count, flags, None))

    def send(self, fd: int, messages: Messages, first: int, count: int, flags: int) -> int:
        """Send `count` messages from number `first` on; return how many went. Raises OSError."""
        return _checked(self._send(fd, messages.at(first), count, flags))


def _checked(returned: int) -> int:
    if returned >= 0:
        return returned
    error = ctypes.get_errno()
    if error in (errno.EAGAIN, errno.EINTR):
        return 0
    raise OSError(error, os.strerror(error))
