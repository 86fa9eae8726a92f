"""The DNS face: hosts below `listen.zone`, asked for over UDP and TCP, answered from `Lookup`."""

import socket
from collections.abc import Callable, Sequence

import trio

from fastvhost.config import Endpoint, Listen
from fastvhost.errors import ListenError
from fastvhost.faces.batch import Client
from fastvhost.faces.dns_reply import most_octets
from fastvhost.faces.dns_responder import DnsCounters, DnsResponder, Waiting
from fastvhost.faces.dns_tcp import Connection, ConnectionLoop
from fastvhost.faces.latency import Latencies
from fastvhost.faces.owed import OwedReplies
from fastvhost.faces.tcp import bind_tcp
from fastvhost.faces.udp import DatagramLoop, bind_udp
from fastvhost.giving_way import GivingWay
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict, VerdictKind
from fastvhost.retractions import Retractions

__all__ = ["DnsFace", "bind_dns"]

_MAX_MESSAGE = 65_535
"""Octets of a message over TCP (RFC 1035 section 4.2.2)."""

_ID_AT = 0
"""Where the two octets of the id stand."""

_TRIES = 10
"""A port that UDP has free may be taken for TCP."""


def bind_dns(endpoint: Endpoint) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket on `endpoint`; for port 0 on the same free port.

    Raises:
        ListenError: one of them cannot be bound.
    """
    tries = _TRIES if endpoint.port == 0 else 1
    while True:
        datagrams = bind_udp(endpoint)
        try:
            return datagrams, bind_tcp(Endpoint(endpoint.address, datagrams.getsockname()[1]))
        except ListenError:
            datagrams.close()
            tries -= 1
            if tries == 0:
                raise


class DnsFace:
    """Answers over two sockets, each query within `listen.answer_within`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        listen: Listen,
        lookup: Lookup,
        text: Callable[[str], Sequence[bytes]],
        retractions: Retractions,
        giving_way: GivingWay,
    ) -> None:
        """`sockets` are those of `bind_dns`; `text` has the attributes of a host as character-strings."""
        self._lookup = lookup
        self._owed = OwedReplies(listen.answer_within)
        self.counters = DnsCounters()
        self.latencies = Latencies()
        self._over_udp = DnsResponder(
            listen.zone,
            lookup,
            text=text,
            most_octets=most_octets,
            counters=self.counters,
            replied=self._replied,
            settled=self._repeat,
        )
        self._over_tcp = DnsResponder(
            listen.zone,
            lookup,
            text=text,
            most_octets=lambda _: _MAX_MESSAGE,
            counters=self.counters,
            replied=self._replied,
        )
        self.datagrams = DatagramLoop(
            sockets[0],
            listen,
            answer=self._answer_datagram,
            id_at=_ID_AT,
            retractions=retractions,
            giving_way=giving_way,
            latencies=self.latencies,
        )
        self.connections = ConnectionLoop(sockets[1], allow=listen.allow, answer=self._answer_connection)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, over UDP and TCP."""
        return self.datagrams.endpoint

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        return {
            **self.datagrams.counts(),
            **{f"tcp.{name}": count for name, count in self.connections.counts().items()},
            **self.counters.by_name(repeated=self.datagrams.repeated),
            "overdue": self._owed.overdue,
        }

    def configure(self, listen: Listen) -> None:
        """See `Face`."""
        self._owed.configure(listen.answer_within, trio.current_time())
        self._over_udp.configure(listen.zone)
        self._over_tcp.configure(listen.zone)
        self.datagrams.configure(listen)
        self.connections.allow(listen.allow)

    def close(self) -> None:
        """Give back what it holds beside the sockets."""
        self.datagrams.close()

    async def receive(self) -> None:
        """Take queries until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.datagrams.serve)
            nursery.start_soon(self.connections.serve)

    def answer_rest(self) -> None:
        """See `Face`."""
        self.datagrams.answer_rest()

    async def watch_deadlines(self) -> None:
        """Answer in time what flights have not answered, until cancelled; goes on while flights land."""
        await self._owed.watch_deadlines()

    def _replied(self, kind: VerdictKind, received: float) -> None:
        self.latencies.observe(kind, trio.current_time() - received)

    def _repeat(
        self, verdict: Verdict, message: bytes, reply: bytes, ttl_at: tuple[int, ...], now: float
    ) -> None:
        lease = self._lookup.lease(verdict, now)
        self.datagrams.repeat(verdict, message, reply, lease=lease, now=now, ttl_at=ttl_at)

    def _answer_datagram(self, message: bytes, client: Client | None, now: float) -> bytes | None:
        response = self._over_udp.respond(message, now)
        if not isinstance(response, Waiting):
            return response
        write = response.write

        def reply(verdict: Verdict) -> None:
            self.datagrams.send(write(verdict, trio.current_time()), client)

        self._owed.owe(response.flight, reply, now)
        return None

    def _answer_connection(self, message: bytes, connection: Connection, now: float) -> bytes | None:
        response = self._over_tcp.respond(message, now)
        if not isinstance(response, Waiting):
            return response
        write = response.write

        def reply(verdict: Verdict) -> None:
            connection.pay(write(verdict, trio.current_time()))

        connection.owe()
        self._owed.owe(response.flight, reply, now)
        return None
