"""JSON-RPC 2.0 by datagrams: how a proxy on this machine is told something, and what it says to it.

Kamailio's jsonrpcs and OpenSIPS' mi_datagram take one request a datagram and answer with one. Neither
asks who is there, so only loopback addresses and unix sockets are spoken to.

Source: JSON-RPC 2.0 specification (2013-01-04), Kamailio's module jsonrpcs, OpenSIPS' module mi_datagram.
"""

import json
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import trio

from fastvhost.config import Endpoint
from fastvhost.errors import ListenError
from fastvhost.target import Target

__all__ = [
    "Done",
    "Refused",
    "Reply",
    "RpcClient",
    "RpcCounters",
    "Silent",
    "Target",
    "open_rpc",
]

_IN_FLIGHT_UDP = 64
"""Requests under way at one time: at 256 Kamailio 5.6.3 lost datagrams (measured)."""

_IN_FLIGHT_UNIX = 8
"""The same for a unix socket, whose queue takes 10 datagrams (Linux, net.unix.max_dgram_qlen)."""

_MAX_DATAGRAM = 65_535
_BATCH = 128
"""Replies read between two looks at the rest of the program."""

_FULL_PAUSE = (0.001, 0.064)
"""Seconds until a full socket is tried again, at first and at most: none tells when its peer has room."""

_MAX_MESSAGE = 200
"""Characters kept of what a proxy says of an error."""


@dataclass(frozen=True, slots=True)
class Done:
    """The proxy did it."""

    result: object


@dataclass(frozen=True, slots=True)
class Refused:
    """The proxy heard and did not do it."""

    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


@dataclass(frozen=True, slots=True)
class Silent:
    """No reply came; whether it was done is not known."""

    why: str

    def __str__(self) -> str:
        return self.why


Reply = Done | Refused | Silent


@dataclass(slots=True)
class RpcCounters:
    """Plain integers; `sent` counts datagrams, `strays` replies that nobody waits for, and garbage."""

    sent: int = 0
    retried: int = 0
    done: int = 0
    refused: int = 0
    silent: int = 0
    strays: int = 0


class _Waiting:
    """One call that waits for its reply."""

    __slots__ = ("heard", "reply")

    def __init__(self) -> None:
        self.heard = trio.Event()
        self.reply: Done | Refused | None = None


class RpcClient:
    """One socket to one proxy; made by `open_rpc`."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self._sock = sock
        self._to: str | Endpoint
        match target.address:
            case Path():
                self._to, slots = str(target.address), _IN_FLIGHT_UNIX
            case Endpoint():
                self._to, slots = target.address, _IN_FLIGHT_UDP
        self._slots = trio.Semaphore(slots)
        self._waiting: dict[int, _Waiting] = {}
        # Below 2**53, where a proxy that keeps numbers as doubles keeps them exactly; hard to guess.
        self._next_id = secrets.randbelow(2**52)
        self.target = target
        self.counters = RpcCounters()

    async def call(
        self, method: str, params: Sequence[str | int] = (), *, wait: float = 1.0, attempts: int = 3
    ) -> Reply:
        """Ask the proxy to do `method`, with at most `attempts` datagrams: they may be lost, or it busy.

        Waits for one of the slots (64, over a unix socket 8), then `wait` seconds after the first
        datagram and twice as long after each further one. All carry one id, so a late reply to the first
        confirms as well. Never raises for what the proxy or the system does.
        """
        async with self._slots:
            self._next_id += 1
            call_id = self._next_id
            request = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": call_id}
            if not params:
                del request["params"]
            waiting = self._waiting[call_id] = _Waiting()
            try:
                reply = await self._ask(json.dumps(request).encode(), waiting, wait, attempts)
            finally:
                del self._waiting[call_id]
        match reply:
            case Done():
                self.counters.done += 1
            case Refused():
                self.counters.refused += 1
            case Silent():
                self.counters.silent += 1
        return reply

    async def _ask(self, request: bytes, waiting: _Waiting, wait: float, attempts: int) -> Reply:
        why = "no reply"
        for attempt in range(attempts):
            self.counters.retried += attempt > 0
            with trio.move_on_after(wait * 2**attempt):
                try:
                    await self._send(request)
                except OSError as error:
                    # Nobody holds the unix path: as with a closed UDP port, the next attempt comes in time.
                    why = error.strerror or str(error)
                await waiting.heard.wait()
            if waiting.reply is not None:
                return waiting.reply
        return Silent(why)

    async def _send(self, request: bytes) -> None:
        pause, longest = _FULL_PAUSE
        while True:
            try:
                self._sock.sendto(request, self._to)
            except BlockingIOError:
                await trio.sleep(pause)
                pause = min(2 * pause, longest)
            else:
                self.counters.sent += 1
                return

    async def receive(self) -> NoReturn:
        """Hand each reply to the call that waits for it, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            for _ in range(_BATCH):
                try:
                    octets = self._sock.recv(_MAX_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError:  # of one datagram
                    self.counters.strays += 1
                    break
                self._hear(octets)

    def _hear(self, octets: bytes) -> None:
        found = _read_reply(octets)
        waiting = None if found is None else self._waiting.get(found[0])
        if found is None or waiting is None or waiting.reply is not None:
            self.counters.strays += 1
            return
        waiting.reply = found[1]
        waiting.heard.set()


@contextmanager
def open_rpc(target: Target) -> Iterator[RpcClient]:
    """A client of the proxy at `target` for the length of the block; the proxy need not be there.

    The caller runs `RpcClient.receive` in a nursery within the block. Over a unix socket replies need a
    name: a temporary one beside the proxy's, removed at the end; where that folder cannot be written, one
    that the kernel picks.

    Raises:
        ListenError: no socket could be had.
    """
    sock, path = _open_socket(target)
    try:
        with closing(sock):
            yield RpcClient(sock, target)
    finally:
        if path is not None:
            with suppress(OSError):
                path.unlink()


def _open_socket(target: Target) -> tuple[socket.socket, Path | None]:
    """A socket that replies can come to, and the path that is to be removed after it."""
    match target.address:
        case Path():
            family = socket.AF_UNIX
        case Endpoint(address, _):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if isinstance(target.address, Path):
            return sock, _bind_beside(sock, target.address)
        # Not connected: Kamailio replies from another port than it listens on.
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    except OSError as error:
        if sock is not None:
            sock.close()
        raise ListenError(f"cannot speak to {target}: {error.strerror or error}") from error
    return sock, None


def _bind_beside(sock: socket.socket, proxy: Path) -> Path | None:
    """Give `sock` a name that the proxy can reply to; the path that is to be removed.

    A path beside the proxy's own is seen by it in whatever container or chroot it lives. The folder says
    who may come near; within it the proxy, another user, must be able to write to the socket.
    """
    path = proxy.with_name(f"fastvhost-{secrets.token_hex(4)}")
    try:
        sock.bind(str(path))
    except OSError:
        sock.bind("")  # unix(7), autobind: an abstract name; no file
        return None
    with suppress(OSError):
        path.chmod(0o666)
    return path


def _read_reply(octets: bytes) -> tuple[int, Done | Refused] | None:
    """The id and what was said; None for what is no reply."""
    try:
        reply = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or type(reply.get("id")) is not int:
        return None
    if "error" in reply:
        return reply["id"], _read_error(reply["error"])
    return (reply["id"], Done(reply["result"])) if "result" in reply else None


def _read_error(error: object) -> Refused:
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (0, error)
    text = "".join(letter if letter.isprintable() else " " for letter in str(message)[:_MAX_MESSAGE])
    return Refused(code if type(code) is int else 0, text)
