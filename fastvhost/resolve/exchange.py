"""One question to one server: a datagram out and the right one back, or the same over TCP.

Knows sockets and nothing of retries, budgets or what an answer means. Time-outs are the caller's.

Source: RFC 5452 (a fresh port and id for every query), RFC 7766 (TCP).
"""

import secrets
import socket
from collections.abc import Callable

import trio

from fastvhost.config import Endpoint

__all__ = ["LocalError", "exchange_tcp", "exchange_udp"]

_MAX_MESSAGE = 65_535

Accepts = Callable[[bytes, int], bool]
"""Whether octets are the reply to the query that was sent with this id."""


class LocalError(OSError):
    """No socket could be had (EMFILE, ENOBUFS …): no server is to blame."""


async def exchange_udp(
    server: Endpoint, query: Callable[[int], bytes], accepts: Accepts, stray: Callable[[], None]
) -> bytes:
    """Send `query(id)` and wait for the datagram that `accepts`; each other one is a `stray`.

    The socket is connected: the kernel picks a random port, passes only what comes from the server's
    address and port, and tells at once when that port is closed.

    Raises:
        LocalError: no socket.
        OSError: the server, or the way to it, refused.
    """
    message_id = secrets.randbelow(0x10000)
    with _socket(server, socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        sock.send(query(message_id))
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                octets = sock.recv(_MAX_MESSAGE)
            except BlockingIOError:  # the datagram failed its checksum
                continue
            if accepts(octets, message_id):
                return octets
            stray()


async def exchange_tcp(
    server: Endpoint, query: Callable[[int], bytes], accepts: Accepts, *, at_most: int
) -> bytes:
    """The same over a connection of its own; of a reply over `at_most` octets one more than that is read.

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
            reply = await _receive_exactly(stream, min(length, at_most + 1))
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error.__cause__ or error)) from error
    if not accepts(reply, message_id):
        raise ConnectionAbortedError("another reply than the one asked for")
    return reply


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
