"""A running service turns to another configuration: what changes at once, what stays, and what is refused."""

import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import dns.message
import dns.rcode
import pytest
import trio

from fastvhost import Config, ConfigError, ListenError, Service, StoppedError, VerdictKind, open_service
from fastvhost.config import Own
from fastvhost.faces.dns import bind_dns
from fastvhost.faces.pdb_codec import write_request
from fastvhost.faces.tcp import bind_tcp
from tests.http_client import get
from tests.support import ZONE, PdbClient, config_on, free_endpoint, until
from tools.dnslab import Fault, Lab, open_lab

ELSEWHERE = Own(addresses=(ip_network("198.51.100.7"),))


def changed(config: Config, **sections: Any) -> Config:
    """The same with single keys of sections changed."""
    return replace(
        config, **{name: replace(getattr(config, name), **keys) for name, keys in sections.items()}
    )


@asynccontextmanager
async def running(**sections: Any) -> AsyncIterator[tuple[Lab, Service, Config]]:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(lab, **sections)
        async with open_service(config) as service:
            yield lab, service, config


def pdb_client(service: Service) -> PdbClient:
    assert service.pdb_endpoint is not None
    return PdbClient(service.pdb_endpoint)


async def test_limits_change_at_once_and_what_is_cached_stays() -> None:
    async with running() as (lab, service, config):
        assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
        asked = lab.total
        outcome = service.reload(changed(config, limits={"zone_rate": 1.0}))
        assert outcome.at_once == ("limits.zone_rate",)
        assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
        assert lab.total == asked
        kinds = [(await service.lookup(f"n{number}.limited.test")).kind for number in range(4)]
        assert kinds == [VerdictKind.NOT_HOSTED] * 2 + [VerdictKind.LIMITED] * 2


async def test_budgets_whose_limits_stay_go_on_as_they_stand() -> None:
    async with running(limits={"zone_rate": 1.0}) as (_, service, config):
        spent = [(await service.lookup(f"n{number}.limited.test")).kind for number in range(3)]
        assert spent[-1] is VerdictKind.LIMITED
        for number in range(5):
            service.reload(changed(config, dns={"timeout": 1.0 + number}))
            verdict = await service.lookup(f"m{number}.limited.test")
            assert verdict.kind is VerdictKind.LIMITED


async def test_other_addresses_of_ours_change_what_is_known() -> None:
    async with running() as (_, service, config):
        with pdb_client(service) as client:
            assert await client.ask("hosted.example") is VerdictKind.HOSTED
            assert await client.ask("elsewhere.example") is VerdictKind.NOT_HOSTED
            service.reload(replace(config, own=ELSEWHERE))
            assert await client.ask("elsewhere.example") is VerdictKind.HOSTED
            await client.ask("hosted.example")  # the last answer from memory: it has DNS asked
            with trio.fail_after(10):
                while await client.ask("hosted.example") is VerdictKind.HOSTED:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert await client.ask("hosted.example") is VerdictKind.NOT_HOSTED


async def test_walk_under_way_meanwhile_is_answered_and_not_believed_any_longer() -> None:
    async with running() as (lab, service, config):
        lab.faults = [Fault(name="elsewhere.example", delay=0.3)]
        kinds = []
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                kinds.append((await service.lookup("elsewhere.example")).kind)

            nursery.start_soon(ask)
            await lab.wait_for_queries(1)
            service.reload(replace(config, own=ELSEWHERE))
        assert kinds == [VerdictKind.NOT_HOSTED]
        assert (await service.lookup("elsewhere.example")).kind is VerdictKind.HOSTED


async def test_operator_s_lists_change_at_once_for_those_who_asked_before() -> None:
    async with running(domains={"always": ("mine.test",)}) as (_, service, config):
        with pdb_client(service) as client:
            for _ in range(3):
                assert await client.ask("mine.test") is VerdictKind.HOSTED
            service.reload(changed(config, domains={"always": (), "never": ("mine.test", ".gone.test")}))
            assert await client.ask("mine.test") is VerdictKind.NOT_HOSTED
            assert await client.ask("a.gone.test") is VerdictKind.NOT_HOSTED


