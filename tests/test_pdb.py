"""The PDB face over real sockets: who is answered, with what, and when."""

import socket
from contextlib import ExitStack
from ipaddress import ip_network
from itertools import cycle

import pytest
import trio

from fastvhost.config import Config, Endpoint
from fastvhost.domains.table import Standing
from fastvhost.faces.pdb import PdbFace
from fastvhost.faces.pdb_codec import write_reply, write_request
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.support import ZONE, PdbClient, config_on, free_endpoint, until
from tools.dnslab import Effect, Fault, Lab, open_lab


def pdb_of(service: Service) -> Endpoint:
    assert service.pdb_endpoint is not None
    return service.pdb_endpoint


async def test_host_of_each_kind_gets_its_verdict() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        config = config_on(lab, listen={"answer_within": 5.0})
        async with open_service(config) as service:
            with PdbClient(pdb_of(service)) as client:
                assert await client.ask("hosted.example") is VerdictKind.HOSTED
                assert await client.ask("HOSTED.Example.") is VerdictKind.HOSTED
                assert await client.ask("203.0.113.10") is VerdictKind.HOSTED
                assert await client.ask("[2001:db8::10]") is VerdictKind.HOSTED
                assert await client.ask("elsewhere.example") is VerdictKind.NOT_HOSTED
                assert await client.ask("madeup.example") is VerdictKind.NOT_HOSTED
                assert await client.ask("192.0.2.1") is VerdictKind.NOT_HOSTED
                assert await client.ask("broken.example") is VerdictKind.UNDETERMINED
                assert await client.ask("foo_bar") is VerdictKind.MALFORMED
                assert await client.ask("") is VerdictKind.MALFORMED


async def test_reply_echoes_id_and_name_octet_for_octet() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, listen={"answer_within": 5.0})) as service,
    ):
        with PdbClient(pdb_of(service)) as client:
            for name in (b"HoStEd.ExAmPlE", b"hosted.example", b"HOSTED.example. 192.0.2.1"):
                request = write_request(name, 0xBEEF)
                await client.send(request)
                assert await client.receive() == write_reply(request, VerdictKind.HOSTED)


async def test_source_in_every_form_is_read() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            await client.ask("hosted.example")
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            for source in ("192.0.2.1", "2001:db8::1", "[2001:db8::1]", "::ffff:192.0.2.1"):
                assert await client.ask(f"hosted.example {source}") is VerdictKind.HOSTED


@pytest.mark.parametrize(
    "name",
    [
        b"hosted.example nonsense",
        b"hosted.example ",
        b" hosted.example",
        b"hosted.example  192.0.2.1",
        b"hosted.example 192.0.2.1 ",
        b"hosted.example 192.0.2.256",
        b"hosted.example fe80::1%eth0",
        b"hosted.example\t192.0.2.1",
        b"\xff\xfe.example",
        b"hosted.example \xff",
    ],
)
async def test_name_that_is_neither_host_nor_host_and_source_is_malformed(name: bytes) -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            assert await client.ask(name) is VerdictKind.MALFORMED
        assert lab.total == 0


async def test_garbage_gets_no_reply_and_is_counted() -> None:
    garbage = [
        b"",
        b"\0",
        b"\x01\x00\x00\x08\x00\x00ab",
        b"GET / HTTP/1.0\r\n\r\n",
        bytes(4096),
        b"\xff" * 9000,
    ]
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            for frame in garbage:
                await client.send(frame)
            request = write_request(b"192.0.2.1", 7)
            await client.send(request)
            # The first thing that comes back is the reply to the only request.
            assert await client.receive() == write_reply(request, VerdictKind.NOT_HOSTED)
        assert service.counters()["pdb.not_pdb"] == len(garbage)


async def test_client_that_is_not_allowed_gets_no_reply_and_is_counted() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, listen={"allow": (ip_network("127.0.0.2"),)})
        async with open_service(config) as service:
            with PdbClient(pdb_of(service)) as stranger, PdbClient(pdb_of(service)) as friend:
                await friend.socket.bind(("127.0.0.2", 0))
                await stranger.send(write_request(b"192.0.2.1", 1))
                await until(lambda: service.counters()["pdb.not_allowed"] == 1)
                assert await friend.ask("192.0.2.1") is VerdictKind.NOT_HOSTED
        assert service.counters()["pdb.sent"] == 1


async def test_slow_dns_gives_pending_in_time_and_the_retransmission_the_verdict() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.4)]
        async with open_service(config_on(lab, listen={"answer_within": 0.04})) as service:
            with PdbClient(pdb_of(service)) as client:
                asked = trio.current_time()
                assert await client.ask("hosted.example") is VerdictKind.PENDING
                assert trio.current_time() - asked >= 0.04
                await until(lambda: service.counters()["lookup.under_way"] == 0)
                assert await client.ask("hosted.example") is VerdictKind.HOSTED
        assert service.counters()["pdb.overdue"] == 1
        assert lab.queries["hosted.example", "NAPTR"] == 1


