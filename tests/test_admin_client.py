"""The client of the admin face: against the face itself, and against what is none."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trio.testing

from fastvhost.admin_client import NoAdminError, fetch
from fastvhost.config import Endpoint
from fastvhost.service import open_service
from fastvhost.top.live import look
from tests.support import ZONE, config_on, free_endpoint
from tools.dnslab import open_lab

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Endpoint]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        address, port = listener.socket.getsockname()
        nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
        yield Endpoint(address, port)
        nursery.cancel_scope.cancel()


def saying(octets: bytes) -> Serve:
    """Answers whatever comes with these octets."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the client may have had enough
            await stream.receive_some()
            await stream.send_all(octets)
            await stream.aclose()

    return serve


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_answer_has_status_and_body() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, listen={"admin": free_endpoint()})) as service,
    ):
        assert service.admin_endpoint is not None
        found = await fetch(service.admin_endpoint, "/healthz")
        assert (found.status, found.text) == (200, "ok\n")
        refused = await fetch(service.admin_endpoint, "/sources?limit=0")
        assert refused.status == 400
        assert refused.text.startswith("parameter 'limit'")


async def test_answer_over_ipv6_is_fetched() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, listen={"admin": free_endpoint("::1")})) as service,
    ):
        assert service.admin_endpoint is not None
        assert (await fetch(service.admin_endpoint, "/healthz")).status == 200


async def test_closed_port_is_no_admin_and_says_why() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        server = Endpoint(*taken.getsockname())
        with pytest.raises(NoAdminError, match=f"^no answer from {server}: Connection refused$"):
            await fetch(server, "/metrics")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0\0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 4_100_000,
    ],
)
async def test_octets_that_are_no_response_are_no_admin(octets: bytes) -> None:
    async with serving(saying(octets)) as server:
        with pytest.raises(NoAdminError, match=f"^(what answers at|no answer from) {server}"):
            await fetch(server, "/metrics")


async def test_connection_closed_without_a_response_is_said_so() -> None:
    async with serving(saying(b"")) as server:
        with pytest.raises(
            NoAdminError, match=r"is no admin face: the connection was closed without a response$"
        ):
            await fetch(server, "/metrics")


async def test_fetch_that_is_cancelled_ends() -> None:
    async with serving(silent) as server:
        with trio.move_on_after(0.01) as scope:
            await fetch(server, "/metrics")
        assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "/metrics has status 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n", "no metric: '<html>'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n", "no metrics of fastvhost"),
    ],
)
async def test_look_at_another_server_says_what_is_wrong_with_it(octets: bytes, why: str) -> None:
    async with serving(saying(octets)) as server:
        with pytest.raises(NoAdminError) as raised:
            await look(server)
    assert str(raised.value) == f"what answers at {server} is not fastvhost's admin face: {why}"


async def test_look_at_a_silent_server_ends_after_five_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(silent) as server:
        with pytest.raises(NoAdminError, match=f"^no answer from {server} within 5 s$"):
            await look(server)
    assert trio.current_time() == pytest.approx(5.0, abs=0.5)
