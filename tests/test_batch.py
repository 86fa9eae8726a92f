"""Batches, each form of them: what is repeated, to whom, and what is left to the caller."""

import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from fastvhost.faces.batch import BATCH, MAX_DATAGRAM, Batch, PlainBatch
from fastvhost.faces.compiled import LIBRARY, CompiledBatch
from fastvhost.faces.entries import Repeated, key_of
from fastvhost.faces.mmsg_batch import MmsgBatch
from fastvhost.faces.udp import open_batch
from fastvhost.host import normalised_address
from fastvhost.model import VerdictKind

FORMS = [PlainBatch, MmsgBatch, CompiledBatch]
PLACES = 8
IDS = (0, 4)


class Rig:
    """A batch on a socket of loopback, and a client beside it."""

    def __init__(self, form: type[Batch], family: socket.AddressFamily, id_at: int) -> None:
        self.id_at = id_at
        loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.server = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.server.bind((loopback, 0))
        self.batch = form(self.server, id_at, PLACES)
        self.client = socket.socket(family, socket.SOCK_DGRAM)
        self.client.connect(self.server.getsockname())
        self.client.settimeout(5.0)

    def close(self) -> None:
        self.batch.close()
        self.server.close()
        self.client.close()

    def allow(self) -> None:
        """Let the client ask, as after its first request."""
        self.client.send(b"anything")
        ((_, client),) = self.turn()
        self.batch.allow(client)

    def put(
        self, request: bytes, reply: bytes, *, number: int = 0, until: float = 10.0, **rest: object
    ) -> bool:
        key = key_of(request, self.id_at)
        kept = Repeated(
            key=key, reply=reply, kind=VerdictKind.HOSTED, until=until, **{"expires": until, **rest}
        )
        return self.batch.entries.put(number, kept)

    def turn(self, now: float = 0.0) -> list[tuple[bytes, object]]:
        return self.batch.turn(now)

    def left(self, now: float = 0.0) -> list[bytes]:
        return [octets for octets, _ in self.turn(now)]

    def ask(self, request: bytes, now: float = 0.0) -> bytes | None:
        """The reply that is repeated; None when the request is left to the caller."""
        self.client.send(request)
        left = self.left(now)
        if left:
            assert left == [request]
            return None
        return self.client.recv(4096)


@contextmanager
def rig_of(form: type[Batch], family: socket.AddressFamily = socket.AF_INET, id_at: int = 4) -> Iterator[Rig]:
    with closing(Rig(form, family, id_at)) as rig:
        yield rig


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> type[Batch]:
    if request.param is CompiledBatch and not LIBRARY.exists():
        if shutil.which("cc"):
            pytest.fail("libbatch.so is missing: make sets it up")
        pytest.skip("no C compiler here")
    return request.param


@pytest.fixture
def rig(form: type[Batch]) -> Iterator[Rig]:
    with rig_of(form) as rig:
        yield rig


def test_fastest_form_that_is_there_is_taken() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        batch = open_batch(sock, 4)
        batch.close()
    assert isinstance(batch, CompiledBatch if LIBRARY.exists() else MmsgBatch)
    assert batch.form == ("compiled" if LIBRARY.exists() else "ctypes")


def test_request_without_reply_to_repeat_is_left_with_its_client(rig: Rig) -> None:
    rig.client.send(b"hello")
    ((octets, client),) = rig.turn()
    assert octets == b"hello"
    rig.batch.send(b"reply", client)
    assert rig.client.recv(100) == b"reply"
    assert str(rig.batch.address(client)) == "127.0.0.1"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("id_at", IDS)
def test_reply_is_repeated_with_the_id_of_the_request(
    form: type[Batch], family: socket.AddressFamily, id_at: int
) -> None:
    with rig_of(form, family, id_at) as rig:
        rig.allow()
        request, other = bytearray(b"....name"), bytearray(b"....name")
        reply = bytearray(b"....answer")
        request[id_at : id_at + 2] = b"AB"
        other[id_at : id_at + 2] = b"CD"
        rig.put(bytes(request), bytes(reply))
        reply[id_at : id_at + 2] = b"CD"
        assert rig.ask(bytes(other)) == bytes(reply)
        assert rig.batch.repeated(VerdictKind.HOSTED) == 1


