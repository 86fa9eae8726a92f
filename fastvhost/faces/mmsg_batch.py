"""A batch by recvmmsg and sendmmsg: one system call in, one out."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from struct import Struct
from typing import ClassVar

from fastvhost.faces.batch import BATCH, MAX_DATAGRAM, Client, DatagramCounters, InTurns, Left
from fastvhost.faces.entries import MAX_REPLY, PythonEntries
from fastvhost.faces.mmsg import ADDRESS, Messages, SystemCalls
from fastvhost.host import Address
from fastvhost.model import VerdictKind

__all__ = ["MmsgBatch", "address_octets", "socket_name"]

_STARTS = range(0, BATCH * MAX_DATAGRAM, MAX_DATAGRAM)
_NAMES = range(0, BATCH * ADDRESS, ADDRESS)
_FAMILY = Struct("=H")
_PORT = Struct("!2xH")
_SCOPE = Struct("=24xI")
_IPV4_OCTETS = slice(4, 8)
_IPV6_OCTETS = slice(8, 24)


def address_octets(client: bytes) -> bytes:
    """The address in a `sockaddr_in` or `sockaddr_in6`."""
    (family,) = _FAMILY.unpack_from(client)
    return client[_IPV4_OCTETS if family == socket.AF_INET else _IPV6_OCTETS]


def socket_name(client: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    """A `sockaddr_in` or `sockaddr_in6` as the module `socket` wants it."""
    octets = address_octets(client)
    (port,) = _PORT.unpack_from(client)
    if len(octets) == 4:
        return socket.inet_ntop(socket.AF_INET, octets), port
    (scope,) = _SCOPE.unpack_from(client)
    return socket.inet_ntop(socket.AF_INET6, octets), port, 0, scope


class MmsgBatch(InTurns):
    """See `fastvhost.faces.batch.Batch`.

    Raises:
        AttributeError: the platform has no such system calls.
    """

    form: ClassVar = "ctypes"

    def __init__(self, sock: socket.socket, id_at: int, places: int) -> None:
        self._calls = SystemCalls()
        self._sock = sock
        self._fd = sock.fileno()
        self._allowed: set[bytes] = set()
        self._counters = DatagramCounters()
        self.entries = PythonEntries(id_at, places)
        self.readable = self._fd
        self.full = False
        self._requests = bytearray(BATCH * MAX_DATAGRAM)
        self._clients = bytearray(BATCH * ADDRESS)
        self._in = Messages(self._requests, MAX_DATAGRAM, [MAX_DATAGRAM] * BATCH, names=self._clients)
        self._replies = bytearray(BATCH * MAX_REPLY)
        self._addressees = bytearray(BATCH * ADDRESS)
        self._out = Messages(self._replies, MAX_REPLY, [0] * BATCH, names=self._addressees)
        family_octets = _IPV4_OCTETS if sock.family == socket.AF_INET else _IPV6_OCTETS
        self._address_at = [
            slice(start + family_octets.start, start + family_octets.stop) for start in _NAMES
        ]

    def turn(self, now: float) -> list[Left]:
        """See `Batch`."""
        messages = self._in
        name_lengths = messages.name_lengths
        try:
            count = self._calls.receive(self._fd, messages, BATCH, socket.MSG_DONTWAIT)
        except OSError:
            self._counters.receive_errors += 1
            count = 0
        self.full = count == BATCH
        if not count:
            return []
        self._counters.received += count
        # Copied whole and cut after: slices of octets that cannot change are cheap, and are keys.
        requests = bytes(memoryview(self._requests)[: count * MAX_DATAGRAM])
        clients = bytes(memoryview(self._clients)[: count * ADDRESS])
        lengths = messages.received[:count].tolist()
        named = name_lengths[:count].tolist()
        repeat, allowed = self.entries.repeat, self._allowed
        replies, addressees, out = self._replies, self._addressees, self._out
        rest: list[Left] = []
        ready = 0
        for start, length, name, named_octets, address in zip(
            _STARTS, lengths, _NAMES, named, self._address_at, strict=False
        ):
            request = requests[start : start + length]
            repeated = repeat(request, now) if clients[address] in allowed else None
            if repeated is None:
                rest.append((request, clients[name : name + named_octets]))
                continue
            reply, is_due = repeated
            if is_due:
                rest.append((request, None))
            octets = len(reply)
            at, to = ready * MAX_REPLY, ready * ADDRESS
            replies[at : at + octets] = reply
            addressees[to : to + ADDRESS] = clients[name : name + ADDRESS]
            out.lengths[ready] = octets
            out.name_lengths[ready] = named_octets
            ready += 1
        for number in range(count):
            name_lengths[number] = ADDRESS
        self._send(ready)
        return rest

    def _send(self, ready: int) -> None:
        done = 0
        while done < ready:
            try:
                sent = self._calls.send(self._fd, self._out, done, ready - done, socket.MSG_DONTWAIT)
            except OSError:
                sent = 0
            if sent:
                self._counters.sent += sent
            else:  # one that cannot be sent harms no other
                self._counters.send_errors += 1
            done += max(1, sent)

    def send(self, octets: bytes, client: Client) -> None:
        """See `Batch`."""
        try:
            self._sock.sendto(octets, socket_name(client))
        except OSError:
            self._counters.send_errors += 1
        else:
            self._counters.sent += 1

    def address(self, client: Client) -> Address:
        """See `Batch`."""
        return ip_address(address_octets(client))

    def host(self, client: Client) -> bytes:
        """See `Batch`."""
        return address_octets(client)

    def allow(self, client: Client) -> None:
        """See `Batch`."""
        self._allowed.add(address_octets(client))

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
