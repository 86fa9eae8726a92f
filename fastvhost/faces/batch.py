"""Datagrams many at a time: out of a socket, repeated replies straight back, the rest to the caller.

What a batch is, and its form for every platform: one system call a datagram.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, ClassVar, Protocol

from fastvhost.faces.entries import Entries, PythonEntries
from fastvhost.faces.latency import Histogram
from fastvhost.host import Address
from fastvhost.model import VerdictKind

__all__ = ["BATCH", "MAX_DATAGRAM", "Batch", "Client", "DatagramCounters", "InTurns", "Left", "PlainBatch"]

Client = Any
"""Who sent a datagram, in the form of the batch that received it: only that batch looks into it."""

Left = tuple[bytes, Client | None]
"""A datagram for the caller to look at, and who sent it; None: it has been answered, and counts as one that
the caller answers."""

BATCH = 64
"""Datagrams of one turn."""

MAX_DATAGRAM = 1024
"""Octets that are read of a datagram; no face has a request as long."""


@dataclass(slots=True)
class DatagramCounters:
    """Plain integers, since the hot path counts."""

    received: int = 0
    sent: int = 0
    receive_errors: int = 0
    send_errors: int = 0
    overrun: int = 0
    """Received, and thrown away because too many waited for somebody to look at them, or for too long."""


class Batch(Protocol):
    """A socket whose datagrams are taken in turns."""

    form: ClassVar[str]
    """What it is called in the log."""
    readable: int
    """A descriptor that is readable while there is something for a turn to take."""
    full: bool
    """Whether the last turn was a whole batch, so that more may be waiting."""

    @property
    def entries(self) -> Entries:
        """The replies that are repeated, to clients that were allowed."""
        ...

    def start(self, now: float) -> None:
        """Called once, before the turns of an event loop, which a form may do much of the work beside."""
        ...

    def stop(self) -> list[Left]:
        """Receive nothing more; return what was received and no turn has taken. `send` still does."""
        ...

    def turn(self, now: float) -> list[Left]:
        """Take what is there, at most `BATCH`; return what no reply was repeated for, and what is due for a
        look. Never raises."""
        ...

    def set_patience(self, seconds: float) -> None:
        """How long a datagram may wait for its turn where more come than turns can take: infinitely, until
        this is called. Only forms that receive beside the turns know how long one has waited."""
        ...

    def stand_in(self) -> None:
        """Do at once what it does beside its turns, where who does that may be waiting for a core."""
        ...

    def send(self, octets: bytes, client: Client) -> None:
        """Send now or not at all: a full buffer or an unreachable client must hold up nobody else."""
        ...

    def address(self, client: Client) -> Address:
        """The client's address, IPv4-mapped where the socket has it so."""
        ...

    def host(self, client: Client) -> str | bytes:
        """What is the same for all clients at one address."""
        ...

    def allow(self, client: Client) -> None:
        """From now on repeat replies to the client's address."""
        ...

    def forget_allowed(self) -> None:
        """Repeat replies to nobody, until some are allowed again."""
        ...

    def counters(self) -> DatagramCounters:
        """As they are now."""
        ...

    def repeats(self) -> Sequence[int]:
        """How many replies turns have repeated, by the number of their kind."""
        ...

    def times(self) -> Mapping[VerdictKind, Histogram]:
        """Replies that were repeated beside the turns, by how long that took."""
        ...

    def repeated(self, kind: VerdictKind) -> int:
        """How many replies of this kind were repeated."""
        ...

    def close(self) -> None:
        """Give back what it holds beside the socket, which is its owner's to close."""
        ...


class InTurns:
    """What goes for every batch that does nothing beside its turns."""

    def start(self, now: float) -> None:
        """See `Batch`."""

    def stop(self) -> list[Left]:
        """See `Batch`."""
        return []

    def set_patience(self, seconds: float) -> None:
        """See `Batch`."""

    def stand_in(self) -> None:
        """See `Batch`."""

    def times(self) -> Mapping[VerdictKind, Histogram]:
        """See `Batch`."""
        return {}


class PlainBatch(InTurns):
    """One system call a datagram."""

    form: ClassVar = "plain"

    def __init__(self, sock: socket.socket, id_at: int, places: int) -> None:
        self._sock = sock
        self._allowed: set[str] = set()
        self._counters = DatagramCounters()
        self.entries = PythonEntries(id_at, places)
        self.readable = sock.fileno()
        self.full = False

    def turn(self, now: float) -> list[Left]:
        """See `Batch`."""
        receive, repeat, allowed = self._sock.recvfrom, self.entries.repeat, self._allowed
        rest: list[Left] = []
        self.full = True
        for _ in range(BATCH):
            try:
                octets, client = receive(MAX_DATAGRAM)
            except OSError as error:
                self.full = False
                if not isinstance(error, BlockingIOError):
                    self._counters.receive_errors += 1
                break
            self._counters.received += 1
            repeated = repeat(octets, now) if client[0] in allowed else None
            if repeated is None:
                rest.append((octets, client))
                continue
            reply, is_due = repeated
            self.send(reply, client)
            if is_due:
                rest.append((octets, None))
        return rest

    def send(self, octets: bytes, client: Client) -> None:
        """See `Batch`."""
        try:
            self._sock.sendto(octets, client)
        except OSError:
            self._counters.send_errors += 1
        else:
            self._counters.sent += 1

    def address(self, client: Client) -> Address:
        """See `Batch`."""
        return ip_address(client[0])

    def host(self, client: Client) -> str:
        """See `Batch`."""
        return str(client[0])

    def allow(self, client: Client) -> None:
        """See `Batch`."""
        self._allowed.add(self.host(client))

    def forget_allowed(self) -> None:
        """See `Batch`."""
        self._allowed.clear()

    def counters(self) -> DatagramCounters:
        """See `Batch`."""
        return self._counters

    def repeats(self) -> Sequence[int]:
        """See `Batch`."""
        return list(self.entries.repeats)

    def repeated(self, kind: VerdictKind) -> int:
        """See `Batch`."""
        return self.entries.repeats[kind]

    def close(self) -> None:
        """See `Batch`."""
