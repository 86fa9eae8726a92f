"""The datagram loop: drains a socket in batches and answers what can be answered at once.

Knows sockets and clients' addresses, nothing of what the octets mean. One `await` serves a whole batch:
Trio's own `recvfrom` and `sendto` cost several times what answering costs.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import NoReturn

import trio

from fastvhost.config import Endpoint, Network
from fastvhost.errors import ListenError
from fastvhost.host import normalised_address

__all__ = ["Answerer", "Client", "DatagramCounters", "DatagramLoop", "bind_udp"]

Client = tuple[str, int] | tuple[str, int, int, int]
"""A socket address as `recvfrom` gives it."""

Answerer = Callable[[bytes, Client, float], bytes | None]
"""Octets, client, now → the reply, or None when there is none or it comes later. Never raises."""

_BATCH = 128
"""Datagrams between two looks at the rest of the program: about a millisecond of work."""

_MAX_DATAGRAM = 4096
"""Octets that are read of a datagram; no face has a request as long."""

_RECEIVE_BUFFER = 8 * 1024 * 1024
"""Octets that are asked of the kernel: some 10,000 small datagrams, a pause of 50 ms at full rate."""

_MAX_KNOWN_CLIENTS = 4096

_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = Struct("9I")
_MEMINFO_DROPS = 8
"""Linux, include/uapi/linux/sock_diag.h: SK_MEMINFO_DROPS."""


@dataclass(slots=True)
class DatagramCounters:
    """Plain integers, since the hot path counts."""

    received: int = 0
    sent: int = 0
    not_allowed: int = 0
    receive_errors: int = 0
    send_errors: int = 0


def bind_udp(endpoint: Endpoint) -> socket.socket:
    """A non-blocking socket bound to `endpoint`, with a large receive buffer.

    `::` takes IPv4 too.

    Raises:
        ListenError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    with ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, endpoint.address != "::")
            _enlarge_receive_buffer(sock)
            sock.bind(endpoint)
        except OSError as error:
            raise ListenError(f"cannot listen on UDP {endpoint}: {error.strerror or error}") from error
        undo.pop_all()
        return sock


def _enlarge_receive_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:  # only with CAP_NET_ADMIN; otherwise net.core.rmem_max is the limit
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


class DatagramLoop:
    """One bound socket and its clients."""

    def __init__(self, sock: socket.socket, *, allow: Sequence[Network], answer: Answerer) -> None:
        self._sock = sock
        self._allow = tuple(allow)
        self._answer = answer
        self._allowed_before: set[str] = set()
        self.counters = DatagramCounters()

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, the port that the kernel chose included."""
        address, port, *_ = self._sock.getsockname()
        return Endpoint(address, port)

    def dropped(self) -> int:
        """Datagrams that the kernel threw away because the receive buffer was full."""
        try:
            memory = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:  # Linux before 4.12
            return 0
        return int(_MEMINFO.unpack(memory)[_MEMINFO_DROPS])

    async def serve(self) -> NoReturn:
        """Receive and answer until cancelled. An error on one datagram ends nothing."""
        counters = self.counters
        receive = self._sock.recvfrom
        answer = self._answer
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            now = trio.current_time()
            for _ in range(_BATCH):
                try:
                    octets, client = receive(_MAX_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError:
                    counters.receive_errors += 1
                    break
                counters.received += 1
                if client[0] not in self._allowed_before and not self._allows(client[0]):
                    counters.not_allowed += 1
                    continue
                reply = answer(octets, client, now)
                if reply is not None:
                    self.send(reply, client)

    def send(self, octets: bytes, client: Client) -> None:
        """Send now or not at all: a full buffer or an unreachable client must hold up nobody else."""
        try:
            self._sock.sendto(octets, client)
        except OSError:
            self.counters.send_errors += 1
        else:
            self.counters.sent += 1

    def _allows(self, address: str) -> bool:
        client = normalised_address(ip_address(address))
        if not any(client in network for network in self._allow):
            return False
        if len(self._allowed_before) >= _MAX_KNOWN_CLIENTS:
            self._allowed_before.clear()
        self._allowed_before.add(address)
        return True
