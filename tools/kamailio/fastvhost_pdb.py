"""Asks fastvhost over PDB from a Kamailio script in Python (KEMI); this one file, standard library only.

    client = Client([("127.0.0.1", 5380)])      # in child_init(rank), rank > 0: one for each worker
    client.verdict("example.com", "198.51.100.7")      # HOSTED, NOT_HOSTED, ..., or None: no answer

Source: docs/protocol.md, "PDB".
"""

from __future__ import annotations

import secrets
import select
import socket
from contextlib import suppress
from time import monotonic  # noqa: TID251 - runs in Kamailio, where there is no Trio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "HOSTED",
    "LIMITED",
    "MALFORMED",
    "NOT_HOSTED",
    "PENDING",
    "UNDETERMINED",
    "Client",
]

HOSTED, NOT_HOSTED, UNDETERMINED, PENDING, LIMITED, MALFORMED = range(1, 7)

_MAX_NAME = 246
"""Octets of the longest name that a PDB frame has room for."""

_REQUEST = b"\x01\x00\x00"
_REPLY = b"\x01\x01\x01"
_READABLE = select.POLLIN | select.POLLERR | select.POLLHUP


class Client:
    """One worker's sockets, one for each server; not to be shared between processes."""

    def __init__(self, servers: Sequence[tuple[str, int]] = (("127.0.0.1", 5380),), timeout: float = 0.05):
        """`servers`: IPv4 or IPv6 address and port, all asked at once; `timeout`: seconds, for all of them.

        Raises:
            OSError: a socket cannot be made, or an address is none.
        """
        self._timeout = timeout
        self._id = secrets.randbelow(0x10000)
        self._poll = select.poll()
        self._sockets: dict[int, socket.socket] = {}
        for address, port in servers:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            server = socket.socket(family, socket.SOCK_DGRAM)
            self._sockets[server.fileno()] = server
            server.setblocking(False)
            # A connected socket hears of a closed port at once, and only from its server.
            server.connect((address, port))

    def verdict(self, host: str, source: str = "") -> int | None:
        """The verdict on `host`, asked on the budget of `source`, the SIP peer's address.

        The first answer of any server counts. None: no server answered within the time-out, or none is
        there. Never raises on account of what it is asked or what comes back, and returns at most a
        millisecond after the time-out.
        """
        name = (f"{host} {source}" if source else host).encode("utf-8", "backslashreplace")
        if not host or any(character <= " " for character in host) or len(name) > _MAX_NAME:
            return MALFORMED
        self._id = (self._id + 1) & 0xFFFF
        question = self._id.to_bytes(2, "big") + name + b"\0"
        request = b"%b%c%b" % (_REQUEST, len(question) + 4, question)
        deadline = monotonic() + self._timeout
        waiting = {number for number, server in self._sockets.items() if _send(server, request)}
        for number in waiting:
            self._poll.register(number, _READABLE)
        try:
            return self._receive(question, waiting, deadline)
        finally:
            for number in waiting:
                self._poll.unregister(number)

    def close(self) -> None:
        for server in self._sockets.values():
            server.close()

    def _receive(self, question: bytes, waiting: set[int], deadline: float) -> int | None:
        """Wait for the answer to `question`; what answers an earlier one is passed over."""
        start = b"%b%c%b" % (_REPLY, len(question) + 6, question)
        heard = set(waiting)
        while heard:
            left = deadline - monotonic()
            if left <= 0:
                break
            for number, _ in self._poll.poll(left * 1000):
                try:
                    frame = self._sockets[number].recv(512)
                except BlockingIOError:
                    continue
                except OSError:
                    # Nobody listens there: do not wait for it.
                    heard.discard(number)
                    continue
                if len(frame) == len(start) + 2 and frame.startswith(start):
                    value = int.from_bytes(frame[-2:], "big")
                    if HOSTED <= value <= MALFORMED:
                        return value
        return None


def _send(server: socket.socket, request: bytes) -> bool:
    """Whether the request went out. The first error may be what is left of an earlier request."""
    for _ in range(2):
        with suppress(OSError):
            server.send(request)
            return True
    return False
