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

_PAUSE_READING_AT = 4_000
_RESUME_READING_AT = 2_000
"""Unsent answers, a quarter and an eighth of a second's worth. What a proxy asks meanwhile waits in the
kernels' buffers, its own last, so that it is slowed down to what it takes and loses nothing."""

_MOST_UNSENT = 10_000
"""Answers. Reading has paused long before, so beyond 4,000 there are only those that flights owed."""

_SEND_SECONDS = 10.0
"""For one write. A proxy that takes nothing for so long does not read."""


class EvapiConnection:
    """An open socket with a proxy. `run` once; `answer` at any time."""

    def __init__(
        self,
        sock: trio.socket.SocketType,
        ask: Callable[[bytes, "EvapiConnection"], None],
        note_pause: Callable[[], None],
    ) -> None:
        """`ask` is called with each payload; it must neither block nor raise, and answers by `answer`.

        `note_pause` is called each time that reading pauses.
        """
        self._sock = sock
        self._ask = ask
        self._netstrings = Netstrings()
        self._unsent: deque[bytes] = deque()
        self._note_pause = note_pause
        self._news = trio.Event()
        self._room = trio.Event()
        self._closing = False
        self._gone = False
        self._writing = trio.CancelScope(shield=True)
        self.owed = 0
        """Answers that will still come; kept by whoever gives them."""
        self.why = "closed by the proxy"
        """Why it has ended, in a few words."""

    def answer(self, octets: bytes) -> bool:
        """Send one answer soon; return False where it is dropped: the connection is gone, or 10,000 wait."""
        if self._gone or len(self._unsent) >= _MOST_UNSENT:
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
            if len(self._unsent) >= _PAUSE_READING_AT:
                self._note_pause()
                self._room = trio.Event()
                await self._room.wait()
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
                if len(self._unsent) <= _RESUME_READING_AT:
                    self._room.set()
                try:
                    with trio.fail_after(_SEND_SECONDS):
                        await self._send_all(b"".join(answers))
                except trio.TooSlowError:
                    self._end(f"it has not read for {_SEND_SECONDS:g} s")
                    break
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
