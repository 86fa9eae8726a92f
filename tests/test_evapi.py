"""The evapi face over real sockets, in front of a server that listens as the module does."""

import errno
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from fastvhost.config import Config, Endpoint, Proxies
from fastvhost.faces import evapi, evapi_connection
from fastvhost.faces.evapi import EvapiFace
from fastvhost.faces.evapi_codec import Netstrings
from fastvhost.faces.evapi_connection import EvapiConnection
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, Lab, open_lab

HOSTED, NOT_HOSTED, UNDETERMINED, PENDING, LIMITED, MALFORMED = VerdictKind


def question(label: int, host: str, **more: object) -> bytes:
    octets = json.dumps({"index": 7, "label": label, "host": host, **more}).encode()
    return b"%d:%b," % (len(octets), octets)


def ignore(*_: object) -> None:
    """Nobody cares."""


class Proxy:
    """Listens on a port of loopback and takes one connection after the other."""

    def __init__(self, *, receive_buffer: int | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.setblocking(False)
        self.endpoint = Endpoint(*self._listener.getsockname())
        self._accepted = ExitStack()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._accepted.close()
        self._listener.close()

    async def accept(self) -> "Client":
        with trio.fail_after(10):
            sock, _ = await trio.socket.from_stdlib_socket(self._listener).accept()
        return Client(self._accepted.enter_context(sock))


class Client:
    """fastvhost, as the proxy sees it."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.socket = sock
        self._netstrings = Netstrings()
        self._answers: list[dict[str, Any]] = []

    async def send(self, octets: bytes) -> None:
        await trio.SocketStream(self.socket).send_all(octets)

    async def answer(self) -> tuple[int, int]:
        """Label and verdict of the next answer."""
        with trio.fail_after(10):
            while not self._answers:
                octets = await self.socket.recv(65_536)
                assert octets, "closed"
                self._answers += map(json.loads, self._netstrings.take(octets))
        answer = self._answers.pop(0)
        assert answer.keys() == {"index", "label", "verdict"}
        assert answer["index"] == 7
        return answer["label"], answer["verdict"]

    async def ask(self, host: str, **more: object) -> int:
        await self.send(question(1, host, **more))
        label, verdict = await self.answer()
        assert label == 1
        return verdict

    async def closed(self) -> None:
        """Wait until the other side has closed; fails where it says anything more."""
        with trio.fail_after(10):
            assert await self.socket.recv(1) == b""


def config_for(lab: Lab, proxy: Proxy, **sections: Any) -> Config:
    proxies = {"evapi": (proxy.endpoint,), "evapi_within": 5.0, **sections.pop("proxies", {})}
    return config_on(lab, proxies=proxies, listen={"pdb": None, "dns": None}, **sections)


@asynccontextmanager
async def answered(
    *, receive_buffer: int | None = None, **sections: Any
) -> AsyncIterator[tuple[Lab, Service, Proxy, Client]]:
    """A lab, a service on it, a proxy, and the connection between these two."""
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        with Proxy(receive_buffer=receive_buffer) as proxy:
            async with open_service(config_for(lab, proxy, **sections)) as service:
                yield lab, service, proxy, await proxy.accept()


async def test_host_of_each_kind_gets_its_verdict() -> None:
    async with answered() as (lab, _, _, client):
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        for host, kind in {
            "hosted.example": HOSTED,
            "HOSTED.Example.": HOSTED,
            "203.0.113.10": HOSTED,
            "[2001:db8::10]": HOSTED,
            "elsewhere.example": NOT_HOSTED,
            "madeup.example": NOT_HOSTED,
            "192.0.2.1": NOT_HOSTED,
            "broken.example": UNDETERMINED,
            "foo_bar": MALFORMED,
            "": MALFORMED,
            'x","index":1,"y":"': MALFORMED,
            "\ud800": MALFORMED,
            "x" * 3_000: MALFORMED,
        }.items():
            assert await client.ask(host, source="192.0.2.7") == kind, host


async def test_source_pays_for_what_it_asks() -> None:
    async with answered(limits={"source_rate": 1.0}) as (_, _, _, client):
        first = [await client.ask(f"{number}.test", source="192.0.2.7") for number in range(3)]
        assert first == [NOT_HOSTED, NOT_HOSTED, LIMITED]
        assert await client.ask("3.test", source="2001:db8::7") == NOT_HOSTED


async def test_source_that_is_no_address_is_malformed() -> None:
    async with answered() as (lab, service, _, client):
        assert await client.ask("unknown.test", source="nobody") == MALFORMED
        assert lab.total == 0
        assert service.counters()["lookup.malformed"] == 1


async def test_answers_come_as_verdicts_do_not_as_questions_did() -> None:
    async with answered() as (lab, _, _, client):
        lab.faults = [Fault(name="slow.test", delay=0.2)]
        await client.send(question(1, "slow.test") + question(2, "192.0.2.1") + question(3, "fast.test"))
        assert [await client.answer() for _ in range(3)] == [(2, 2), (3, 2), (1, 2)]


async def test_questions_cut_anywhere_or_all_at_once_are_all_answered() -> None:
    async with answered() as (_, _, _, client):
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = b"".join(question(number, "192.0.2.1") for number in range(3))
        for at in range(len(stream)):
            await client.send(stream[at : at + 1])
        assert [await client.answer() for _ in range(3)] == [(number, 2) for number in range(3)]
        await client.send(b"".join(question(number, "192.0.2.1") for number in range(2_000)))
        assert [await client.answer() for _ in range(2_000)] == [(number, 2) for number in range(2_000)]


async def test_slow_dns_gives_pending_in_time_and_once() -> None:
    async with answered(proxies={"evapi_within": 0.04}) as (lab, service, _, client):
        lab.faults = [Fault(name="hosted.example", delay=0.3)]
        assert await client.ask("hosted.example") == PENDING
        await until(lambda: service.counters()["lookup.under_way"] == 0)
        assert await client.ask("hosted.example") == HOSTED
        assert service.counters()["evapi.overdue"] == 1
        assert service.counters()["evapi.replies.pending"] == 1


async def test_payload_that_is_no_question_is_counted_and_the_connection_goes_on() -> None:
    garbage = [b"3:abc,", b"0:,", b"2:{},", b"5000:" + b"x" * 5_000 + b","]
    async with answered() as (_, service, _, client):
        await client.send(b"".join(garbage))
        assert await client.ask("203.0.113.10") == HOSTED
        assert service.counters()["evapi.unreadable"] == len(garbage)
        assert service.counters()["evapi.outages"] == 0


async def test_stream_that_is_no_netstring_is_closed_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answered() as (_, service, proxy, client):
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.closed()
        lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert lines == [
            f"evapi of {proxy.endpoint}: it sent no netstring; connecting again until it answers"
        ]
        assert service.counters()["evapi.connected"] == 0


async def test_proxy_that_comes_back_is_answered_again(caplog: pytest.LogCaptureFixture) -> None:
    async with answered() as (_, service, proxy, client):
        client.socket.close()
        again = await proxy.accept()
        assert await again.ask("203.0.113.10") == HOSTED
        counters = service.counters()
    assert (counters["evapi.connections"], counters["evapi.outages"], counters["evapi.connected"]) == (
        2,
        1,
        1,
    )
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == [
        f"evapi of {proxy.endpoint}: closed by the proxy; connecting again until it answers",
    ]


async def test_reply_whose_connection_is_gone_is_counted_and_harms_no_other() -> None:
    async with answered() as (lab, service, proxy, client):
        lab.faults = [Fault(name="slow.test", delay=0.2)]
        await client.send(question(1, "slow.test"))
        await until(lambda: service.counters()["lookup.under_way"] == 1)
        client.socket.close()
        again = await proxy.accept()
        assert await again.ask("slow.test") == NOT_HOSTED
        assert service.counters()["evapi.undelivered"] == 1


async def test_proxy_that_asks_faster_than_it_is_answered_waits_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evapi_connection, "_PAUSE_READING_AT", 400)
    monkeypatch.setattr(evapi_connection, "_RESUME_READING_AT", 200)
    monkeypatch.setattr(evapi_connection, "_MOST_UNSENT", 1_000)
    most = 5_000
    async with answered() as (_, service, _, client), trio.open_nursery() as nursery:
        many = b"".join(question(number, "192.0.2.1") for number in range(most))
        nursery.start_soon(client.send, many)
        for number in range(most):
            assert await client.answer() == (number, NOT_HOSTED)
        counters = service.counters()
    assert counters["evapi.pauses"] > 1
    assert counters["evapi.undelivered"] == counters["evapi.outages"] == 0


async def test_proxy_that_does_not_read_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(evapi_connection, "_SEND_SECONDS", 0.2)
    monkeypatch.setattr(evapi_connection, "_PAUSE_READING_AT", 400)
    monkeypatch.setattr(evapi_connection, "_RESUME_READING_AT", 200)
    connect = evapi._connect

    async def connect_with_a_small_buffer(proxy: Endpoint) -> trio.socket.SocketType | str:
        found = await connect(proxy)
        if not isinstance(found, str):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # or it takes seconds to fill
        return found

    monkeypatch.setattr(evapi, "_connect", connect_with_a_small_buffer)
    async with answered(receive_buffer=4_096) as (_, service, proxy, client):
        many = b"".join(question(number, "192.0.2.1") for number in range(500))

        with trio.fail_after(30), suppress(trio.BrokenResourceError):
            while True:
                await client.send(many)
        assert service.counters()["evapi.pauses"] > 0
        again = await proxy.accept()
        assert await again.ask("203.0.113.10") == HOSTED
        assert f"evapi of {proxy.endpoint}: it has not read for 0.2 s" in caplog.text


async def test_answers_beyond_the_most_that_may_wait_are_dropped_and_those_before_are_sent() -> None:
    sock: Any = SocketThatIsAnsweredMeanwhile()
    connection = EvapiConnection(sock, ignore, ignore)
    most = evapi_connection._MOST_UNSENT
    assert [connection.answer(b"1:a,") for _ in range(most + 1)] == [True] * most + [False]
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.run(linger=5.0)
    assert sum(len(octets) for _, octets in sock.sent) == 4 * most


async def test_two_proxies_are_answered_each_on_its_own() -> None:
    async with open_lab([ZONE]) as lab:
        with Proxy() as one, Proxy() as other:
            config = config_on(lab, proxies={"evapi": (one.endpoint, other.endpoint)}, listen={"pdb": None})
            async with open_service(config) as service:
                first, second = await one.accept(), await other.accept()
                await first.send(question(1, "203.0.113.10"))
                assert await second.ask("192.0.2.1") == NOT_HOSTED
                assert await first.answer() == (1, HOSTED)
                assert service.counters()["evapi.connected"] == 2


async def test_service_that_ends_answers_what_it_owes_and_closes() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(name="slow.test", delay=0.3)]
        with Proxy() as proxy:
            async with open_service(config_for(lab, proxy)) as service:
                client = await proxy.accept()
                await client.send(question(1, "slow.test"))
                await until(lambda: service.counters()["lookup.under_way"] == 1)
            assert await client.answer() == (1, NOT_HOSTED)
            await client.closed()


@pytest.mark.parametrize(("owed", "seconds"), [(0, 0.0), (1, 6.0)])
async def test_connection_that_is_cancelled_ends_when_nothing_is_owed_or_its_time_is_up(
    owed: int, seconds: float, autojump_clock: MockClock
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        connection = EvapiConnection(sock, ignore, ignore)
        connection.owed = owed
        began = trio.current_time()
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.run(linger=6.0)
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(seconds)
        assert not connection.answer(b"too late")


async def test_answers_in_bulk_are_written_whole_and_with_pauses(autojump_clock: MockClock) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps writes apart
    ours.setblocking(False)
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        connection = EvapiConnection(sock, ignore, ignore)
        answers = [b"%d:%b," % (1 + number % 7, b"x" * (1 + number % 7)) for number in range(400)]
        for octets in answers:
            assert connection.answer(octets)
        began = trio.current_time()
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.run(linger=1.0)
        assert trio.current_time() - began == pytest.approx(0.02)
        writes = [theirs.recv(65_536) for _ in range(3)]
    assert writes == [b"".join(answers[at : at + 160]) for at in (0, 160, 320)]


class SocketThatIsAnsweredMeanwhile:
    """Takes all; while the first answer is being sent, a second one is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.connection: EvapiConnection | None = None

    async def send(self, octets: bytes) -> int:
        self.sent.append((trio.current_time(), octets))
        if len(self.sent) == 1 and self.connection:
            self.connection.answer(b"3:two,")
        return len(octets)

    async def recv(self, _: int) -> bytes:
        await trio.sleep_forever()
        raise AssertionError


async def test_answer_that_comes_during_a_write_does_not_wait(autojump_clock: MockClock) -> None:
    sock: Any = SocketThatIsAnsweredMeanwhile()
    sock.connection = EvapiConnection(sock, ignore, ignore)
    sock.connection.answer(b"3:one,")
    began = trio.current_time()
    with trio.move_on_after(1.0):
        await sock.connection.run(linger=0.0)
    assert sock.sent == [(began, b"3:one,"), (began, b"3:two,")]


def closed_port() -> Endpoint:
    """One on which nobody listens; below the ephemeral range, so nobody will be given it."""
    return Endpoint("127.0.0.1", 1)


async def test_proxy_that_is_away_is_tried_after_1_2_4_to_30_seconds_with_one_line_in_the_log(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []
    connect = evapi._connect

    async def connect_timed(proxy: Endpoint) -> trio.socket.SocketType | str:
        tries.append(trio.current_time())
        return await connect(proxy)

    monkeypatch.setattr(evapi, "_connect", connect_timed)
    face = EvapiFace(Proxies(evapi=(closed_port(),)), lookup=None)  # type: ignore[arg-type] - nobody asks
    with trio.move_on_after(100):
        await face.receive()
    assert [round(at - tries[0], 3) for at in tries] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
    assert [record.message for record in caplog.records] == [
        "evapi of 127.0.0.1:1: Connection refused; connecting again until it answers"
    ]
    assert face.counts()["outages"] == 1


async def test_connection_with_ourselves_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))
        monkeypatch.setattr(trio.socket, "socket", lambda _: sock)
        assert await evapi._connect(Endpoint(*sock.getsockname())) == "nobody listens"


async def test_proxy_is_tried_again_where_there_are_no_descriptors(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(_: int) -> None:
        tries.append(trio.current_time())
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    tries: list[float] = []
    monkeypatch.setattr(trio.socket, "socket", exhausted)
    face = EvapiFace(Proxies(evapi=(closed_port(),)), lookup=None)  # type: ignore[arg-type] - nobody asks
    with trio.move_on_after(5):
        await face.receive()
    assert [round(at - tries[0], 3) for at in tries] == [0.0, 1.0, 3.0]
    assert [record.message for record in caplog.records] == [
        "evapi of 127.0.0.1:1: Too many open files; connecting again until it answers"
    ]


async def test_connections_stay_when_the_service_turns_to_another_configuration() -> None:
    async with answered() as (lab, service, proxy, client):
        assert await client.ask("hosted.example") == VerdictKind.HOSTED
        outcome = service.reload(config_for(lab, proxy, proxies={"evapi_within": 1.0}, cache={"stale": 1.0}))
        assert outcome.after_restart == ("proxies.evapi_within",)
        assert await client.ask("madeup.test") == VerdictKind.NOT_HOSTED
        assert service.counters()["evapi.connections"] == 1
