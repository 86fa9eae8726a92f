"""One question to one server: a datagram out and the right one back, or the same over TCP.

Knows sockets and nothing of retries, budgets or what an answer means. Time-outs are the caller's.

Source: RFC 5452 (a fresh port and id for every query; section 9.3 for what to do when somebody guesses),
RFC 7766 (TCP).
"""

import secrets
import socket
from collections.abc import Callable
from enum import Enum

import trio

from fastvhost.config import Endpoint

__all__ = ["MAX_STRAYS", "Doubt", "LocalError", "Sent", "exchange_tcp", "receive_udp", "send_udp"]

_MAX_MESSAGE = 65_535

MAX_STRAYS = 100
"""Datagrams that are no reply, read for one query: enough for any accident, and no flood takes more time."""

Accepts = Callable[[bytes, int], bool]
"""Whether octets are the reply to the query that was sent with this id."""


class Doubt(Enum):
    """Why no datagram is to be believed any more."""

    NEAR_MISS = "near miss"
    """The right question with another id, or the right id with another question: somebody guesses."""
    STRAYS = "strays"
    """Over `MAX_STRAYS` of them."""


class LocalError(OSError):
    """No socket could be had (EMFILE, ENOBUFS …): no server is to blame."""


class Sent:
    """A query that is under way; whoever has it closes its socket."""

    __slots__ = ("came", "message_id", "sock")

    def __init__(self, sock: socket.socket, message_id: int) -> None:
        self.sock = sock
        self.message_id = message_id
        self.came: bytes | OSError | None = None
        """What has been received and not looked at yet."""

    def receive(self) -> bytes | OSError | None:
        """The next datagram, or what became of it; None when there is none."""
        came, self.came = self.came, None
        if came is not None:
            return came
        try:
            return self.sock.recv(_MAX_MESSAGE)
        except BlockingIOError:
            return None
        except OSError as error:
            return error


def send_udp(server: Endpoint, query: Callable[[int], bytes]) -> Sent:
    """Send `query(id)`.

    The socket is connected: the kernel picks a random port, passes only what comes from the server's
    address and port, and tells at once when that port is closed.

    Raises:
        LocalError: no socket.
        OSError: the server, or the way to it, refused.
    """
    message_id = secrets.randbelow(0x10000)
    sock = _socket(server, socket.SOCK_DGRAM)
    try:
        sock.connect(server)
        sock.send(query(message_id))
    except OSError:
        sock.close()
        raise
    return Sent(sock, message_id)


async def receive_udp(sent: Sent, accepts: Accepts, stray: Callable[[], None]) -> bytes | Doubt:
    """Wait for the datagram that `accepts`; each other one is a `stray`. The socket is closed at the end.

    A forger who has found the port needs one more guess only, so at the first near miss it is over
    (RFC 5452 section 9.3; BIND does the same): the question is then to be asked over TCP.

    Raises:
        OSError: the server, or the way to it, refused.
    """
    with sent.sock:
        for _ in range(MAX_STRAYS):
            if sent.came is None:
                await trio.lowlevel.wait_readable(sent.sock)
            match sent.receive():
                case None:  # the datagram failed its checksum
                    stray()
                case OSError() as error:
                    raise error
                case octets:
                    if accepts(octets, sent.message_id):
                        return octets
                    stray()
                    if _is_near_miss(octets, sent.message_id, accepts):
                        return Doubt.NEAR_MISS
    return Doubt.STRAYS


async def exchange_tcp(
    server: Endpoint, query: Callable[[int], bytes], accepts: Accepts, admits: Callable[[int], bool]
) -> bytes | None:
    """The same over a connection of its own; None, and the reply unread, unless `admits(its length)`.

    Raises:
        LocalError: no socket.
        OSError: no connection, or it ended before the reply, or something else came back.
    """
    message_id = secrets.randbelow(0x10000)
    sock = trio.socket.from_stdlib_socket(_socket(server, socket.SOCK_STREAM))
    with sock:
        await sock.connect(server)
        stream = trio.SocketStream(sock)
        octets = query(message_id)
        try:
            await stream.send_all(len(octets).to_bytes(2, "big") + octets)
            length = int.from_bytes(await _receive_exactly(stream, 2), "big")
            # Asked before reading, since many replies may be read side by side.
            if not admits(length):
                return None
            reply = await _receive_exactly(stream, length)
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error.__cause__ or error)) from error
    if not accepts(reply, message_id):
        raise ConnectionAbortedError("another reply than the one asked for")
    return reply


def _is_near_miss(octets: bytes, message_id: int, accepts: Accepts) -> bool:
    its_id = int.from_bytes(octets[:2], "big")
    return its_id == message_id or accepts(octets, its_id)


def _socket(server: Endpoint, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    try:
        return socket.socket(family, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise LocalError(error.errno, error.strerror) from error


async def _receive_exactly(stream: trio.SocketStream, length: int) -> bytes:
    octets = bytearray()
    while len(octets) < length:
        more = await stream.receive_some(length - len(octets))
        if not more:
            raise ConnectionResetError("the connection ended before the reply")
        octets += more
    return bytes(octets)
