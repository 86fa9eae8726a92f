"""The proxies of one machine: who of them is told what, over sockets that answer like a proxy."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from fastvhost.config import Proxies
from fastvhost.domains.proxy_links import ProxyLinks
from tests.support import until


class Proxy:
    """Does all that it is asked; its htable is a dict."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.entries: dict[str, tuple[int, int]] = {}
        self.target = ""

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", 0))
            self.target = f"udp:127.0.0.1:{sock.getsockname()[1]}"
            task_status.started()
            while True:
                octets, client = await sock.recvfrom(65_535)
                request = json.loads(octets)
                reply = {"jsonrpc": "2.0", "id": request["id"], **self._do(request)}
                await sock.sendto(json.dumps(reply).encode(), client)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request.get("params", [])
        self.asked.append(method)
        if method == "htable.setxi":
            self.entries[params[1]] = (params[2], params[3])
        elif method == "htable.delete":
            self.entries.pop(params[1], None)
        elif method == "htable.get" and params[1] not in self.entries:
            return {"error": {"code": 500, "message": "Key name doesn't exist in htable."}}
        return {"result": {}}

    @property
    def told(self) -> dict[str, tuple[int, int]]:
        return {key: entry for key, entry in self.entries.items() if not key.startswith("_fastvhost")}

    def reloads(self) -> list[str]:
        return [method for method in self.asked if "reload" in method]


@asynccontextmanager
async def proxies(count: int) -> AsyncIterator[list[Proxy]]:
    async with trio.open_nursery() as nursery:
        started = [Proxy() for _ in range(count)]
        for proxy in started:
            await nursery.start(proxy.serve)
        yield started
        nursery.cancel_scope.cancel()


async def test_without_proxies_nothing_is_done() -> None:
    links = ProxyLinks(Proxies(), known=lambda: ["a.example"], ttl=60.0)
    async with links.open():
        links.rows_changed()
        links.hosted("a.example")
        links.gone("a.example")
    assert links.counts() == {}


async def test_each_proxy_is_reloaded_at_the_start_in_its_own_words() -> None:
    async with proxies(2) as (kamailio, opensips):
        config = Proxies(kamailio=(kamailio.target,), opensips=(opensips.target,), reload_interval=0.05)
        links = ProxyLinks(config, known=list, ttl=60.0)
        async with links.open():
            await until(lambda: links.counts()["reload.done"] == 2)
            assert (kamailio.reloads(), opensips.reloads()) == (["domain.reload"], ["domain:reload"])
            links.rows_changed()
            await until(lambda: links.counts()["reload.done"] == 4)
        assert not kamailio.told
        assert "htable.pushed" not in links.counts()


async def test_htable_gets_all_that_is_known_then_what_changes_and_opensips_none_of_it() -> None:
    async with proxies(3) as (first, second, opensips):
        config = Proxies(kamailio=(first.target, second.target), opensips=(opensips.target,), htable="vh")
        links = ProxyLinks(config, known=lambda: ["a.example", "b.example"], ttl=60.0)
        async with links.open():
            for proxy in (first, second):
                await until(lambda proxy=proxy: len(proxy.told) == 2)  # type: ignore[misc]
            links.hosted("c.example")
            links.gone("a.example")
            expected = {"b.example": (1, 60), "c.example": (1, 60)}
            await until(lambda: first.told == second.told == expected)
            await until(lambda: links.counts()["htable.deleted"] == 2)
            assert links.counts()["htable.full_pushes"] == 2
        assert not opensips.told


async def test_names_are_looked_up_when_the_proxy_is_first_heard() -> None:
    known = ["a.example"]
    async with proxies(1) as (kamailio,):
        links = ProxyLinks(Proxies(kamailio=(kamailio.target,), htable="vh"), known=lambda: known, ttl=60.0)
        known.append("b.example")
        async with links.open():
            await until(lambda: set(kamailio.told) == {"a.example", "b.example"})


async def test_one_target_named_twice_has_one_socket_and_silent_proxy_delays_no_other() -> None:
    async with proxies(1) as (proxy,):
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as deaf:
            await deaf.bind(("127.0.0.1", 0))
            silent = f"udp:127.0.0.1:{deaf.getsockname()[1]}"
            config = Proxies(kamailio=(silent, proxy.target), opensips=(proxy.target,))
            links = ProxyLinks(config, known=list, ttl=60.0)
            with trio.fail_after(5.0):
                async with links.open():
                    await until(lambda: len(proxy.reloads()) == 2)


async def test_target_that_is_no_loopback_socket_is_refused() -> None:
    links = ProxyLinks(Proxies(kamailio=("udp:192.0.2.1:9",)), known=list, ttl=60.0)
    with pytest.raises(ValueError, match="loopback"):
        async with links.open():
            pytest.fail("it opened")


async def test_cancelled_links_close() -> None:
    async with proxies(1) as (proxy,):
        links = ProxyLinks(Proxies(kamailio=(proxy.target,), htable="vh"), known=list, ttl=60.0)
        with trio.move_on_after(5.0) as scope:
            async with links.open():
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
