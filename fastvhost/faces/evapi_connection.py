"""One connection with a Kamailio's module evapi: its questions in, our answers out, in any order.

Answers are collected and written by one task, so that those of one batch of questions are one `send`.
"""

import socket
from collections import deque
from collections.abc import Callable

import trio

from fastvhost.faces.evapi_codec import Netstrings

__all__ = ["EvapiConnection"]

_READ_OCTETS = 16_384
"""Some 160 questions between two looks at the rest of the program: about two milliseconds of work."""

_ANSWERS_A_WRITE = 160
_PAUSE_SECONDS = 0.01
"""After a write that was full: 16,000 answers a second, about as many as a Kamailio takes.

evapi 5.6 reads into a buffer of 32,767 octets and throws all of it away where a read ends within the digits
of a netstring or before its comma. So what it has not read yet is kept short, and every write is whole.
"""

_MOST_UNSENT = 10_000
"""Answers, beside what the kernel holds. A proxy that lags further does not read."""


class EvapiConnection:
    """An open socket with a proxy. `run` once; `answer` at any time."""

    def __init__(self, sock: trio.socket.SocketType, ask: Callable[[bytes, "EvapiConnection"], None]) -> None:
        """`ask` is called with each payload; it must neither block nor raise, and answers by `answer`."""
        self._sock = sock
        self._ask = ask
        self._netstrings = Netstrings()
        self._unsent: deque[bytes] = deque()
        self._news = trio.Event()
        self._closing = False
        self._gone = False
        self._writing = trio.CancelScope(shield=True)
        self.owed = 0
        """Answers that will still come; kept by whoever gives them."""
        self.why = "closed by the proxy"
        """Why it has ended, in a few words."""

    def answer(self, octets: bytes) -> bool:
        """Send one answer soon; return False where the connection has ended, as it does at 10,000 unsent."""
        if self._gone:
            return False
        if len(self._unsent) >= _MOST_UNSENT:
            self._end("it does not read")
            return False
        self._unsent.append(octets)
        self._news.set()
        return True

    async def run(self, *, linger: float) -> None:
        """Read and answer until the connection ends.

        When cancelled it reads no more, and answers what is owed for at most `linger` seconds.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery)
                try:
                    await self._read()
                    self._writing.cancel()
                finally:
                    self._closing = True
                    self._news.set()
                    self._writing.deadline = trio.current_time() + linger
        finally:
            self._gone = True

    async def _read(self) -> None:
        while not self._gone:
            try:
                octets = await self._sock.recv(_READ_OCTETS)
                # The proxy writes each question by itself, and its kernel holds the next one back until
                # the last is acknowledged (RFC 896), which ours may put off for 40 ms (RFC 1122 section
                # 4.2.3.2). Not a setting that stays, so it is asked for each time.
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except OSError as error:
                self._end(error.strerror or str(error))
                return
            if not octets:
                return
            for payload in self._netstrings.take(octets):
                self._ask(payload, self)
            if self._netstrings.broken:
                self._end("it sent no netstring")

    async def _write(self, nursery: trio.Nursery) -> None:
        with self._writing:
            while self._unsent or self.owed or not self._closing:
                if not self._unsent:
                    await self._news.wait()
                    self._news = trio.Event()
                    continue
                answers = [self._unsent.popleft() for _ in range(min(len(self._unsent), _ANSWERS_A_WRITE))]
                try:
                    await self._send_all(b"".join(answers))
                except OSError as error:
                    self._end(error.strerror or str(error))
                    break
                if len(answers) == _ANSWERS_A_WRITE:
                    await trio.sleep(_PAUSE_SECONDS)
        nursery.cancel_scope.cancel()

    async def _send_all(self, octets: bytes) -> None:
        while octets:
            octets = octets[await self._sock.send(octets) :]

    def _end(self, why: str) -> None:
        if not self._gone:
            self._gone = True
            self.why = why
            self._writing.cancel()
