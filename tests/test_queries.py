"""Queries many at a time: both forms send the same, believe the same, and leave no socket open."""

import errno
import os
import select
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from fastvhost.compiled_library import NotCompiledError
from fastvhost.config import Endpoint
from fastvhost.resolve import compiled_queries
from fastvhost.resolve.compiled_queries import CompiledQueries
from fastvhost.resolve.queries import BATCH, UNUSUAL, Came, PlainQueries, Queries
from fastvhost.resolve.reply import RrType
from fastvhost.resolve.scout import open_queries
from fastvhost.resolve.wire import Question
from tests.query_forms import FORMS, available
from tools.compile_batch import QUERIES, compile_batch

HOST = "u1.example.com"
TTL = 300


class Rig:
    """Queries, and the server that they go to."""

    def __init__(self, form: type[Queries], address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(5.0)
        self.socket.bind((address, 0))
        self.server = Endpoint(address, self.socket.getsockname()[1])
        self.queries = form()

    def close(self) -> None:
        self.queries.close()
        self.socket.close()

    def asked(self, host: str = HOST) -> tuple[int, bytes, tuple[str, int]]:
        """Ask; the number, the query as the server sees it, and where from."""
        number = self.queries.ask(self.server, host)
        assert number is not None
        octets, client = self.socket.recvfrom(4096)
        return number, octets, client

    def turn(self) -> list[Came]:
        assert select.select([self.queries.fileno()], [], [], 5.0)[0]
        return self.queries.turn()

    def unusual(self, number: int) -> bytes | OSError | None:
        """What came for a query that is not to be believed as it stands."""
        (came,) = self.turn()
        assert (came.number, came.ttl) == (number, UNUSUAL)
        sent = self.queries.take(number)
        with sent.sock:
            assert sent.sock.gettimeout() == 0.0
            return sent.receive()


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> type[Queries]:
    return available(request.param)


@pytest.fixture
def rig(form: type[Queries]) -> Iterator[Rig]:
    with closing(Rig(form, "127.0.0.1")) as rig:
        yield rig


def nxdomain(query: bytes) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(query))
    message.set_rcode(dns.rcode.NXDOMAIN)
    soa = f"ns.example.com. hostmaster.example.com. 1 3600 600 86400 {TTL}"
    message.authority.append(dns.rrset.from_text("example.com.", 900, "IN", "SOA", soa))
    return message.to_wire()


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host", [HOST, "localhost", "x_1.a-b.example", ".".join(["a" * 63] * 3 + ["b" * 61])]
)
def test_query_is_the_one_that_the_question_writes(rig: Rig, host: str) -> None:
    _, octets, _ = rig.asked(host)
    assert octets == Question(host, RrType.NAPTR).octets(int.from_bytes(octets[:2], "big"))


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", ".".join(["a" * 63] * 4)])
def test_name_that_fits_no_message_is_not_asked_for(rig: Rig, host: str) -> None:
    before = descriptors()
    assert rig.queries.ask(rig.server, host) is None
    assert descriptors() == before


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nxdomain_ends_its_query_and_closes_its_socket(form: type[Queries], address: str) -> None:
    with closing(Rig(form, address)) as rig:
        number, query, client = rig.asked()
        reply = nxdomain(query)
        rig.socket.sendto(reply, client)
        assert rig.turn() == [Came(number, TTL, len(reply))]
        assert not is_open(number)
        assert rig.queries.turn() == []


def test_question_in_other_letters_is_the_same_question(rig: Rig) -> None:
    number, query, client = rig.asked()
    reply = nxdomain(query).replace(b"\x02u1\x07example", b"\x02U1\x07eXAMPLE", 1)
    rig.socket.sendto(reply, client)
    assert rig.turn() == [Came(number, TTL, len(reply))]


def with_flags(octets: bytes, flags: int) -> bytes:
    return octets[:2] + (int.from_bytes(octets[2:4], "big") ^ flags).to_bytes(2, "big") + octets[4:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda reply: bytes([reply[0] ^ 1]) + reply[1:],
        lambda reply: reply[:1] + bytes([reply[1] ^ 0x80]) + reply[2:],
        lambda reply: reply.replace(b"\x02u1", b"\x02u2", 1),
        lambda reply: reply.replace(b"\x00\x23\x00\x01", b"\x00\x01\x00\x01", 1),
        lambda reply: reply.replace(b"\x00\x23\x00\x01", b"\x00\x23\x00\x03", 1),
        lambda reply: with_flags(reply, dns.flags.QR),
        lambda reply: with_flags(reply, 0x0800),
        lambda reply: with_flags(reply, dns.flags.TC),
        lambda reply: with_flags(reply, dns.rcode.NXDOMAIN ^ dns.rcode.SERVFAIL),
        lambda reply: reply[:4] + b"\0\0" + reply[6:],
        lambda reply: reply + b"\0",
        lambda reply: reply[:-1],
        lambda reply: reply[:20],
        lambda reply: reply[:11],
        lambda _: b"",
        lambda reply: reply + bytes(60_000),
    ],
    ids=[
        *("id", "low octet of the id", "name", "type", "class", "a query", "opcode", "truncated", "servfail"),
        *("no question", "one octet more", "one octet less", "cut", "no header", "empty", "long"),
    ],
)
def test_any_other_reply_is_taken_with_its_query_and_nothing_is_lost_of_it(
    rig: Rig, damage: Callable[[bytes], bytes]
) -> None:
    number, query, client = rig.asked()
    reply = damage(nxdomain(query))
    rig.socket.sendto(reply, client)
    assert rig.unusual(number) == reply
    assert not is_open(number)
    assert rig.queries.turn() == []


