"""Queries under way, many at a time: the first question about unknown hosts, and what comes back for it.

What `Queries` is, and its form for every platform; `compiled_queries` has the other.
"""

import select
from typing import NamedTuple, Protocol

import dns.exception

from fastvhost.config import Endpoint
from fastvhost.resolve.exchange import Sent, send_udp
from fastvhost.resolve.reply import RrType
from fastvhost.resolve.wire import Question, nxdomain_ttl

__all__ = ["BATCH", "UNUSUAL", "Came", "PlainQueries", "Queries"]

BATCH = 64
"""Replies between two looks at the rest of the program."""

UNUSUAL = -1
"""In place of the TTL of a reply that is not NXDOMAIN in the usual form."""


class Came(NamedTuple):
    """Something came for a query."""

    number: int
    """Of the query."""
    ttl: int
    """Seconds that the host is proved not to be there, and the query has ended; or `UNUSUAL`, and the query
    is to be taken."""
    octets: int
    """Of the reply; without meaning for an unusual one."""


class Queries(Protocol):
    """Queries of type NAPTR, each on a socket of its own, with a random port and id (RFC 5452)."""

    def fileno(self) -> int:
        """Readable when something has come."""
        ...

    def ask(self, server: Endpoint, host: str) -> int | None:
        """Send a query for a canonical host and return its number, which no other has that has not ended.

        None: nothing was sent.
        """
        ...

    def turn(self) -> list[Came]:
        """What has come since, at most `BATCH`."""
        ...

    def take(self, number: int) -> Sent:
        """End the watch for a query: its socket is the caller's, with what has come for it."""
        ...

    def close(self) -> None:
        """Close the sockets of all queries."""
        ...


class PlainQueries:
    """See `Queries`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._asked: dict[int, tuple[Sent, Question]] = {}

    def fileno(self) -> int:
        """See `Queries`."""
        return self._epoll.fileno()

    def ask(self, server: Endpoint, host: str) -> int | None:
        """See `Queries`."""
        try:
            question = Question(host, RrType.NAPTR)
            sent = send_udp(server, question.octets)
        except (dns.exception.DNSException, OSError):
            return None
        number = sent.sock.fileno()
        try:
            self._epoll.register(number, select.EPOLLIN)
        except OSError:  # ENOSPC, ENOMEM
            sent.sock.close()
            return None
        self._asked[number] = sent, question
        return number

    def turn(self) -> list[Came]:
        """See `Queries`."""
        turn = []
        for number, _ in self._epoll.poll(0, BATCH):
            came = self._receive(number, *self._asked[number])
            if came is not None:
                turn.append(came)
        return turn

    def take(self, number: int) -> Sent:
        """See `Queries`."""
        sent, _ = self._asked.pop(number)
        self._epoll.unregister(number)
        return sent

    def close(self) -> None:
        """See `Queries`."""
        self._epoll.close()
        for sent, _ in self._asked.values():
            sent.sock.close()

    def _receive(self, number: int, sent: Sent, question: Question) -> Came | None:
        came = sent.receive()
        if came is None:  # the datagram failed its checksum
            return None
        if isinstance(came, bytes) and question.is_answered_by(came, sent.message_id):
            ttl = nxdomain_ttl(came, question)
            if ttl is not None:
                del self._asked[number]
                sent.sock.close()
                return Came(number, ttl, len(came))
        sent.came = came
        return Came(number, UNUSUAL, 0)
