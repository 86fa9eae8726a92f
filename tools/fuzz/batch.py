"""Batches: every form of them says the same to a client whose requests, and the table, are any octets.

An input is a dialogue, an octet for what happens next and some for its arguments. Beside what it says, the
compiled form is watched by the sanitizers: see `sanitised.py`.
"""

import socket
from collections.abc import Callable
from contextlib import closing
from struct import pack

from fastvhost.faces.batch import MAX_DATAGRAM, Batch, PlainBatch
from fastvhost.faces.compiled import CompiledBatch
from fastvhost.faces.entries import MAX_REPLY, Repeated, key_of
from fastvhost.faces.mmsg_batch import MmsgBatch
from fastvhost.model import VerdictKind

__all__ = ["check"]

_PLACES = 4
_NAMES = (b"", b"a", b"b" * 7, b"c" * 8, b"d" * 9, b"e" * 246, b"f" * 1_016, b"g" * 1_018, b"h" * 1_019)
"""Around words of eight octets, the longest of PDB, and the longest that is read."""

_STEPS_A_SECOND = 16
"""Of `now`, which is one octet."""

_RECEIVE_WITHIN = 60.0
_CROWD = 4_100
"""Clients that are more than the compiled form keeps."""


class _Choices:
    """The input, taken octet by octet; zeros behind its end."""

    def __init__(self, octets: bytes) -> None:
        self._octets = iter(octets)
        self.left = len(octets)

    def octet(self) -> int:
        self.left -= 1
        return next(self._octets, 0)

    def below(self, bound: int) -> int:
        return int.from_bytes((self.octet(), self.octet()), "big") % bound

    def now(self) -> float:
        return self.octet() / _STEPS_A_SECOND


def check(octets: bytes) -> None:
    """Hold the dialogue with each form."""
    plain, *others = (_dialogue(form, octets) for form in (PlainBatch, MmsgBatch, CompiledBatch))
    for said in others:
        assert said == plain


def _dialogue(form: Callable[[socket.socket, int, int], Batch], octets: bytes) -> list[object]:
    """What the client and the owner of the table see."""
    choices = _Choices(octets)
    id_at = 4 * (choices.octet() & 1)
    with (
        socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        client.settimeout(_RECEIVE_WITHIN)
        with closing(form(server, id_at, _PLACES)) as batch:
            dialogue = _Dialogue(batch, client, id_at)
            while choices.left > 0:
                dialogue.step(choices)
            return [*dialogue.said, [batch.repeated(kind) for kind in VerdictKind], batch.counters().sent]


class _Dialogue:
    """A client, a batch, and its owner."""

    def __init__(self, batch: Batch, client: socket.socket, id_at: int) -> None:
        self._batch = batch
        self._client = client
        self._id_at = id_at
        self.said: list[object] = []
        client.send(b"")
        ((_, self._name),) = batch.turn(0.0)
        batch.allow(self._name)

    def step(self, choices: _Choices) -> None:
        """One thing happens."""
        entries = self._batch.entries
        match choices.octet() % 16:
            case 0 | 1 | 2 | 3 | 4 | 5:
                self._ask(self._request(choices), choices.now())
            case 6:
                self._ask(bytes(choices.below(2 * MAX_DATAGRAM)), choices.now())
            case 7 | 8 | 9:
                self._put(choices)
            case 10:
                entries.drop(choices.octet() % _PLACES)
            case 11:
                self.said.append(entries.find(key_of(self._request(choices), self._id_at)))
            case 12:
                entries.clear()
            case 13:
                self._batch.forget_allowed()
            case 14:
                self._batch.allow(self._name)
            case _:
                self._crowd()

    def _request(self, choices: _Choices) -> bytes:
        message_id = bytes((choices.octet(), choices.octet()))
        name = _NAMES[choices.octet() % len(_NAMES)]
        return b"\1\0\0\7"[: self._id_at] + message_id + name

    def _ask(self, request: bytes, now: float) -> None:
        self._client.send(request)
        left = self._batch.turn(now)
        assert [octets for octets, _ in left] in ([], [request[:MAX_DATAGRAM]])
        self.said.append(bool(left))
        if not left or left[0][1] is None:
            self.said.append(self._client.recv(2 * MAX_REPLY))

    def _put(self, choices: _Choices) -> None:
        key = key_of(self._request(choices), self._id_at)
        found = self._batch.entries.find(key)
        number = choices.octet() % _PLACES if found is None else found
        reply = bytes((choices.octet(),)) * max(self._id_at + 2, choices.below(MAX_REPLY + 2))
        room = len(reply) - 4
        ttl_at = [1 + choices.below(room) for _ in range(choices.octet() % 3) if room > 0]
        repeated = Repeated(
            key=key,
            reply=reply,
            kind=VerdictKind(1 + choices.octet() % len(VerdictKind)),
            until=choices.now(),
            look_at=choices.now(),
            expires=choices.now(),
            ttl_at=tuple(ttl_at),
        )
        kept = len(reply) >= 4 and self._batch.entries.put(number, repeated)
        self.said.append(kept)

    def _crowd(self) -> None:
        """Allow so many others that all are forgotten at the bound, as the client is then."""
        self._batch.forget_allowed()
        if isinstance(self._batch, CompiledBatch):
            for number in range(_CROWD):
                self._batch.allow(
                    pack("!HHI8x", 0, 0, number).replace(b"\0\0", pack("=H", socket.AF_INET), 1)
                )
        self._batch.forget_allowed()
