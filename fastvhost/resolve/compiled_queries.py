"""Queries in compiled code, `queries.c`, where the installation could compile it.

`python tools/compile_batch.py` compiles it beside this file; building a wheel does the same.
"""

import ctypes
import os
import socket
from ctypes import c_char_p, c_int32, c_int64, c_uint8, c_uint32, c_void_p
from pathlib import Path
from struct import Struct
from typing import Any

from fastvhost.compiled_library import load_library
from fastvhost.config import Endpoint
from fastvhost.resolve.exchange import Sent
from fastvhost.resolve.queries import BATCH, UNUSUAL, Came

__all__ = ["LIBRARY", "CompiledQueries", "nxdomain_ttl"]

LIBRARY = Path(__file__).with_name("libqueries.so")

_ABI = 1
"""Which `queries.c` this was written for."""

_MESSAGE = 65_535
_MOST_ADDRESSES = 64

_FAMILY = Struct("=H")
_PORT = Struct("!H")
_FLOW_OCTETS = 4
_SCOPE = Struct("=I")


class _Head(ctypes.Structure):
    """The part of `queries` that is shared: what came in the last turn."""

    _fields_ = (
        ("numbers", c_int32 * BATCH),
        ("ttls", c_int64 * BATCH),
        ("lengths", c_int32 * BATCH),
        ("came", (c_uint8 * _MESSAGE) * BATCH),
    )


_OCTETS = (c_char_p, c_uint32)

_SIGNATURES = {
    "queries_abi": (c_int32, ()),
    "queries_open": (c_void_p, ()),
    "queries_close": (None, (c_void_p,)),
    "queries_fileno": (c_int32, (c_void_p,)),
    "queries_ask": (c_int32, (c_void_p, *_OCTETS, *_OCTETS)),
    "queries_turn": (c_int32, (c_void_p,)),
    "queries_take": (c_int32, (c_void_p, c_int32)),
    "queries_nxdomain_ttl": (c_int64, (*_OCTETS, *_OCTETS)),
}


def _library() -> ctypes.PyDLL:
    return load_library(LIBRARY, _SIGNATURES, version="queries_abi", wanted=_ABI)


class CompiledQueries:
    """See `fastvhost.resolve.queries.Queries`.

    Raises:
        NotCompiledError: see there.
        OSError: no file descriptor is free.
    """

    def __init__(self) -> None:
        self._library = _library()
        self._queries: int | None = self._library.queries_open()
        if not self._queries:
            raise OSError("no room for queries")
        shared = (c_uint8 * ctypes.sizeof(_Head)).from_address(self._queries)
        octets = memoryview(shared).cast("B")
        self._numbers = _part(octets, _Head.numbers).cast("i")
        self._ttls = _part(octets, _Head.ttls).cast("q")
        self._lengths = _part(octets, _Head.lengths).cast("i")
        self._octets = octets[_Head.came.offset :]
        self._addresses: dict[Endpoint, bytes] = {}
        self._untaken: dict[int, bytes | OSError] = {}

    def fileno(self) -> int:
        """See `Queries`."""
        return int(self._library.queries_fileno(self._queries))

    def ask(self, server: Endpoint, host: str) -> int | None:
        """See `Queries`."""
        address = self._addresses.get(server) or self._address(server)
        name = host.encode()
        number: int = self._library.queries_ask(self._queries, address, len(address), name, len(name))
        return number if number >= 0 else None

    def turn(self) -> list[Came]:
        """See `Queries`."""
        count = self._library.queries_turn(self._queries)
        numbers, ttls = self._numbers[:count].tolist(), self._ttls[:count].tolist()
        lengths = self._lengths[:count].tolist()
        if UNUSUAL in ttls:
            for slot, ttl in enumerate(ttls):
                if ttl == UNUSUAL:
                    self._untaken[numbers[slot]] = self._unusual(slot, lengths[slot])
        return list(map(Came, numbers, ttls, lengths))

    def take(self, number: int) -> Sent:
        """See `Queries`."""
        message_id = self._library.queries_take(self._queries, number)
        sent = Sent(socket.socket(fileno=number), message_id)
        sent.sock.setblocking(False)
        sent.came = self._untaken.pop(number, None)
        return sent

    def close(self) -> None:
        """See `Queries`."""
        self._library.queries_close(self._queries)
        self._queries = None

    def _unusual(self, slot: int, length: int) -> bytes | OSError:
        if length < 0:
            return OSError(-length, os.strerror(-length))
        start = slot * _MESSAGE
        return bytes(self._octets[start : start + length])

    def _address(self, server: Endpoint) -> bytes:
        """A `struct sockaddr`, empty where there is none for `server`."""
        if len(self._addresses) >= _MOST_ADDRESSES:
            self._addresses.clear()
        self._addresses[server] = address = _sockaddr(server)
        return address


def _part(octets: memoryview, field: Any) -> memoryview:
    return octets[field.offset :][: field.size]


def _sockaddr(server: Endpoint) -> bytes:
    """A `struct sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7))."""
    try:
        found = socket.getaddrinfo(*server, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return b""
    family, *_, name = found[0]
    scope = name[3] if len(name) == 4 else 0
    head = _FAMILY.pack(family) + _PORT.pack(server.port)
    if family == socket.AF_INET:
        return head + socket.inet_aton(server.address) + bytes(8)
    octets = socket.inet_pton(socket.AF_INET6, server.address.partition("%")[0])
    return head + bytes(_FLOW_OCTETS) + octets + _SCOPE.pack(scope)


def nxdomain_ttl(section: bytes, octets: bytes) -> int | None:
    """`fastvhost.resolve.wire.nxdomain_ttl` for a question of these octets, compiled.

    Raises:
        NotCompiledError: see there.
    """
    ttl = int(_library().queries_nxdomain_ttl(section, len(section), octets, len(octets)))
    return None if ttl == UNUSUAL else ttl