def test_dual_stack_socket_repeats_to_ipv4_clients(form: type[Batch]) -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", 0))
        with closing(form(server, 4, PLACES)) as batch:
            client.connect(("127.0.0.1", server.getsockname()[1]))
            client.settimeout(5.0)
            client.send(b"....IDa")
            ((_, name),) = batch.turn(0.0)
            assert str(normalised_address(batch.address(name))) == "127.0.0.1"
            batch.allow(name)
            repeated = Repeated(
                key=b"....a", reply=b"....IDb", kind=VerdictKind.HOSTED, until=1.0, expires=1.0
            )
            assert batch.entries.put(0, repeated)
            client.send(b"....XXa")
            assert batch.turn(0.0) == []
            assert client.recv(100) == b"....XXb"


def test_client_that_is_not_allowed_gets_nothing_repeated(rig: Rig) -> None:
    rig.put(b"....IDa", b"....IDb")
    assert rig.ask(b"....IDa") is None
    rig.allow()
    assert rig.ask(b"....IDa") == b"....IDb"
    rig.batch.forget_allowed()
    assert rig.ask(b"....IDa") is None


def test_reply_is_repeated_before_its_instant_and_not_at_it(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDa", b"....IDb", until=5.0)
    assert rig.ask(b"....IDa", 4.999) == b"....IDb"
    assert rig.ask(b"....IDa", 5.0) is None


def test_ttls_count_down_in_whole_seconds_to_zero(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDa", b"....ID" + b"tttt" + b"-" + b"uuuu", expires=300.0, ttl_at=(6, 11), until=1e9)
    for now, left in ((0.0, 300), (0.5, 299), (299.5, 0), (300.0, 0), (1000.0, 0)):
        ttl = left.to_bytes(4, "big")
        assert rig.ask(b"....XYa", now) == b"....XY" + ttl + b"-" + ttl


def test_only_the_whole_request_is_a_key(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDname", b"....IDb")
    for request in (b"....IDnam", b"....IDnamee", b"...-IDname", b"", b"....", b"....I"):
        assert rig.ask(request) is None, request


def test_dropped_and_cleared_replies_are_not_repeated(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDa", b"....IDx", number=0)
    rig.put(b"....IDb", b"....IDy", number=1)
    rig.batch.entries.drop(0)
    rig.batch.entries.drop(0)
    assert rig.ask(b"....IDa") is None
    assert rig.ask(b"....IDb") == b"....IDy"
    rig.batch.entries.clear()
    assert rig.ask(b"....IDb") is None
    assert rig.batch.entries.find(b"....b") is None


def test_whole_batch_is_taken_in_one_turn_and_the_rest_in_the_next(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDa", b"....IDb")
    for number in range(BATCH + 1):
        rig.client.send(b"...." + number.to_bytes(2, "big") + (b"a" if number % 2 else b"z"))
    left = rig.left()
    assert left == [b"...." + number.to_bytes(2, "big") + b"z" for number in range(0, BATCH, 2)]
    assert rig.batch.full
    assert rig.left() == [b"...." + BATCH.to_bytes(2, "big") + b"z"]
    assert not rig.batch.full
    repeated = [rig.client.recv(100) for _ in range(BATCH // 2)]
    assert repeated == [b"...." + number.to_bytes(2, "big") + b"b" for number in range(1, BATCH, 2)]
    counters = rig.batch.counters()
    assert (counters.received, counters.sent) == (BATCH + 2, BATCH // 2)


def test_nothing_there_is_an_empty_turn(rig: Rig) -> None:
    assert rig.turn() == []
    assert not rig.batch.full
    assert rig.batch.counters().receive_errors == 0


def test_datagram_over_the_most_arrives_cut(rig: Rig) -> None:
    rig.client.send(b"x" * (MAX_DATAGRAM + 100))
    rig.client.send(b"y" * MAX_DATAGRAM)
    assert rig.left() == [b"x" * MAX_DATAGRAM, b"y" * MAX_DATAGRAM]


def test_send_that_fails_is_counted_and_harms_nobody_else(rig: Rig) -> None:
    rig.client.send(b"hello")
    ((_, client),) = rig.turn()
    rig.batch.send(b"x" * 70_000, client)
    rig.batch.send(b"reply", client)
    assert rig.client.recv(100) == b"reply"
    counters = rig.batch.counters()
    assert (counters.sent, counters.send_errors) == (1, 1)


@pytest.mark.parametrize("id_at", IDS)
def test_request_that_ends_with_its_id_or_within_is_not_repeated(form: type[Batch], id_at: int) -> None:
    with rig_of(form, id_at=id_at) as rig:
        rig.allow()
        request = b"...."[:id_at] + b"ID"
        reply = request + b"answer"
        assert not rig.put(request, reply)
        for length in range(len(request) + 1):
            assert rig.ask(request[:length]) is None
        assert rig.put(request + b"a", reply)
        assert rig.ask(request + b"a") == reply


@pytest.mark.parametrize("reply", [b"....IDb" * 1000, b"."])
def test_reply_that_cannot_be_repeated_is_not_kept_by_the_compiled_form(reply: bytes) -> None:
    if not LIBRARY.exists():
        pytest.skip("not compiled here")
    with rig_of(CompiledBatch) as rig:
        assert not rig.put(b"....IDa", reply)
        assert not rig.put(b"....IDa", b"....IDb", number=PLACES)
        assert not rig.put(b"....IDa", b"....IDb", number=-1)
        assert not rig.put(b"....IDa", b"....IDb", ttl_at=(4,))


def test_closed_batch_takes_everything_and_does_nothing(rig: Rig) -> None:
    rig.allow()
    rig.batch.close()
    rig.batch.close()
    rig.put(b"....IDa", b"....IDb")
    rig.batch.entries.drop(0)
    rig.batch.entries.clear()
    assert rig.batch.counters().received == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_form_does_the_same(seed: int) -> None:
    """A random dialogue: requests of few names, entries put, dropped, found and cleared."""
    forms = [form for form in FORMS if form is not CompiledBatch or LIBRARY.exists()]
    told = []
    for form in forms:
        chance = random.Random(seed)
        with rig_of(form) as rig:
            rig.allow()
            said: list[object] = []
            for _ in range(600):
                name = chance.choice([b"a", b"b" * 40, b"c" * 7, b"d" * 8, b"e" * 200])
                request = b"...." + chance.randbytes(2) + name
                match chance.choice(["ask", "ask", "ask", "put", "drop", "find", "clear"]):
                    case "ask":
                        said.append(rig.ask(request, chance.uniform(0.0, 12.0)))
                    case "put":
                        number = chance.randrange(PLACES)
                        until = chance.uniform(0.0, 12.0)
                        octets = 20 + chance.randrange(100)
                        found = rig.batch.entries.find(key_of(request, 4))
                        ttl_at = chance.choice([(), (6,), (6, 14)])
                        reply = bytes(octets)
                        said.append(
                            rig.put(
                                request,
                                reply,
                                number=number if found is None else found,
                                until=until,
                                ttl_at=ttl_at,
                                expires=20.0,
                            )
                        )
                    case "drop":
                        rig.batch.entries.drop(chance.randrange(PLACES))
                    case "find":
                        said.append(rig.batch.entries.find(key_of(request, 4)))
                    case "clear" if chance.random() < 0.05:
                        rig.batch.entries.clear()
            said.append(rig.batch.repeated(VerdictKind.HOSTED))
            told.append(said)
    assert all(said == told[0] for said in told)
    assert told[0][-1] > 20


def test_reply_that_is_due_for_a_look_is_repeated_and_left_once(rig: Rig) -> None:
    rig.allow()
    rig.put(b"....IDa", b"....IDb", until=10.0, look_at=5.0)
    assert rig.ask(b"....IDa", 4.9) == b"....IDb"
    rig.client.send(b"....XXa")
    assert rig.turn(5.0) == [(b"....XXa", None)]
    assert rig.client.recv(100) == b"....XXb"
    assert rig.ask(b"....IDa", 5.0) == b"....IDb"
    assert rig.batch.repeated(VerdictKind.HOSTED) == 2  # the one that was left is counted by who looks at it
    assert rig.ask(b"....IDa", 10.0) is None
