"""HTTP over real sockets: what is answered, and what bounds a client."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from ipaddress import ip_network

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.faces import http
from fastvhost.faces.http import HttpLoop, Respond
from fastvhost.faces.http_message import HttpRequest, HttpResponse
from fastvhost.faces.tcp import bind_tcp
from tests.http_client import get, raw
from tests.support import free_endpoint, until

REQUEST = b"GET /%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(body=request.path.encode())


@asynccontextmanager
async def serving(respond: Respond = echo, *, allow: str = "127.0.0.0/8") -> AsyncIterator[HttpLoop]:
    async with trio.open_nursery() as nursery:
        with closing(bind_tcp(free_endpoint())) as sock:
            loop = HttpLoop(
                sock,
                allow=[ip_network(allow)],
                respond=respond,
                headers=[("X-Always", "there")],
                wall_clock=lambda: 0.0,
            )
            nursery.start_soon(loop.serve)
            yield loop
            nursery.cancel_scope.cancel()


async def test_response_has_status_headers_and_body() -> None:
    async with serving() as loop:
        reply = await get(loop.endpoint, "/hello")
    assert (reply.status, reply.text) == (200, "/hello")
    assert reply.headers == {
        "date": "Thu, 01 Jan 1970 00:00:00 GMT",
        "content-type": "text/plain; charset=utf-8",
        "content-length": "6",
        "x-always": "there",
        "connection": "close",
    }


async def test_head_is_answered_like_get_without_body() -> None:
    async with serving() as loop:
        reply = await get(loop.endpoint, "/hello", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    async with serving() as loop:
        octets = await raw(loop.endpoint, b"".join(REQUEST % number for number in range(3)) + LAST)
        assert re.findall(rb"\r\n\r\n(/\d|/last)", octets) == [b"/0", b"/1", b"/2", b"/last"]
        assert loop.counters.requests == 4
        await until(lambda: loop.counts()["open"] == 0)
        assert loop.counters.accepted == 1


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nsomething", 405),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nsomething", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:40].hex()[-16:] + str(len(value)),
)
async def test_request_that_is_not_as_it_should_be_is_refused_in_one_line(octets: bytes, status: int) -> None:
    async with serving() as loop:
        reply = await raw(loop.endpoint, octets)
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), reply
        assert body.endswith(b"\n")
        assert body.count(b"\n") == 1
        assert loop.counters.refused == 1
        assert (await get(loop.endpoint, "/after")).status == 200


async def send_for_ever(stream: trio.SocketStream) -> None:
    with trio.fail_after(5.0):
        while True:
            await stream.send_all(b"G")
            await trio.sleep(0.01)


async def test_client_that_sends_nothing_or_a_little_is_closed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "_REQUEST_SECONDS", 0.1)
    async with serving() as loop:
        assert await raw(loop.endpoint, b"") == b""
        assert loop.counters.slow_clients == 0
        stream = await trio.open_tcp_stream(*loop.endpoint)
        async with stream:
            with pytest.raises(trio.BrokenResourceError):
                await send_for_ever(stream)  # an octet now and then holds the connection no longer
        await until(lambda: loop.counts()["open"] == 0)
        assert loop.counters.slow_clients == 1
        assert loop.counters.requests == 0


async def test_client_that_does_not_read_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SEND_SECONDS", 0.1)

    async def much(_: HttpRequest) -> HttpResponse:
        return HttpResponse(body=bytes(32 * 1024 * 1024))

    async with serving(much) as loop:
        stream = await trio.open_tcp_stream(*loop.endpoint)
        async with stream:
            await stream.send_all(LAST)
            await until(lambda: loop.counters.slow_clients == 1)


async def test_client_over_the_bound_is_closed_at_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_HTTP_CONNECTIONS", 2)
    async with serving() as loop:
        first = await trio.open_tcp_stream(*loop.endpoint)
        second = await trio.open_tcp_stream(*loop.endpoint)
        async with first, second:
            await until(lambda: loop.counts()["open"] == 2)
            assert await raw(loop.endpoint, b"") == b""
            assert loop.counters.no_room == 1
        await until(lambda: loop.counts()["open"] == 0)
        assert (await get(loop.endpoint, "/")).status == 200


async def test_client_that_is_not_allowed_gets_nothing() -> None:
    async with serving(allow="192.0.2.0/24") as loop:
        assert await raw(loop.endpoint, b"") == b""
        assert (loop.counters.not_allowed, loop.counters.accepted) == (1, 0)


async def test_fault_in_a_page_is_a_500_and_one_traceback_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def faulty(_: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError("<secret>")

    async with serving(faulty) as loop:
        with caplog.at_level(logging.ERROR):
            replies = [await get(loop.endpoint, "/x") for _ in range(3)]
    assert [(reply.status, reply.text) for reply in replies] == [(500, "internal fault; see the log\n")] * 3
    assert loop.counters.faults == 3
    assert len(caplog.records) == 1


async def test_page_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_RESPOND_SECONDS", 0.05)
    given_up = trio.Event()

    async def endless(_: HttpRequest) -> HttpResponse:
        try:
            await trio.sleep_forever()
        finally:
            given_up.set()

    async with serving(endless) as loop:
        assert (await get(loop.endpoint, "/")).status == HTTPStatus.SERVICE_UNAVAILABLE
        assert given_up.is_set()


async def test_loop_that_is_cancelled_ends_its_connections() -> None:
    async with serving() as loop:
        stream = await trio.open_tcp_stream(*loop.endpoint)
        await until(lambda: loop.counts()["open"] == 1)
    async with stream:
        with trio.fail_after(5.0):
            assert await stream.receive_some() == b""
    assert loop.counts()["open"] == 0


async def test_client_that_resets_its_connection_harms_nobody() -> None:
    async with serving() as loop:
        stream = await trio.open_tcp_stream(*loop.endpoint)
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await stream.send_all(REQUEST % 1)
        await stream.aclose()
        await until(lambda: loop.counts()["open"] == 0)
        assert (await get(loop.endpoint, "/")).status == 200


def test_endpoint_is_the_one_that_the_kernel_chose() -> None:
    with closing(bind_tcp(Endpoint("127.0.0.1", 0))) as sock:
        loop = HttpLoop(sock, allow=(), respond=echo, headers=(), wall_clock=lambda: 0.0)
        assert loop.endpoint == Endpoint(*sock.getsockname())
