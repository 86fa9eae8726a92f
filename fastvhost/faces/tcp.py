"""Listening for connections: a bound socket, and what may go wrong with taking one."""

import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack

import trio

from fastvhost.config import Endpoint
from fastvhost.errors import ListenError

__all__ = ["MOST_HTTP_CONNECTIONS", "accept", "bind_tcp", "take_tcp"]

MOST_HTTP_CONNECTIONS = 32
"""Of the admin face; a browser opens six. Not in `http`, which with h11 takes 15 ms to load: who counts
descriptors at start needs it where there is no such face."""

_BACKLOG = 128
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_SECONDS = 0.1


def bind_tcp(endpoint: Endpoint) -> socket.socket:
    """A non-blocking socket that listens on `endpoint`; `::` takes IPv4 too.

    Raises:
        ListenError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    with ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, endpoint.address != "::")
            sock.bind(endpoint)
            sock.listen(_BACKLOG)
        except OSError as error:
            raise ListenError(f"cannot listen on TCP {endpoint}: {error.strerror or error}") from error
        undo.pop_all()
        return sock


def take_tcp(sock: socket.socket) -> socket.socket:
    """A socket that somebody else has opened, made like those of `bind_tcp`."""
    sock.setblocking(False)
    sock.listen(_BACKLOG)
    return sock


async def accept(sock: socket.socket, failed: Callable[[], None]) -> tuple[socket.socket, str]:
    """The next connection and its client's address; `failed` is told of each that could not be taken."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            taken, client = sock.accept()
        except BlockingIOError:
            continue
        except OSError as error:
            failed()
            if error.errno in _EXHAUSTED:  # the client stays in the queue: look again in a while
                await trio.sleep(_EXHAUSTED_SECONDS)
        else:
            return taken, str(client[0])
