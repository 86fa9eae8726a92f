"""JSON-RPC by datagrams: replies lost, late, doubled, garbled, and who may be spoken to at all."""

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from fastvhost.config import Endpoint
from fastvhost.domains.jsonrpc import Done, Refused, RpcClient, Silent, open_rpc
from fastvhost.errors import ListenError
from fastvhost.target import Target, parse_target
from tests.kamailio_server import create_tables, domain_script, running_kamailio
from tests.support import until

Respond = Callable[[dict[str, Any]], list[bytes]]
"""A request → the datagrams that come back for it."""


class Proxy:
    """Listens like a proxy and, like Kamailio, replies from another socket."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[dict[str, Any]] = []
        self.target = Target(Endpoint("127.0.0.1", 0))

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as heard:
            await heard.bind(("127.0.0.1", 0))
            self.target = Target(Endpoint(*heard.getsockname()))
            task_status.started()
            with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as said:
                while True:
                    octets, client = await heard.recvfrom(65_535)
                    request = json.loads(octets)
                    self.requests.append(request)
                    for reply in self.respond(request):
                        await said.sendto(reply, client)


def reply_to(request: dict[str, Any], **members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], **members}).encode()


def done(request: dict[str, Any]) -> list[bytes]:
    return [reply_to(request, result={})]


def nothing(request: dict[str, Any]) -> list[bytes]:
    return []


async def answer_one(heard: trio.socket.SocketType) -> bytes | str:
    """Answer the next request, from the very socket; who asked."""
    octets, sender = await heard.recvfrom(65_535)
    await heard.sendto(done(json.loads(octets))[0], sender)
    return cast("bytes | str", sender)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@asynccontextmanager
async def client_of(target: Target) -> AsyncIterator[RpcClient]:
    with open_rpc(target) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive)
            yield client
            nursery.cancel_scope.cancel()


@pytest.fixture
async def proxy(nursery: trio.Nursery) -> Proxy:
    found = Proxy(done)
    await nursery.start(found.serve)
    return found


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[RpcClient]:
    async with client_of(proxy.target) as found:
        yield found


# Where a proxy may be told.


@pytest.mark.parametrize(
    "text",
    [
        "udp:127.0.0.1:8090",
        "udp:127.1.2.3:1",
        "udp:[::1]:65535",
        "unix:/run/k/rpc.sock",
        "unix:/" + "a" * 106,
    ],
)
def test_target_on_this_machine_is_accepted(text: str) -> None:
    assert str(parse_target(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "udp:192.0.2.1:8090",
        "udp:0.0.0.0:8090",
        "udp:[::]:8090",
        "udp:[2001:db8::1]:8090",
        "udp:[::ffff:192.0.2.1]:8090",
        "udp:::1:8090",
        "udp:localhost:8090",
        "udp:127.0.0.1",
        "udp:127.0.0.1:0",
        "udp:127.0.0.1:65536",
        "udp:[127.0.0.1:8090",
        "udp:127.0.0.1:8090\n",
        "udp:127.0.0.1:٨٠٩٠",
        "tcp:127.0.0.1:8090",
        "127.0.0.1:8090",
        "unix:run/rpc.sock",
        "unix:",
        "unix:/" + "a" * 107,
        "unix:/" + "ä" * 54,
        "unix:/a\0b",
        "unix:/a\nb",
        "",
    ],
)
def test_target_elsewhere_is_refused_in_one_line_that_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r'loopback, "udp:127.0.0.1:PORT"') as found:
        parse_target(text)
    assert "\n" not in str(found.value)


# One call.


async def test_call_answered_returns_the_result(proxy: Proxy, client: RpcClient) -> None:
    proxy.respond = lambda request: [reply_to(request, result={"up": 1})]
    assert await client.call("htable.setxi", ["vh", "a.example", 1, 60]) == Done({"up": 1})
    assert await client.call("domain.reload") == Done({"up": 1})
    first, second = proxy.requests
    assert first == {
        "jsonrpc": "2.0",
        "method": "htable.setxi",
        "params": ["vh", "a.example", 1, 60],
        "id": first["id"],
    }
    assert "params" not in second
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        ({"code": 400, "message": "Reload of domain tables failed"}, "400 Reload of domain tables failed"),
        ({"code": "x", "message": "two\nlines"}, "0 two lines"),
        ({"message": "m" * 1000}, f"0 {'m' * 200}"),
        ("no object", "0 no object"),
        (None, "0 None"),
    ],
)
async def test_call_answered_with_an_error_returns_its_code_and_message_in_one_line(
    error: object, refused: str, proxy: Proxy, client: RpcClient
) -> None:
    proxy.respond = lambda request: [reply_to(request, error=error)]
    reply = await client.call("domain.reload")
    assert isinstance(reply, Refused)
    assert str(reply) == refused


async def test_call_whose_datagram_is_lost_is_retried_with_the_same_id(
    proxy: Proxy, client: RpcClient
) -> None:
    proxy.respond = lambda request: done(request) if len(proxy.requests) == 3 else []
    assert await client.call("a", wait=0.02, attempts=3) == Done({})
    assert len({request["id"] for request in proxy.requests}) == 1
    assert (client.counters.sent, client.counters.retried) == (3, 2)


async def test_call_never_answered_is_silent_after_its_attempts(proxy: Proxy, client: RpcClient) -> None:
    proxy.respond = nothing
    assert await client.call("a", wait=0.01, attempts=2) == Silent("no reply")
    assert len(proxy.requests) == 2
    assert client.counters.silent == 1


async def test_late_reply_of_a_call_given_up_is_a_stray_and_answers_no_other(
    proxy: Proxy, client: RpcClient
) -> None:
    proxy.respond = nothing
    await client.call("first", wait=0.01, attempts=1)
    late = reply_to(proxy.requests[0], result="late")
    proxy.respond = lambda request: [late, reply_to(request, result="own")]
    assert await client.call("second") == Done("own")
    assert client.counters.strays == 1


async def test_doubled_replies_count_once(proxy: Proxy, client: RpcClient) -> None:
    proxy.respond = lambda request: [*done(request), *done(request), reply_to(request, error={"code": 1})]
    assert await client.call("a") == Done({})
    await until(lambda: client.counters.strays == 2)
    assert (client.counters.done, client.counters.refused) == (1, 0)


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"no JSON",
    b"[]",
    b"{}",
    b"null",
    b"[" * 60_000,
    b'{"id": ' + b"9" * 5000 + b', "result": 1}',
    b'{"id": NaN, "result": 1}',
    b'{"id": [1], "result": 1}',
    b'{"id": true, "result": 1}',
    b'{"id": null, "error": {"code": -32700, "message": "parse error"}}',
    b'{"id": -1, "result": 1}',
]


async def test_garbage_before_the_reply_is_counted_and_the_wait_goes_on(
    proxy: Proxy, client: RpcClient
) -> None:
    proxy.respond = lambda request: [*GARBAGE, reply_to(request), *done(request)]
    assert await client.call("a", wait=5.0) == Done({})
    assert client.counters.strays == len(GARBAGE) + 1


async def test_calls_answered_in_another_order_get_each_its_own(proxy: Proxy, client: RpcClient) -> None:
    held: list[bytes] = []

    def respond(request: dict[str, Any]) -> list[bytes]:
        held.append(reply_to(request, result=request["method"]))
        return held[::-1] if len(held) == 10 else []

    proxy.respond = respond
    found = {}

    async def ask(method: str) -> None:
        found[method] = await client.call(method, wait=5.0)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(ask, str(number))
    assert found == {str(number): Done(str(number)) for number in range(10)}


async def test_calls_over_64_in_flight_wait_for_a_slot(proxy: Proxy, client: RpcClient) -> None:
    proxy.respond = nothing
    async with trio.open_nursery() as nursery:
        for _ in range(65):
            nursery.start_soon(lambda: client.call("a", wait=60.0))
        await until(lambda: len(proxy.requests) == 64)
        await trio.testing.wait_all_tasks_blocked()
        assert client.counters.sent == 64
        nursery.cancel_scope.cancel()
    proxy.respond = done
    assert await client.call("a") == Done({})


async def test_call_cancelled_frees_its_slot_and_its_id(proxy: Proxy, client: RpcClient) -> None:
    proxy.respond = nothing
    with trio.move_on_after(0.01) as scope:
        await client.call("a", wait=60.0)
    assert scope.cancelled_caught
    assert not client._waiting
    assert client._slots.value == 64


async def test_call_to_a_closed_port_is_silent() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = Target(Endpoint(*sock.getsockname()))
    async with client_of(closed) as client:
        assert await client.call("a", wait=0.01, attempts=2) == Silent("no reply")


async def test_ipv6_loopback_is_spoken_to() -> None:
    with trio.socket.socket(trio.socket.AF_INET6, trio.socket.SOCK_DGRAM) as heard:
        await heard.bind(("::1", 0))
        target = Target(Endpoint(*heard.getsockname()[:2]))
        async with client_of(target) as client, trio.open_nursery() as nursery:
            nursery.start_soon(client.call, "a")
            await answer_one(heard)
    assert client.counters.done == 1


# Unix sockets.


async def test_unix_client_has_a_path_of_its_own_that_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as heard:
        await heard.bind(str(path))
        async with client_of(Target(path)) as client, trio.open_nursery() as nursery:
            nursery.start_soon(client.call, "a")
            sender = await answer_one(heard)
            assert names(tmp_path) == {"rpc.sock", Path(str(sender)).name}
            assert Path(str(sender)).parent == tmp_path
    assert names(tmp_path) == {"rpc.sock"}
    assert client.counters.done == 1


async def test_unix_client_without_room_for_a_path_beside_the_proxy_is_answered_all_the_same() -> None:
    with tempfile.TemporaryDirectory(prefix="a" * 80) as name:
        path = Path(name) / "r"
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as heard:
            await heard.bind(str(path))
            async with client_of(Target(path)) as client, trio.open_nursery() as nursery:
                nursery.start_soon(client.call, "a")
                sender = await answer_one(heard)
                assert sender[:1] == b"\0"
                assert names(Path(name)) == {"r"}
    assert client.counters.done == 1


async def test_unix_socket_that_is_not_there_is_silent_and_found_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    async with client_of(Target(path)) as client:
        assert await client.call("a", wait=0.01, attempts=2) == Silent(os.strerror(2))
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as heard:
            await heard.bind(str(path))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.call, "a")
                await answer_one(heard)
    assert client.counters.done == 1


async def test_full_unix_socket_is_written_to_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as heard:
        await heard.bind(str(path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
            filled = 0
            while True:
                try:
                    other.sendto(b"x", str(path))
                except BlockingIOError:
                    break
                filled += 1
        async with client_of(Target(path)) as client, trio.open_nursery() as nursery:
            nursery.start_soon(client.call, "a")
            await trio.testing.wait_all_tasks_blocked()
            assert client.counters.sent == 0
            for _ in range(filled):
                await heard.recv(65_535)
            await answer_one(heard)
    assert client.counters.done == 1


def test_no_socket_to_be_had_is_said_with_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> socket.socket:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr("fastvhost.domains.jsonrpc.socket.socket", full)
    with (
        pytest.raises(ListenError, match=r"cannot speak to udp:127.0.0.1:8090: Too many open files"),
        open_rpc(parse_target("udp:127.0.0.1:8090")),
    ):
        pass


# A real one.


@pytest.mark.server("kamailio")
@pytest.mark.parametrize("unix", [False, True], ids=["udp", "unix"])
async def test_kamailio_answers_over_udp_and_unix_socket(unix: bool, tmp_path: Path) -> None:
    create_tables(tmp_path / "kamailio.db")
    with running_kamailio(domain_script(tmp_path / "kamailio.db"), unix=unix) as kamailio:
        async with client_of(parse_target(kamailio.rpc)) as client:
            assert await client.call("domain.reload") == Done({})
            assert await client.call("no.method") == Refused(500, "Method Not Found")
            found = await client.call("htable.get", ["vh", "a.example"])
            assert found == Refused(500, "Key name doesn't exist in htable.")
            # With everything in flight at once none is lost.
            async with trio.open_nursery() as nursery:
                for number in range(300):
                    key = f"{number}.example"
                    nursery.start_soon(partial(client.call, "htable.setxi", ["vh", key, 1, 60]))
            assert (client.counters.done, client.counters.silent) == (301, 0)
            assert client.counters.retried == 0
            kamailio.stop()
            assert isinstance(await client.call("core.uptime", wait=0.01, attempts=1), Silent)
            kamailio.start()
            assert isinstance(await client.call("core.uptime"), Done)
