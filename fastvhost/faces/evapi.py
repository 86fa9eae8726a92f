"""The evapi face: questions of Kamailio's module evapi, answered from `Lookup`.

The proxy listens and we connect. It suspends the transaction that asks, so none of its workers waits.
"""

import logging
import os
import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import NoReturn

import trio

from fastvhost.coalesce import Flight
from fastvhost.config import Endpoint, Listen, Proxies
from fastvhost.faces.evapi_codec import Question, read_question, write_answer
from fastvhost.faces.evapi_connection import EvapiConnection
from fastvhost.faces.latency import Latencies
from fastvhost.faces.owed import OwedReplies
from fastvhost.host import parse_address
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict, VerdictKind

__all__ = ["EvapiCounters", "EvapiFace"]

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

_CONNECT_SECONDS = 5.0
"""On loopback a connection is there at once, or the backlog of the proxy is full."""

_LINGER_SECONDS = 1.0
"""What a proxy may take, at the end, to read the last replies after the last one was due."""


@dataclass(slots=True)
class EvapiCounters:
    """Plain integers, since the hot path counts; `replies` is indexed by `VerdictKind`."""

    connected: int = 0
    """Connections that are open now."""
    connections: int = 0
    outages: int = 0
    received: int = 0
    unreadable: int = 0
    undelivered: int = 0
    """Replies whose connection had ended, or had 10,000 of them waiting."""
    pauses: int = 0
    """How often no more questions were read, as too many answers were waiting."""
    replies: list[int] = field(default_factory=lambda: [0] * (max(VerdictKind) + 1))


class EvapiFace:
    """Answers every proxy of `proxies.evapi`, each question within `proxies.evapi_within`."""

    def __init__(self, proxies: Proxies, lookup: Lookup) -> None:
        self._proxies = proxies.evapi
        self._answer_within = proxies.evapi_within
        self._lookup = lookup
        self._owed = OwedReplies(proxies.evapi_within, patient=True)
        self.counters = EvapiCounters()
        self.latencies = Latencies()

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        counts = asdict(self.counters)
        replies = counts.pop("replies")
        return {
            **counts,
            "overdue": self._owed.overdue,
            **{f"replies.{kind.name.lower()}": replies[kind] for kind in VerdictKind},
        }

    async def receive(self) -> None:
        """Connect with every proxy and take its questions until cancelled, then answer what is owed.

        Never returns unless cancelled; takes up to `proxies.evapi_within` longer for what is owed, so
        `watch_deadlines` has to outlive it.
        """
        async with trio.open_nursery() as nursery:
            for proxy in self._proxies:
                nursery.start_soon(self._keep_connected, proxy)

    def answer_rest(self) -> None:
        """Nothing is received that nobody looks at."""

    async def watch_deadlines(self) -> None:
        """Answer in time what flights have not answered, until cancelled; goes on while flights land."""
        await self._owed.watch_deadlines()

    @property
    def endpoint(self) -> None:
        """None: it is the proxies that listen."""

    def configure(self, listen: Listen) -> None:
        """Nothing of it is in `listen`."""

    def close(self) -> None:
        """Nothing is held beside the connections."""

    async def _keep_connected(self, proxy: Endpoint) -> NoReturn:
        """Connect again whenever there is no connection; one line in the log for each outage."""
        pause, reported = _FIRST_PAUSE_SECONDS, False
        while True:
            began = trio.current_time()
            found = await _connect(proxy)
            if isinstance(found, str):
                why = found
            else:
                with found as sock:
                    _log.info("evapi of %s: connected", proxy)
                    reported = False
                    why = await self._serve(sock)
            if not reported:
                self.counters.outages += 1
                _log.warning("evapi of %s: %s; connecting again until it answers", proxy, why)
                reported = True
            if trio.current_time() - began >= _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            await trio.sleep(pause)
            pause = min(2.0 * pause, _LONGEST_PAUSE_SECONDS)

    async def _serve(self, sock: trio.socket.SocketType) -> str:
        """Answer on a connection until it ends; return why it did."""
        connection = EvapiConnection(sock, self._ask, self._note_pause)
        self.counters.connections += 1
        self.counters.connected += 1
        try:
            await connection.run(linger=self._answer_within + _LINGER_SECONDS)
        finally:
            self.counters.connected -= 1
        return connection.why

    def _note_pause(self) -> None:
        self.counters.pauses += 1

    def _ask(self, payload: bytes, connection: EvapiConnection) -> None:
        self.counters.received += 1
        question = read_question(payload)
        if question is None:
            self.counters.unreadable += 1
            return
        now = trio.current_time()
        peer = parse_address(question.source) if question.source else None
        if question.source and peer is None:
            # As in PDB: without a source no source's budget would bound it.
            self._lookup.counters.malformed += 1
            self._reply(connection, question, VerdictKind.MALFORMED, now)
            return
        decided = self._lookup.decide(question.host, peer, now)
        if isinstance(decided, Flight):
            connection.owed += 1
            self._owed.owe(decided, partial(self._reply_later, connection, question, now), now)
        else:
            self._reply(connection, question, decided.kind, now)

    def _reply_later(
        self, connection: EvapiConnection, question: Question, received: float, verdict: Verdict
    ) -> None:
        connection.owed -= 1
        self._reply(connection, question, verdict.kind, received)

    def _reply(
        self, connection: EvapiConnection, question: Question, kind: VerdictKind, received: float
    ) -> None:
        if connection.answer(write_answer(question, kind)):
            self.counters.replies[kind] += 1
            self.latencies.observe(kind, trio.current_time() - received)
        else:
            self.counters.undelivered += 1


async def _connect(proxy: Endpoint) -> trio.socket.SocketType | str:
    """A connection, or why there is none."""
    with ExitStack() as undo:
        try:
            family = socket.AF_INET6 if ":" in proxy.address else socket.AF_INET
            sock = undo.enter_context(trio.socket.socket(family))
            with trio.fail_after(_CONNECT_SECONDS):
                await sock.connect(tuple(proxy))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sock.getsockname() == sock.getpeername():
                # A port of the ephemeral range on which nobody listens: the kernel may choose it for our end.
                return "nobody listens"
        except trio.TooSlowError:
            return f"no connection within {_CONNECT_SECONDS:g} s"
        except OSError as error:
            # Trio's own text names the address too.
            return os.strerror(error.errno) if error.errno else str(error)
        undo.pop_all()
        return sock