async def test_clients_that_are_allowed_no_more_get_no_reply() -> None:
    async with running() as (_, service, config):
        with pdb_client(service) as client:
            assert await client.ask("203.0.113.10") is VerdictKind.HOSTED
            service.reload(changed(config, listen={"allow": (ip_network("192.0.2.1"),)}))
            await client.send(write_request(b"203.0.113.10", 1))
            await until(lambda: service.counters()["pdb.not_allowed"] == 1)


async def test_other_address_is_answered_at_once_and_what_the_old_one_owes_is_paid() -> None:
    async with running(listen={"answer_within": 5.0}) as (lab, service, config):
        lab.faults = [Fault(name="hosted.example", delay=0.3)]
        before = service.pdb_endpoint
        with pdb_client(service) as waiting:
            await waiting.send(write_request(b"hosted.example", 1))
            await lab.wait_for_queries(1)
            service.reload(changed(config, listen={"pdb": free_endpoint("127.0.0.2"), "answer_within": 5.0}))
            assert service.pdb_endpoint != before
            with pdb_client(service) as client:
                assert await client.ask("203.0.113.10") is VerdictKind.HOSTED
            with trio.fail_after(5):
                assert (await waiting.receive())[-1] == VerdictKind.HOSTED


async def test_old_address_is_free_once_nothing_is_owed_there() -> None:
    async with running(listen={"answer_within": 0.1}) as (_, service, config):
        before = service.pdb_endpoint
        assert before is not None
        service.reload(changed(config, listen={"pdb": free_endpoint("127.0.0.2")}))

        def is_free() -> bool:
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                try:
                    sock.bind(before)
                except OSError:
                    return False
                return True

        await until(is_free)


async def test_faces_are_turned_off_and_on() -> None:
    async with running() as (_, service, config):
        service.reload(changed(config, listen={"pdb": None, "dns": free_endpoint()}))
        assert list(service.endpoints()) == ["dns"]
        service.reload(changed(config, listen={"pdb": free_endpoint()}))
        with pdb_client(service) as client:
            assert await client.ask("hosted.example") is VerdictKind.HOSTED


async def test_requests_during_reloads_are_all_answered() -> None:
    """2,000 requests, none of them repeated, while the configuration changes 200 times."""
    async with running() as (_, service, config):
        with pdb_client(service) as client:
            replies = 0

            async def collect() -> None:
                nonlocal replies
                for _ in range(2_000):
                    await client.receive()
                    replies += 1

            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(collect)
                    for number in range(2_000):
                        await client.send(write_request(b"203.0.113.10", number))
                        if number % 10 == 0:
                            service.reload(changed(config, cache={"stale": float(number)}))
                        # No more under way than the buffers hold.
                        await until(lambda sent=number: sent - replies < 100)
            assert replies == 2_000


