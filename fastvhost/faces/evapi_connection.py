"""One connection with a Kamailio's module evapi: its questions in, our answers out, in any order.

Answers are collected and written by one task, so that those of one batch of questions are one `send`.
"""

from collections.abc import Callable

import trio

from fastvhost.faces.evapi_codec import ANSWER_OCTETS, Netstrings

__all__ = ["EvapiConnection"]

_READ_OCTETS = 16_384
"""Some 160 questions between two looks at the rest of the program: about two milliseconds of work."""

_WRITE_OCTETS = 217 * ANSWER_OCTETS
"""The buffer of evapi 5.6; longer writes are more likely to be cut within an answer."""

_MOST_UNSENT = 1_000_000
"""Octets: some 6,600 answers, beside what the kernel holds. A proxy that lags further does not read."""


class EvapiConnection:
    """An open socket with a proxy. `run` once; `answer` at any time."""

    def __init__(self, sock: trio.socket.SocketType, ask: Callable[[bytes, "EvapiConnection"], None]) -> None:
        """`ask` is called with each payload; it must neither block nor raise, and answers by `answer`."""
        self._sock = sock
        self._ask = ask
        self._netstrings = Netstrings()
        self._unsent = bytearray()
        self._news = trio.Event()
        self._closing = False
        self._gone = False
        self._writing = trio.CancelScope(shield=True)
        self.owed = 0
        """Answers that will still come; kept by whoever gives them."""
        self.why = "closed by the proxy"
        """Why it has ended, in a few words."""

    def answer(self, octets: bytes) -> bool:
        """Send soon; return False where the connection has ended. Over the bound of unsent octets it ends."""
        if self._gone:
            return False
        if len(self._unsent) + len(octets) > _MOST_UNSENT:
            self._end("it does not read")
            return False
        self._unsent += octets
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
                try:
                    sent = await self._sock.send(self._unsent[:_WRITE_OCTETS])
                except OSError as error:
                    self._end(error.strerror or str(error))
                    break
                del self._unsent[:sent]
        nursery.cancel_scope.cancel()

    def _end(self, why: str) -> None:
        if not self._gone:
            self._gone = True
            self.why = why
            self._writing.cancel()
