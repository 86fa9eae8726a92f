"""The datagram loop: takes datagrams in batches and has answered at once what can be.

Knows sockets and clients' addresses, nothing of what the octets mean. One `await` serves several batches:
Trio's own `recvfrom` and `sendto` cost several times what answering costs.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from struct import Struct
from typing import NoReturn

import trio

from fastvhost.compiled_library import NotCompiledError
from fastvhost.config import Endpoint, Listen
from fastvhost.errors import ListenError
from fastvhost.faces.allowed import is_allowed
from fastvhost.faces.batch import Batch, Client, Left, PlainBatch
from fastvhost.faces.compiled import Repeater
from fastvhost.faces.entries import Repeated, key_of
from fastvhost.faces.latency import Latencies
from fastvhost.faces.mmsg_batch import MmsgBatch
from fastvhost.faces.reply_table import PLACES, ReplyTable
from fastvhost.giving_way import GivingWay
from fastvhost.model import Lease, Verdict, VerdictKind
from fastvhost.retractions import Retractions

__all__ = ["Answerer", "DatagramLoop", "bind_udp", "open_batch", "take_udp"]

Answerer = Callable[[bytes, Client | None, float], bytes | None]
"""Octets, client, now → the reply, or None when there is none or it comes later. Never raises."""

_MOST_UNREPEATED = 128
"""Datagrams that somebody has to look at, between two looks at the rest of the program: about a
millisecond of work."""

_MOST_TURNS = 8

_PART_OF_TIME = 0.25
"""Of `listen.answer_within` that a request may wait to be looked at where more come than can be: its deadline
counts from that look, and 40 and 10 ms are what the proxy waits."""

_RECEIVE_BUFFER = 8 * 1024 * 1024
"""Octets that are asked of the kernel: some 10,000 small datagrams, a pause of 50 ms at full rate."""

_MAX_KNOWN_CLIENTS = 4096

_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = Struct("9I")
_MEMINFO_DROPS = 8
"""Linux, include/uapi/linux/sock_diag.h: SK_MEMINFO_DROPS."""


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


def take_udp(sock: socket.socket) -> socket.socket:
    """A bound socket that somebody else has opened, made like those of `bind_udp`."""
    sock.setblocking(False)
    _enlarge_receive_buffer(sock)
    return sock


def _enlarge_receive_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except OSError:  # only with CAP_NET_ADMIN; otherwise net.core.rmem_max is the limit
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def open_batch(sock: socket.socket, id_at: int) -> Batch:
    """The fastest batch that this installation and platform have."""
    for kind in (Repeater, MmsgBatch):
        try:
            return kind(sock, id_at, PLACES)
        except (NotCompiledError, AttributeError):
            continue
    return PlainBatch(sock, id_at, PLACES)


class DatagramLoop:
    """One bound socket and its clients.

    `listen` goes until `configure` has another; `id_at` is where the two octets stand by which a client tells
    its requests apart; `latencies` are told of the replies that are repeated.
    """

    def __init__(
        self,
        sock: socket.socket,
        listen: Listen,
        *,
        answer: Answerer,
        id_at: int,
        retractions: Retractions,
        giving_way: GivingWay,
        latencies: Latencies | None = None,
        batch: Callable[[socket.socket, int], Batch] = open_batch,
    ) -> None:
        self._sock = sock
        self._answer = answer
        self._batch = batch(sock, id_at)
        self._id_at = id_at
        self._giving_way = giving_way
        self._latencies = latencies or Latencies()
        self._latencies.add(self._batch.times)
        self._allowed_before: set[str | bytes] = set()
        self._not_allowed = 0
        self._table = ReplyTable(self._batch.entries)
        self._rest: list[Left] = []
        self._stop_listening = retractions.listen(
            host=self._table.retract, everything=self._table.retract_everything
        )
        self.configure(listen)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, the port that the kernel chose included."""
        address, port, *_ = self._sock.getsockname()
        return Endpoint(address, port)

    @property
    def form(self) -> str:
        """How its datagrams are taken: `compiled`, `ctypes` or `plain`, the fastest first."""
        return self._batch.form

    def configure(self, listen: Listen) -> None:
        """Take requests from its clients only, whoever was allowed before, and answer in its time."""
        self._allow = tuple(listen.allow)
        self._forget_allowed()
        self._batch.set_patience(_PART_OF_TIME * listen.answer_within)

    def counts(self) -> dict[str, int]:
        """Every counter by name."""
        return {
            **asdict(self._batch.counters()),
            "not_allowed": self._not_allowed,
            "dropped": self._dropped(),
            "repeated": sum(map(self._batch.repeated, VerdictKind)),
        }

    def repeated(self, kind: VerdictKind) -> int:
        """How many replies of this kind were repeated from the table."""
        return self._batch.repeated(kind)

    def _dropped(self) -> int:
        """Datagrams that the kernel threw away because the receive buffer was full."""
        try:
            memory = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:  # Linux before 4.12
            return 0
        return int(_MEMINFO.unpack(memory)[_MEMINFO_DROPS])

    async def serve(self) -> NoReturn:
        """Receive and answer until cancelled. An error on one datagram ends nothing."""
        batch = self._batch
        batch.start(trio.current_time())
        leave = self._giving_way.to(batch.stand_in)
        try:
            while True:
                await trio.lowlevel.wait_readable(batch.readable)
                self._take_turns()
        finally:
            leave()
            self._rest = batch.stop()

    def answer_rest(self) -> None:
        """Answer what was received until `serve` was cancelled, and not looked at."""
        rest, self._rest = self._rest, []
        self._look_at(rest, trio.current_time())

    def _take_turns(self) -> None:
        batch = self._batch
        unrepeated = 0
        for _ in range(_MOST_TURNS):
            now = trio.current_time()
            rest = batch.turn(now)
            self._latencies.observe_turn(batch.repeats(), trio.current_time() - now)
            self._look_at(rest, now)
            unrepeated += len(rest)
            if not batch.full or unrepeated >= _MOST_UNREPEATED:
                break

    def _look_at(self, requests: Sequence[Left], now: float) -> None:
        """Answer what cannot be repeated."""
        batch, answer = self._batch, self._answer
        for octets, client in self._giving_way.while_doing(requests):
            if client is None:
                answer(octets, None, now)
                continue
            if batch.host(client) not in self._allowed_before and not self._allows(client):
                self._not_allowed += 1
                continue
            reply = answer(octets, client, now)
            if reply is not None:
                batch.send(reply, client)

    def send(self, octets: bytes, client: Client | None) -> None:
        """Send now or not at all: a full buffer or an unreachable client must hold up nobody else.

        None: the request has been answered, and only looked at again.
        """
        if client is not None:
            self._batch.send(octets, client)

    def repeat(
        self,
        verdict: Verdict,
        request: bytes,
        reply: bytes,
        *,
        lease: Lease,
        now: float,
        ttl_at: tuple[int, ...] = (),
    ) -> None:
        """Until the lease ends, answer what differs from this request in nothing but the id in the same way.

        Unless the host of the verdict is retracted; `ttl_at` is where TTLs stand in the reply, which count
        down to the verdict's end.
        """
        if lease.until > now:
            repeated = Repeated(
                key=key_of(request, self._id_at),
                reply=reply,
                kind=verdict.kind,
                until=lease.until,
                look_at=lease.look_at,
                expires=verdict.expires,
                ttl_at=ttl_at,
            )
            self._table.put(verdict.host, repeated, now)

    def close(self) -> None:
        """Give back what it holds beside the socket; only after `serve` has ended."""
        self._stop_listening()
        self._batch.close()

    def _allows(self, client: Client) -> bool:
        if not is_allowed(self._batch.address(client), self._allow):
            return False
        if len(self._allowed_before) >= _MAX_KNOWN_CLIENTS:
            self._forget_allowed()
        self._allowed_before.add(self._batch.host(client))
        self._batch.allow(client)
        return True

    def _forget_allowed(self) -> None:
        self._allowed_before.clear()
        self._batch.forget_allowed()