async def test_taken_address_is_refused_and_everything_stays() -> None:
    async with running() as (_, service, config):
        with socket.socket(type=socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            pdb = free_endpoint()._replace(port=taken.getsockname()[1])
            before = service.endpoints()
            with pytest.raises(ListenError, match=f"cannot listen on UDP {pdb}: Address already in use"):
                service.reload(
                    changed(
                        config, listen={"pdb": pdb, "dns": free_endpoint()}, domains={"always": ("a.test",)}
                    )
                )
        assert service.endpoints() == before
        assert (await service.lookup("a.test")).kind is VerdictKind.NOT_HOSTED


async def test_no_server_to_ask_is_refused_and_everything_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_servers(_: Config) -> None:
        raise ConfigError("name at least one server in dns.servers")

    async with running() as (_, service, config):
        monkeypatch.setattr("fastvhost.service.servers_of", no_servers)
        with pytest.raises(ConfigError):
            service.reload(changed(config, listen={"dns": free_endpoint()}))
        assert list(service.endpoints()) == ["pdb"]
        assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED


async def test_other_servers_are_asked_from_then_on() -> None:
    async with running() as (first, service, config), open_lab([ZONE], unknown="nxdomain") as second:
        servers = (free_endpoint()._replace(port=second.address[1]),)
        service.reload(changed(config, dns={"servers": servers}))
        await service.lookup("hosted.example")
        assert (first.total, second.total > 0) == (0, True)
        assert service.counters()["upstream.udp"] == second.total


async def test_zone_of_the_dns_face_changes_and_its_connections_stay() -> None:
    async with running(listen={"dns": free_endpoint()}) as (_, service, config):
        assert service.dns_endpoint is not None
        stream = await trio.open_tcp_stream(*service.dns_endpoint)
        async with stream:

            async def rcode(name: str) -> dns.rcode.Rcode:
                message = dns.message.make_query(name, "A").to_wire()
                await stream.send_all(struct.pack("!H", len(message)) + message)
                octets = await stream.receive_some()
                return dns.message.from_wire(octets[2:]).rcode()

            with trio.fail_after(10):
                assert await rcode("hosted.example.vhost.internal") is dns.rcode.NOERROR
                service.reload(changed(config, listen={"dns": free_endpoint(), "zone": "other.internal"}))
                assert await rcode("hosted.example.vhost.internal") is dns.rcode.REFUSED
                assert await rcode("hosted.example.other.internal") is dns.rcode.NOERROR


async def test_passed_sockets_are_answered_on_before_and_after_a_reload() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as pdb:
        pdb.bind(("127.0.0.1", 0))
        datagrams, stream = bind_dns(free_endpoint())
        with datagrams, stream:
            async with open_lab([ZONE]) as lab:
                config = config_on(lab, listen={"dns": free_endpoint()})
                passed = {"pdb": [pdb], "dns": [stream, datagrams]}
                async with open_service(config, passed=passed) as service:
                    assert service.pdb_endpoint == pdb.getsockname()
                    assert service.dns_endpoint == datagrams.getsockname() == stream.getsockname()
                    service.reload(changed(config, listen={"pdb": free_endpoint("127.0.0.2")}))
                    assert service.pdb_endpoint == pdb.getsockname()
                    with pdb_client(service) as client:
                        assert await client.ask("hosted.example") is VerdictKind.HOSTED


@pytest.mark.parametrize(
    ("name", "kinds", "said"),
    [
        ("pdb", [socket.SOCK_STREAM], "as pdb: one is needed, of datagrams; there are SOCK_STREAM"),
        (
            "dns",
            [socket.SOCK_DGRAM],
            "as dns: two are needed, of datagrams and of a stream; there are SOCK_DGRAM",
        ),
        ("admin", [socket.SOCK_DGRAM], "as admin: one is needed, of a stream; there are SOCK_DGRAM"),
        ("sip", [socket.SOCK_DGRAM], "as sip: the names of faces are pdb, dns, admin$"),
    ],
)
async def test_passed_sockets_that_no_face_can_use_are_one_clear_line(
    name: str, kinds: list[socket.SocketKind], said: str
) -> None:
    passed = {name: [socket.socket(type=kind) for kind in kinds]}
    listen = {"dns": free_endpoint(), "admin": free_endpoint()}
    try:
        async with open_lab([ZONE]) as lab:
            with pytest.raises(ListenError, match=said):
                async with open_service(config_on(lab, listen=listen), passed=passed):
                    pytest.fail("it started")
    finally:
        for sock in passed[name]:
            sock.close()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("pdb", [socket.SOCK_DGRAM]),
        ("dns", [socket.SOCK_DGRAM, socket.SOCK_STREAM]),
        ("admin", [socket.SOCK_STREAM]),
    ],
)
async def test_passed_socket_whose_clients_have_no_address_is_one_clear_line(
    name: str, kinds: list[socket.SocketKind]
) -> None:
    passed = {name: [socket.socket(socket.AF_UNIX, kind) for kind in kinds]}
    listen = {"dns": free_endpoint(), "admin": free_endpoint()}
    try:
        async with open_lab([ZONE]) as lab:
            with pytest.raises(ListenError, match=f"as {name}: of IPv4 or IPv6 they are to be, not AF_UNIX$"):
                async with open_service(config_on(lab, listen=listen), passed=passed):
                    pytest.fail("it started")
    finally:
        for sock in passed[name]:
            sock.close()


async def test_reload_while_the_service_ends_leaves_nothing_running() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab)
        with trio.fail_after(10):
            async with open_service(config) as service:
                service.reload(changed(config, listen={"pdb": free_endpoint("127.0.0.2")}))