def test_port_that_is_closed_is_told_of(rig: Rig) -> None:
    rig.socket.close()
    number = rig.queries.ask(rig.server, HOST)
    assert number is not None
    error = rig.unusual(number)
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror) == (errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def test_query_that_is_taken_before_its_reply_gets_it_on_its_socket(rig: Rig) -> None:
    number, query, client = rig.asked()
    sent = rig.queries.take(number)
    with sent.sock:
        assert sent.message_id == int.from_bytes(query[:2], "big")
        assert sent.receive() is None
        rig.socket.sendto(b"late", client)
        assert select.select([sent.sock], [], [], 5.0)[0]
        assert rig.queries.turn() == []
        assert sent.receive() == b"late"


def test_datagram_of_another_sender_never_arrives(rig: Rig) -> None:
    _, query, client = rig.asked()
    with socket.socket(type=socket.SOCK_DGRAM) as forger:
        forger.bind(("127.0.0.1", 0))
        forger.sendto(nxdomain(query), client)
        rig.socket.sendto(nxdomain(query), client)
        assert [came.ttl for came in rig.turn()] == [TTL]


def test_ports_and_ids_differ_from_query_to_query(rig: Rig) -> None:
    asked = [rig.asked() for _ in range(BATCH)]
    ports = [client[1] for _, _, client in asked]
    ids = [query[:2] for _, query, _ in asked]
    # In order, or with one pair alike in so many, they would be no random ones.
    assert len(set(ports)) == BATCH
    assert len(set(ids)) > BATCH - 4
    for numbers in (ports, [int.from_bytes(one, "big") for one in ids]):
        steps = {after - before for before, after in pairwise(numbers)}
        assert len(steps) > BATCH // 2


def test_more_replies_than_a_batch_come_in_two_turns(rig: Rig) -> None:
    asked = [rig.asked() for _ in range(BATCH + 3)]
    for _, query, client in asked:
        rig.socket.sendto(nxdomain(query), client)
    came = [*rig.turn(), *rig.turn()]
    assert sorted(one.number for one in came) == sorted(number for number, *_ in asked)
    assert {one.ttl for one in came} == {TTL}
    assert rig.queries.turn() == []


def test_server_that_cannot_be_sent_to_leaves_nothing_open(rig: Rig) -> None:
    before = descriptors()
    assert rig.queries.ask(Endpoint("255.255.255.255", 53), HOST) is None  # EACCES
    assert descriptors() == before


class FullEpoll:
    """One that takes no more (epoll_ctl(2), ENOSPC)."""

    def register(self, *_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")


def test_query_that_cannot_be_watched_leaves_nothing_open() -> None:
    with closing(Rig(PlainQueries, "127.0.0.1")) as rig:
        assert isinstance(rig.queries, PlainQueries)
        before = descriptors()
        epoll, rig.queries._epoll = rig.queries._epoll, FullEpoll()  # type: ignore[assignment]
        assert rig.queries.ask(rig.server, HOST) is None
        rig.queries._epoll = epoll
        assert descriptors() == before


def test_closed_queries_leave_no_socket_open(form: type[Queries]) -> None:
    rig = Rig(form, "127.0.0.1")
    number, *_ = rig.asked()
    rig.close()
    assert not is_open(number)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library is looked for; nothing is there yet."""
    path = tmp_path / "libqueries.so"
    monkeypatch.setattr(compiled_queries, "LIBRARY", path)
    return path


def form_that_is_taken() -> type:
    with closing(open_queries()) as queries:
        return type(queries)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_compiled_form_is_taken_where_there_is_one_that_fits(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert form_that_is_taken() is PlainQueries
    assert compile_batch(library, source=QUERIES) is None
    assert form_that_is_taken() is CompiledQueries
    monkeypatch.setattr(compiled_queries, "_ABI", -1)
    with pytest.raises(NotCompiledError, match="another version"):
        CompiledQueries()
    assert form_that_is_taken() is PlainQueries
