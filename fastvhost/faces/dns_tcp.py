"""DNS over TCP: connections, the frames on them, and what bounds both.

Knows sockets and frames, nothing of what a message means. Replies go out as they come to be known, in any
order; what cannot be sent at once holds up the reading of its own connection only.

*Source: RFC 7766 (DNS over TCP).*
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import NoReturn

import trio

from fastvhost.config import Network
from fastvhost.faces.allowed import is_allowed
from fastvhost.faces.tcp import accept

__all__ = ["MOST_CONNECTIONS", "Connection", "ConnectionCounters", "ConnectionLoop"]

MOST_CONNECTIONS = 100
"""RFC 7766 section 6.2.2 wants clients to use few."""

_MOST_OWED = 100
"""Replies that one connection may wait for before more is read from it."""

_IDLE_SECONDS = 10.0
"""From the last whole query; RFC 7766 section 6.2.3 asks for some seconds."""

_SEND_SECONDS = 10.0
"""In which a client must have read something of what waits for it."""

_MOST_UNSENT = 65_536
_READ = 16_384
"""Octets read at a time: some hundred queries, a few milliseconds."""

_LENGTH = 2
_LEAST_MESSAGE = 12
"""Octets of a header: what says that it is shorter is not DNS."""

Answerer = Callable[[bytes, "Connection", float], bytes | None]
"""Message, connection, now → the reply, or None when there is none or it comes later. Never raises."""


@dataclass(slots=True)
class ConnectionCounters:
    """Plain integers."""

    accepted: int = 0
    not_allowed: int = 0
    no_room: int = 0
    accept_errors: int = 0
    received: int = 0
    sent: int = 0
    garbage: int = 0
    slow_readers: int = 0


class Connection:
    """One client's connection.

    It is closed once nobody reads from it and nothing is owed to it: replies that are known only after the
    client has said its last, or the service has stopped to read, still go out.
    """

    def __init__(self, sock: socket.socket, counters: ConnectionCounters, closed: Callable[[], None]) -> None:
        self._sock = sock
        self._counters = counters
        self._closed = closed
        self._unread = bytearray()
        self._unsent = bytearray()
        self._owed = 0
        self._is_read = True
        self._ended = False
        self._room = trio.Event()
        self._waiting = trio.CancelScope()
        self._idle_at = trio.current_time() + _IDLE_SECONDS

    def owe(self) -> None:
        """A reply will come later, by `pay`."""
        self._owed += 1

    def pay(self, reply: bytes) -> None:
        """Send a reply that was owed; neither blocks nor raises, whatever became of the client."""
        self._owed -= 1
        self.put(reply)
        self._send()
        if self._is_read:
            self._room.set()
            if self._unsent:
                self._waiting.cancel()  # whoever reads has to send first
        elif self._owed == 0:
            self._close()

    def put(self, reply: bytes) -> None:
        """Have a reply sent with the next ones: length and message in one go (RFC 7766 section 8)."""
        self._unsent += len(reply).to_bytes(_LENGTH, "big")
        self._unsent += reply
        self._counters.sent += 1

    def next_message(self) -> bytes | None:
        """The next whole message that has been read; None: there is none, or what came is no DNS."""
        if len(self._unread) < _LENGTH:
            return None
        end = _LENGTH + int.from_bytes(self._unread[:_LENGTH], "big")
        if end < _LENGTH + _LEAST_MESSAGE:
            self._counters.garbage += 1
            self._ended = True
            return None
        if len(self._unread) < end:
            return None
        message = bytes(self._unread[_LENGTH:end])
        del self._unread[:end]
        self._idle_at = trio.current_time() + _IDLE_SECONDS
        return message

    async def room(self) -> bool:
        """Wait until another reply may be owed to it; False when its client reads too slowly."""
        if len(self._unsent) > _MOST_UNSENT and not await self._flush():
            return False
        while self._owed >= _MOST_OWED:
            self._room = trio.Event()
            await self._room.wait()
        return True

    async def read(self) -> bool:
        """Send all that waits, then wait for more to read; False when there will be no more."""
        while not self._ended and await self._flush():
            self._waiting = trio.CancelScope(deadline=self._idle_at)
            with self._waiting:
                await trio.lowlevel.wait_readable(self._sock)
            try:
                octets = self._sock.recv(_READ)
            except BlockingIOError:
                now = trio.current_time()
                if now < self._idle_at:
                    continue
                if not self._owed:
                    return False
                self._idle_at = now + _IDLE_SECONDS
            except OSError:
                return False
            else:
                self._unread += octets
                return bool(octets)
        return False

    def stop_reading(self) -> None:
        """Send what is known and close, now or when the last reply that is owed has gone out."""
        self._is_read = False
        self._send()
        if self._owed == 0:
            self._close()

    async def _flush(self) -> bool:
        """Send all that waits; False when the client does not take it in time."""
        self._send()
        while self._unsent:
            with trio.move_on_after(_SEND_SECONDS) as in_time:
                await trio.lowlevel.wait_writable(self._sock)
            if in_time.cancelled_caught:
                self._counters.slow_readers += 1
                self._unsent.clear()
                return False
            self._send()
        return True

    def _send(self) -> None:
        """Send what can be sent at once."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:  # the client is gone
                self._ended = True
                self._unsent.clear()
            else:
                del self._unsent[:sent]

    def _close(self) -> None:
        self._counters.slow_readers += bool(self._unsent)
        self._sock.close()
        self._closed()


class ConnectionLoop:
    """One listening socket and the connections that it has taken, at most `MOST_CONNECTIONS`."""

    def __init__(self, sock: socket.socket, *, allow: Sequence[Network], answer: Answerer) -> None:
        self._sock = sock
        self._allow = tuple(allow)
        self._answer = answer
        self._open = 0
        self.counters = ConnectionCounters()

    def allow(self, networks: Sequence[Network]) -> None:
        """Take connections from these clients only; those that are open stay."""
        self._allow = tuple(networks)

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        return {**asdict(self.counters), "open": self._open}

    async def serve(self) -> NoReturn:
        """Take connections and serve them until cancelled. An error on one of them ends nothing."""
        async with trio.open_nursery() as nursery:
            while True:
                sock, address = await accept(self._sock, self._count_accept_error)
                connection = self._take(sock, address)
                if connection is not None:
                    nursery.start_soon(self._converse, connection)
        raise AssertionError("the nursery ends only when cancelled")

    def _take(self, sock: socket.socket, address: str) -> Connection | None:
        """The connection, unless it is turned away at once."""
        if not is_allowed(ip_address(address), self._allow):
            self.counters.not_allowed += 1
        elif self._open >= MOST_CONNECTIONS:
            self.counters.no_room += 1
        else:
            self.counters.accepted += 1
            self._open += 1
            sock.setblocking(False)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            return Connection(sock, self.counters, self._count_closed)
        sock.close()
        return None

    def _count_accept_error(self) -> None:
        self.counters.accept_errors += 1

    def _count_closed(self) -> None:
        self._open -= 1

    async def _converse(self, connection: Connection) -> None:
        """Answer one client until it ends the connection, is idle, sends garbage or reads too slowly."""
        try:
            while await connection.read():
                while (message := connection.next_message()) is not None:
                    self.counters.received += 1
                    reply = self._answer(message, connection, trio.current_time())
                    if reply is not None:
                        connection.put(reply)
                    if not await connection.room():
                        return
        finally:
            connection.stop_reading()