async def test_queries_are_logged_from_the_next_one_on_repeated_ones_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "fastvhost.query_log")
    async with running() as (_, service, config):
        with pdb_client(service) as client:
            for _ in range(2):
                await client.ask("hosted.example 192.0.2.1")
            assert caplog.messages == []
            service.reload(changed(config, log={"queries": 1.0}))
            for _ in range(3):
                await client.ask("hosted.example 192.0.2.1")
            await client.ask("elsewhere.example")
            assert caplog.messages == [
                *["query hosted.example from 192.0.2.1: HOSTED"] * 3,
                "query elsewhere.example from -: LOOKING",
            ]
            service.reload(config)
            await client.ask("hosted.example 192.0.2.1")
            assert len(caplog.messages) == 4


async def test_reload_after_the_end_is_refused() -> None:
    async with open_lab([ZONE]) as lab:
        async with open_service(config_on(lab)) as service:
            pass
        with pytest.raises(StoppedError):
            service.reload(config_on(lab))


async def test_denial_that_comes_late_from_servers_of_before_is_not_kept() -> None:
    async with running() as (first, service, config), open_lab([ZONE], unknown="nxdomain") as second:
        first.faults = [Fault(delay=0.1)]
        servers = (free_endpoint()._replace(port=second.address[1]),)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.lookup, "madeup.test")
            await first.wait_for_queries(1)
            service.reload(changed(config, dns={"servers": servers}))
        assert (await service.lookup("madeup.test")).kind is VerdictKind.NOT_HOSTED
        assert (first.total, second.total) == (1, 1)


async def test_what_is_known_of_servers_stays_unless_dns_changes() -> None:
    async with running() as (_, service, config):
        upstream = service._asking._upstream
        service.reload(changed(config, cache={"stale": 1.0}, limits={"zone_rate": 1.0}))
        assert service._asking._upstream is upstream
        service.reload(changed(config, dns={"timeout": 1.0}))
        assert service._asking._upstream is not upstream


async def test_wildcards_are_probed_again_where_other_addresses_are_ours() -> None:
    async with running() as (_, service, config):
        service._wildcards.note("a.b.example", 0.0)
        service.reload(changed(config, cache={"stale": 1.0}))
        assert len(service._wildcards._noted) == 1
        service.reload(replace(config, own=ELSEWHERE))
        assert len(service._wildcards._noted) == 0


async def test_other_prefixes_are_other_sources_among_those_who_ask_most() -> None:
    async with running() as (_, service, config):
        await service.lookup("madeup.test", source="192.0.2.1")
        service.reload(changed(config, limits={"source_prefix": (24, 48)}))
        await service.lookup("another.test", source="192.0.2.1")
        top = service.talkers.sources(10, trio.current_time())
        assert [talker.name for talker in top] == ["192.0.2.0/24"]


async def test_admin_face_moves_and_shows_the_limits_in_force() -> None:
    async with running(listen={"admin": free_endpoint(), "answer_within": 0.1}) as (_, service, config):
        before = service.admin_endpoint
        assert before is not None
        service.reload(
            changed(config, listen={"admin": free_endpoint("127.0.0.2")}, limits={"upstream_qps": 77.0})
        )
        after = service.admin_endpoint
        assert after is not None
        assert after.address == "127.0.0.2"
        assert 'fastvhost_limit{key="limits.upstream_qps"} 77' in (await get(after, "/metrics")).text

        def is_closed() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(before) != 0

        await until(is_closed)


async def test_admin_face_turns_away_clients_that_are_allowed_no_more() -> None:
    async with running(listen={"admin": free_endpoint()}) as (_, service, config):
        admin = service.admin_endpoint
        assert admin is not None
        assert (await get(admin, "/healthz")).status == 200
        service.reload(
            changed(config, listen={"admin": config.listen.admin, "allow": (ip_network("192.0.2.1"),)})
        )
        with socket.socket() as sock:
            sock.connect(admin)
            await until(lambda: service.counters()["admin.not_allowed"] == 1)


async def test_passed_socket_is_answered_by_the_admin_face() -> None:
    async with open_lab([ZONE]) as lab:
        with bind_tcp(free_endpoint()) as sock:
            config = config_on(lab, listen={"admin": free_endpoint("127.0.0.2")})
            async with open_service(config, passed={"admin": [sock]}) as service:
                assert service.admin_endpoint == sock.getsockname()
                assert (await get(service.admin_endpoint, "/healthz")).status == 200
