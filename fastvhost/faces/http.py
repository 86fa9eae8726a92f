"""HTTP connections: requests in, responses out, and what bounds both.

Knows sockets and HTTP/1.1, nothing of what is asked for. Every wait for a client has an end.

Source: RFC 9112.
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from email.utils import formatdate
from http import HTTPStatus
from ipaddress import ip_address
from typing import NoReturn

import h11
import trio

from fastvhost.config import Endpoint, Network
from fastvhost.faces.allowed import is_allowed
from fastvhost.faces.http_message import HttpRequest, HttpResponse, read_request, refusal
from fastvhost.faces.tcp import MOST_HTTP_CONNECTIONS, accept

__all__ = ["HttpCounters", "HttpLoop"]

_log = logging.getLogger(__name__)

_MOST_HEAD = 8_192
"""Octets of a request's line and header fields."""

_REQUEST_SECONDS = 10.0
"""From the opening of the connection, or the response before, to the end of a request: a client that sends
an octet now and then holds a connection no longer than one that is idle."""

_RESPOND_SECONDS = 15.0
"""To work out a response; a walk of `dns.walk_timeout` by default is within."""

_SEND_SECONDS = 10.0
"""In which a client must have read a response."""

_LINGER_SECONDS = 1.0

_READ = 4_096

_FAULT_LOG_SECONDS = 60.0

Respond = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""The response to a request; may be cancelled when it takes too long."""


@dataclass(slots=True)
class HttpCounters:
    """Plain integers."""

    accepted: int = 0
    not_allowed: int = 0
    no_room: int = 0
    accept_errors: int = 0
    requests: int = 0
    refused: int = 0
    """Answered with a status of 400 or above, those that were not HTTP included."""
    slow_clients: int = 0
    """Closed in the middle of a request, or of a response that was not read."""
    faults: int = 0


class HttpLoop:
    """One listening socket and its connections, at most `MOST_HTTP_CONNECTIONS`."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        allow: Sequence[Network],
        respond: Respond,
        headers: Sequence[tuple[str, str]],
        wall_clock: Callable[[], float],
    ) -> None:
        """`headers` stand in every response; `wall_clock` has seconds since the epoch, for Date."""
        self._sock = sock
        address, port, *_ = sock.getsockname()
        self.endpoint = Endpoint(address, port)
        """Where it listens, the port that the kernel chose included."""
        self._allow = tuple(allow)
        self._respond = respond
        self._headers = tuple(headers)
        self._wall_clock = wall_clock
        self._open = 0
        self._log_faults_from = float("-inf")
        self.counters = HttpCounters()

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
                if not is_allowed(ip_address(address), self._allow):
                    self.counters.not_allowed += 1
                    sock.close()
                elif self._open >= MOST_HTTP_CONNECTIONS:
                    self.counters.no_room += 1
                    sock.close()
                else:
                    self.counters.accepted += 1
                    self._open += 1
                    nursery.start_soon(self._converse, sock)
        raise AssertionError("the nursery ends only when cancelled")

    def _count_accept_error(self) -> None:
        self.counters.accept_errors += 1

    async def _converse(self, sock: socket.socket) -> None:
        """Answer one client until either side ends the connection."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)
        try:
            with trio.socket.from_stdlib_socket(sock) as client:
                while await self._answer_one(connection, client):
                    connection.start_next_cycle()
                await _linger(client)
        except OSError:
            pass  # the client is gone
        finally:
            self._open -= 1

    async def _answer_one(self, connection: h11.Connection, client: trio.socket.SocketType) -> bool:
        """Answer the next request; whether another may follow."""
        try:
            request = await self._next_request(connection, client)
        except h11.RemoteProtocolError as error:
            refused = refusal(HTTPStatus(error.error_status_hint), f"not HTTP as it should be: {error}")
            return await self._send(connection, client, refused, with_body=True)
        if request is None:
            return False
        self.counters.requests += 1
        read = read_request(request.method, request.target, list(request.headers))
        response = read if isinstance(read, HttpResponse) else await self._work_out(read)
        return await self._send(connection, client, response, with_body=request.method != b"HEAD")

    async def _next_request(
        self, connection: h11.Connection, client: trio.socket.SocketType
    ) -> h11.Request | None:
        """The next request; None: there will be none. A body is not read: who sends one is refused."""
        with trio.move_on_after(_REQUEST_SECONDS):
            while (event := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(await client.recv(_READ))
            if isinstance(event, h11.Request):
                connection.next_event()
                return event
            return None
        self.counters.slow_clients += connection.trailing_data[0] != b""
        return None

    async def _work_out(self, request: HttpRequest) -> HttpResponse:
        try:
            with trio.move_on_after(_RESPOND_SECONDS):
                return await self._respond(request)
        except Exception:  # noqa: BLE001 - a fault of ours in one page must not take the daemon down
            self._log_fault(request.path)
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal fault; see the log")
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"not known within {_RESPOND_SECONDS:g} s")

    async def _send(
        self,
        connection: h11.Connection,
        client: trio.socket.SocketType,
        response: HttpResponse,
        *,
        with_body: bool,
    ) -> bool:
        """Send a response; whether the connection may be used again."""
        self.counters.refused += response.status >= HTTPStatus.BAD_REQUEST
        headers = [
            ("Date", formatdate(self._wall_clock(), usegmt=True)),
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *self._headers,
            *response.headers,
        ]
        if connection.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        head = h11.Response(status_code=response.status, headers=headers, reason=response.status.phrase)
        octets = connection.send(head) or b""
        if with_body:
            octets += connection.send(h11.Data(data=response.body)) or b""
        octets += connection.send(h11.EndOfMessage()) or b""
        with trio.move_on_after(_SEND_SECONDS):
            while octets:
                octets = octets[await client.send(octets) :]
        if octets:
            self.counters.slow_clients += 1
            return False
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _log_fault(self, path: str) -> None:
        """The traceback, once a minute."""
        self.counters.faults += 1
        now = trio.current_time()
        if now >= self._log_faults_from:
            self._log_faults_from = now + _FAULT_LOG_SECONDS
            _log.exception("HTTP %s: a fault of fastvhost, please report it", path)


async def _linger(client: trio.socket.SocketType) -> None:
    """Read on a little: a close with octets unread would throw away the response on its way."""
    client.shutdown(socket.SHUT_WR)
    with trio.move_on_after(_LINGER_SECONDS):
        while await client.recv(_READ):
            pass
