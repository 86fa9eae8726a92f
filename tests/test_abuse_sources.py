"""The attacker with many addresses, over real sockets: whom a flood of sources may and may not harm."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_network

import trio

from fastvhost.faces.pdb import PdbFace
from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.support import ZONE, PdbClient, config_on, until
from tools.dnslab import Lab, open_lab

GOOD = "192.0.2.1"


@asynccontextmanager
async def service_on(lab: Lab, **sections: object) -> AsyncIterator[Service]:
    listen = {"answer_within": 5.0}
    async with open_service(config_on(lab, listen=listen, dns={"timeout": 5.0}, **sections)) as service:
        yield service


class Flood:
    """Unknown hosts, each in a zone and from a source of its own, and the verdicts that came back.

    No more are under way than the buffers hold, so each request is answered.
    """

    def __init__(self, client: PdbClient, name: Callable[[int], str]) -> None:
        self._client = client
        self._name = name
        self.kinds: Counter[int] = Counter()

    async def run(self, requests: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect, requests)
            for number in range(requests):
                await self._client.send(write_request(self._name(number).encode(), 0))
                await until(lambda sent=number: sent - self.kinds.total() < 200, within=30.0)  # type: ignore[misc]

    async def _collect(self, requests: int) -> None:
        while self.kinds.total() < requests:
            self.kinds[(await self._client.receive())[-1]] += 1


def new_host_and_source(number: int) -> str:
    return f"h.zone{number}.test 10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


async def test_established_source_gets_its_walks_while_15_000_new_sources_spend_the_upstream() -> None:
    async with (
        open_lab([ZONE], unknown="nxdomain") as lab,
        service_on(lab, limits={"upstream_qps": 50}) as service,
    ):
        assert service.pdb_endpoint is not None
        with PdbClient(service.pdb_endpoint) as attacker, PdbClient(service.pdb_endpoint) as good:
            await good.ask("hosted.example")
            assert await good.ask(f"hosted.example {GOOD}") is VerdictKind.HOSTED
            flood = Flood(attacker, new_host_and_source)
            told: dict[str, Counter[VerdictKind]] = {GOOD: Counter(), "192.0.2.2": Counter()}

            async def ask_new_hosts() -> None:
                number = 0
                while True:
                    number += 1
                    for source, kinds in told.items():
                        kinds[await good.ask(f"new{number}.good{number}{source[-1]}.test {source}")] += 1
                    await trio.sleep(0.1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_new_hosts)
                await flood.run(15_000)
                nursery.cancel_scope.cancel()
            assert flood.kinds[VerdictKind.LIMITED] > 10_000
            established, stranger = told.values()
            assert established.keys() == {VerdictKind.NOT_HOSTED}
            assert established.total() >= 5
            assert stranger[VerdictKind.LIMITED] > 0


async def test_source_that_spends_too_much_stays_limited_while_6_000_others_ask() -> None:
    """Two walks, and one more each second: nobody who comes between brings one back before its time."""
    limits = {"upstream_qps": 1_000_000, "source_rate": 1.0, "zone_rate": 1_000_000}
    async with open_lab([ZONE], unknown="nxdomain") as lab, service_on(lab, limits=limits) as service:
        assert service.pdb_endpoint is not None
        with PdbClient(service.pdb_endpoint) as attacker:
            started = trio.current_time()

            def name(number: int) -> str:
                return f"h{number}.test {GOOD}" if number % 4 == 0 else new_host_and_source(number)

            await Flood(attacker, name).run(6_000)
            walked = {asked for asked, _ in lab.queries if asked.startswith("h") and asked.count(".") == 1}
            assert 2 <= len(walked) <= 3 + (trio.current_time() - started)


async def test_known_domain_is_answered_at_once_and_keeps_its_place_under_all_of_it() -> None:
    """A small cache, few slots, a spent upstream: none of it is the known domain's."""
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        limits = {"upstream_qps": 100, "upstream_inflight": 4}
        cache = {"unknown_entries": 100, "hosted_ttl": (0.2, 0.2)}
        async with service_on(lab, limits=limits, cache=cache) as service:
            assert service.pdb_endpoint is not None
            with PdbClient(service.pdb_endpoint) as attacker, PdbClient(service.pdb_endpoint) as good:
                assert await good.ask("hosted.example") is VerdictKind.HOSTED
                kinds: Counter[VerdictKind] = Counter()
                seen = lab.queries["hosted.example", "NAPTR"]

                async def ask_known() -> None:
                    while True:
                        kinds[await good.ask("hosted.example", within=5.0)] += 1
                        await trio.sleep(0.01)

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask_known)
                    await Flood(attacker, new_host_and_source).run(10_000)
                    nursery.cancel_scope.cancel()
                counters = service.counters()
                assert kinds.keys() == {VerdictKind.HOSTED}
                assert counters["lookup.refreshes"] > 0
                assert lab.queries["hosted.example", "NAPTR"] > seen
                assert counters["cache.unknown_entries"] <= 100
                assert counters["cache.hosted_entries"] == 1


async def test_source_queries_over_the_rate_are_limited_but_for_known_domains() -> None:
    async with (
        open_lab([ZONE], unknown="nxdomain") as lab,
        service_on(lab, limits={"source_queries": 1.0}) as service,
    ):
        assert service.pdb_endpoint is not None
        with PdbClient(service.pdb_endpoint) as client:
            await client.ask("hosted.example")
            flood = Flood(client, lambda _: f"elsewhere.example {GOOD}")
            await flood.run(5_000)
            assert flood.kinds[VerdictKind.LIMITED] > 4_900
            assert await client.ask(f"hosted.example {GOOD}") is VerdictKind.HOSTED
            assert await client.ask("elsewhere.example") is VerdictKind.NOT_HOSTED


async def test_unlisted_clients_are_dropped_unread_and_remembered_nowhere() -> None:
    """From 2,000 addresses that are not allowed, among them octets that no face could read."""
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, listen={"allow": (ip_network("127.0.0.1"),)})
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            pdb = service.faces["pdb"]
            assert isinstance(pdb, PdbFace)
            for number in range(2_000):
                with PdbClient(service.pdb_endpoint) as stranger:
                    await stranger.socket.bind((f"127.1.{number >> 8}.{number & 255}", 0))
                    await stranger.send(b"\xff" * 100 if number % 2 else write_request(b"hosted.example", 1))
            await until(lambda: service.counters()["pdb.not_allowed"] == 2_000)
            with PdbClient(service.pdb_endpoint) as friend:
                await friend.ask("192.0.2.1")
            counters = service.counters()
            assert counters["pdb.not_pdb"] == 0
            assert counters["pdb.sent"] == counters["lookup.literals"] == 1
            assert pdb.datagrams._allowed_before == {IPv4Address("127.0.0.1").packed}
            assert lab.total == 0


async def test_allowed_clients_beyond_those_remembered_are_answered_and_memory_is_bounded() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        assert service.pdb_endpoint is not None
        pdb = service.faces["pdb"]
        assert isinstance(pdb, PdbFace)
        most = 0
        for number in range(5_000):
            with PdbClient(service.pdb_endpoint) as client:
                await client.socket.bind((f"127.2.{number >> 8}.{number & 255}", 0))
                await client.send(write_request(b"192.0.2.1", 1))
                await client.receive()
            most = max(most, len(pdb.datagrams._allowed_before))
        assert most == 4_096
        await until(lambda: service.counters()["pdb.sent"] == 5_000)
