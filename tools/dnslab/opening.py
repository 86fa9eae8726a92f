"""Opening a lab: sockets on one port, the tasks that serve them, and their end."""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterable

import trio

from tools.dnslab.errors import AddressError
from tools.dnslab.lab import Lab
from tools.dnslab.tcp import serve_tcp
from tools.dnslab.udp import serve_udp
from tools.dnslab.zones import Unknown, Zone

__all__ = ["open_lab"]

ATTEMPTS = 50
"""Free UDP ports tried before one is found that is free over TCP too."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Octets asked of the kernel, which grants at most `net.core.rmem_max`: a flood must not be lost here."""
BACKLOG = 512


@contextlib.asynccontextmanager
async def open_lab(
    zones: Iterable[Zone], *, host: str = "127.0.0.1", port: int = 0, unknown: Unknown = "refused"
) -> AsyncIterator[Lab]:
    """Serve zones over UDP and TCP on one port while the block runs.

    Args:
        zones: what `parse_zone` and `read_zone` return.
        host: a literal IPv4 or IPv6 address; loopback, unless you mean otherwise.
        port: 0 for one that is free over both.
        unknown: what is said of a name outside every zone; see `build_namespace`.

    Yields a `Lab` that serves already. On leaving, delayed replies are dropped, connections closed. An error
    of the block arrives in an `ExceptionGroup`, as from any nursery.

    Raises:
        AddressError: the address is no literal one, or cannot be bound.
    """
    with contextlib.ExitStack() as sockets:
        udp, tcp, stray = _bind(host, port, sockets)
        lab = Lab(zones, address=udp.getsockname()[:2], unknown=unknown)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(tcp))
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp, lab, udp, stray, nursery)
            nursery.start_soon(serve_tcp, lab, listener, nursery)
            try:
                yield lab
            finally:
                nursery.cancel_scope.cancel()


def _bind(
    host: str, port: int, sockets: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket, socket.socket]:
    """A UDP socket, a TCP one listening on its port, a UDP one on another port; `sockets` closes them."""
    try:
        # Only literals: a name would be asked in DNS, and resolve to more than one address.
        family = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0][0]
    except (OSError, OverflowError) as error:
        raise AddressError(f"{host}:{port} is not an address to bind: {error}") from error
    try:
        for attempt in range(1, ATTEMPTS + 1):
            with contextlib.ExitStack() as pair:
                udp = pair.enter_context(_bound(family, socket.SOCK_DGRAM, host, port))
                try:
                    tcp = pair.enter_context(_bound(family, socket.SOCK_STREAM, host, udp.getsockname()[1]))
                    tcp.listen(BACKLOG)
                except OSError as error:
                    if port or error.errno != errno.EADDRINUSE or attempt == ATTEMPTS:
                        raise
                    continue
                stray = pair.enter_context(_bound(family, socket.SOCK_DGRAM, host, 0))
                sockets.push(pair.pop_all())
                return udp, tcp, stray
    except (OSError, OverflowError) as error:
        raise AddressError(f"{host}:{port} cannot be bound: {error}") from error
    raise AssertionError("the last attempt returns or raises")


def _bound(family: int, kind: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        else:
            # Or a port just left would stay taken for a minute by connections in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