async def test_verdict_that_lands_after_pending_is_not_sent_again() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.2)]
        async with open_service(config_on(lab, listen={"answer_within": 0.04})) as service:
            with PdbClient(pdb_of(service)) as client:
                assert await client.ask("hosted.example") is VerdictKind.PENDING
                await until(lambda: service.counters()["lookup.under_way"] == 0)
                assert await client.ask("192.0.2.1") is VerdictKind.NOT_HOSTED
        assert service.counters()["pdb.sent"] == 2


async def test_thousand_askers_of_a_slow_unknown_host_cost_one_query_and_all_are_answered() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.5)]
        config = config_on(lab, listen={"answer_within": 5.0})
        async with open_service(config) as service:
            with ExitStack() as stack:
                clients = [stack.enter_context(PdbClient(pdb_of(service))) for _ in range(4)]
                requests = [write_request(b"unknown.test", number) for number in range(1_000)]
                for request, client in zip(requests, cycle(clients), strict=False):
                    await client.send(request)
                with trio.fail_after(10):
                    replies = {
                        await client.receive() for _, client in zip(requests, cycle(clients), strict=False)
                    }
        assert replies == {write_reply(request, VerdictKind.NOT_HOSTED) for request in requests}
        assert lab.queries == {("unknown.test", "NAPTR"): 1}


async def test_waiters_over_the_cap_are_told_pending_at_once() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.5)]
        config = config_on(lab, listen={"answer_within": 5.0}, limits={"waiters": 3})
        async with open_service(config) as service:
            with PdbClient(pdb_of(service)) as client:
                for number in range(5):
                    await client.send(write_request(b"unknown.test", number))
                kinds = [(await client.receive())[-1] for _ in range(5)]
        assert kinds == [VerdictKind.PENDING] * 2 + [VerdictKind.NOT_HOSTED] * 3
        assert service.counters()["lookup.pending_waiters"] == 2


def patient(lab: Lab) -> Config:
    """So patient that no machine is too slow."""
    return config_on(lab, listen={"answer_within": 5.0})


async def test_answer_is_repeated_until_it_is_retracted() -> None:
    async with open_lab([ZONE]) as lab, open_service(patient(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            kinds = [await client.ask("hosted.example") for _ in range(5)]
            assert kinds == [VerdictKind.HOSTED] * 5
            # The walk's, the cache's, which is kept for repeating, and then the table's.
            assert service.counters()["pdb.repeated"] == 3
            assert service.counters()["pdb.replies.hosted"] == 5
            service._lookup._table.enter("hosted.example", Standing.REJECTED)
            assert await client.ask("hosted.example") is VerdictKind.NOT_HOSTED
            service._lookup._table.leave("hosted.example")
            assert await client.ask("hosted.example") is VerdictKind.HOSTED
            service._lookup._table.replace_all({"hosted.example": Standing.REJECTED})
            assert await client.ask("hosted.example") is VerdictKind.NOT_HOSTED


async def test_domain_that_the_cache_forgets_is_repeated_no_more() -> None:
    async with open_lab([ZONE]) as lab, open_service(patient(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            for _ in range(3):
                assert await client.ask("hosted.example") is VerdictKind.HOSTED
            queries = lab.total
            service._cache.forget("hosted.example")
            assert await client.ask("hosted.example") is VerdictKind.HOSTED
            assert lab.total > queries


async def test_each_source_and_spelling_is_repeated_with_its_own_name() -> None:
    async with open_lab([ZONE]) as lab, open_service(patient(lab)) as service:
        with PdbClient(pdb_of(service)) as client:
            for name in ("hosted.example", "HOSTED.example", "hosted.example 192.0.2.1", "hosted.example."):
                for _ in range(3):
                    assert await client.ask(name) is VerdictKind.HOSTED


@pytest.mark.parametrize("address", ["::1", "::"])
async def test_face_on_ipv6_answers(address: str) -> None:
    listen = {"pdb": free_endpoint(address)}
    async with open_lab([ZONE]) as lab, open_service(config_on(lab, listen=listen)) as service:
        for client_address in ["::1"] if address == "::1" else ["::1", "127.0.0.1"]:
            with PdbClient(Endpoint(client_address, pdb_of(service).port)) as client:
                assert await client.ask("203.0.113.10") is VerdictKind.HOSTED


async def test_datagrams_that_the_kernel_drops_are_counted() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        pdb = service.faces["pdb"]
        assert isinstance(pdb, PdbFace)
        pdb.datagrams._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(100):  # the service cannot run meanwhile: nothing here awaits
                sock.sendto(write_request(b"192.0.2.1", 1), tuple(pdb_of(service)))
        await until(lambda: service.counters()["pdb.received"] > 0)
        counters = service.counters()
        assert counters["pdb.dropped"] > 0
        assert counters["pdb.dropped"] + counters["pdb.received"] == 100
