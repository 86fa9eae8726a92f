"""The DNS face over real sockets: who is answered, with what, and what its bounds are."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from fastvhost import ListenError
from fastvhost.config import Endpoint
from fastvhost.faces import dns_tcp
from fastvhost.faces.dns import DnsFace
from fastvhost.service import Service, open_service
from tests.support import ZONE, config_on, free_endpoint, until
from tools.dnslab import Effect, Fault, Lab, open_lab


@asynccontextmanager
async def serving(lab: Lab, **sections: dict[str, object]) -> AsyncIterator[Service]:
    listen = {"dns": free_endpoint(), "answer_within": 5.0} | sections.pop("listen", {})
    async with open_service(config_on(lab, listen=listen, **sections)) as service:
        yield service


def endpoint(service: Service) -> Endpoint:
    assert service.dns_endpoint is not None
    return service.dns_endpoint


def face(service: Service) -> DnsFace:
    found = service.faces["dns"]
    assert isinstance(found, DnsFace)
    return found


def query(host: str, rtype: str = "A", **edns: object) -> dns.message.Message:
    return dns.message.make_query(f"{host}.vhost.internal.".lstrip("."), rtype, **edns)


async def ask(
    service: Service, host: str, rtype: str = "A", *, tcp: bool = False, **edns: object
) -> dns.message.Message:
    how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    address, port = endpoint(service)
    return await how(query(host, rtype, **edns), address, port=port, timeout=10)


async def connect(service: Service, *messages: bytes) -> trio.SocketStream:
    stream = await trio.open_tcp_stream(*endpoint(service))
    await stream.send_all(b"".join(map(framed, messages)))
    return stream


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


async def next_reply(stream: trio.SocketStream, *, within: float = 10.0) -> dns.message.Message | None:
    """The next message; None at the end of the connection."""
    unread = b""
    with trio.fail_after(within):
        while len(unread) < 2 or len(unread) < 2 + int.from_bytes(unread[:2], "big"):
            wanted = (
                2 - len(unread) if len(unread) < 2 else 2 + int.from_bytes(unread[:2], "big") - len(unread)
            )
            octets = await stream.receive_some(wanted)
            if not octets:
                return None
            unread += octets
    return dns.message.from_wire(unread[2:])


@pytest.mark.parametrize("tcp", [False, True])
async def test_host_of_each_kind_gets_its_verdict(tcp: bool) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        async with serving(lab) as service:
            for host, rcode, records in (
                ("hosted.example", "NOERROR", 1),
                ("HOSTED.Example", "NOERROR", 1),
                ("203.0.113.10", "NOERROR", 1),
                ("[2001:db8::10]", "NOERROR", 1),
                ("[::ffff:203.0.113.10]", "NOERROR", 1),
                ("elsewhere.example", "NOERROR", 0),
                ("madeup.example", "NOERROR", 0),
                ("192.0.2.1", "NOERROR", 0),
                ("broken.example", "SERVFAIL", 0),
                ("foo_bar", "NXDOMAIN", 0),
                (r"hosted\.example", "NXDOMAIN", 0),
                (r"\255.example", "NXDOMAIN", 0),
            ):
                for _ in range(2):
                    reply = await ask(service, host, tcp=tcp)
                    assert (dns.rcode.to_text(reply.rcode()), len(reply.answer)) == (rcode, records), host


async def test_name_outside_the_zone_transfer_and_other_class_are_refused() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        address, port = endpoint(service)
        for name, rtype, rdclass, code in (
            ("hosted.example", "A", "IN", 20),
            ("internal", "NS", "IN", 20),
            ("avhost.internal", "A", "IN", 20),
            ("version.bind", "TXT", "CH", 20),
            ("vhost.internal", "AXFR", "IN", 21),
            ("hosted.example.vhost.internal", "TKEY", "IN", 21),
        ):
            message = dns.message.make_query(name, rtype, rdclass, use_edns=0)
            octets = await dns.asyncquery.udp(message, address, port=port, timeout=10)
            assert octets.rcode() == dns.rcode.REFUSED
            assert not octets.flags & dns.flags.AA
            assert [int(option.code) for option in octets.options] == [code], name
        assert lab.total == 0


async def test_apex_has_soa_and_ns_and_no_address() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        for rtype, records in (("SOA", 1), ("NS", 1), ("ANY", 1), ("A", 0), ("AAAA", 0), ("TXT", 0)):
            reply = await ask(service, "", rtype)
            assert (reply.rcode(), len(reply.answer), len(reply.authority)) == (0, records, 1 - records)
            assert reply.flags & dns.flags.AA


async def test_type_that_is_never_there_costs_no_walk_and_is_nodata() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        for rtype in ("NS", "MX", "SRV", "NAPTR", "DS", "HTTPS"):
            reply = await ask(service, "hosted.example", rtype)
            assert (reply.rcode(), len(reply.answer), len(reply.authority)) == (0, 0, 1)
        assert (await ask(service, "foo_bar", "NS")).rcode() == dns.rcode.NXDOMAIN
        assert lab.total == 0


async def test_address_of_the_other_family_fails_as_the_first_does() -> None:
    """A client that asks for A and AAAA must not read a failure as a no."""
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        async with serving(lab) as service:
            assert (await ask(service, "hosted.example", "AAAA")).rcode() == dns.rcode.SERVFAIL


async def test_reply_echoes_id_case_rd_cd_and_do() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        for flags in (0, dns.flags.RD, dns.flags.CD, dns.flags.RD | dns.flags.CD):
            for name in ("HoStEd.ExAmPlE.vHoSt.InTeRnAl.", "hosted.example.VHOST.internal."):
                message = dns.message.make_query(name, "A", use_edns=0, want_dnssec=bool(flags))
                message.flags = flags
                address, port = endpoint(service)
                reply = await dns.asyncquery.udp(message, address, port=port, timeout=10)
                assert reply.flags == flags | dns.flags.QR | dns.flags.AA | dns.flags.RA
                assert reply.question[0].name.to_text() == name
                assert reply.answer[0].name.to_text() == name
                assert bool(reply.ednsflags & dns.flags.DO) is bool(flags)


async def test_garbage_gets_no_reply_a_fault_its_rcode_and_a_response_nothing() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        response = bytearray(query("192.0.2.1").to_wire())
        response[2] |= 0x80
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.connect(tuple(endpoint(service)))
            for octets in (b"", b"\0", bytes(response), b"\xff" * 9000):
                await sock.send(octets)
            await sock.send(b"\x12\x34\x01\0" + bytes(8))
            with trio.fail_after(10):
                # The first thing that comes back is the reply to the only query.
                assert await sock.recv(4096) == b"\x12\x34\x81\x81" + bytes(8)
        counters = service.counters()
        assert (counters["dns.not_queries"], counters["dns.faulty"], counters["dns.sent"]) == (4, 1, 1)


async def test_client_that_is_not_allowed_gets_no_reply_and_no_connection() -> None:
    allow = {"allow": (ip_network("127.0.0.2"),)}
    async with open_lab([ZONE]) as lab, serving(lab, listen=allow) as service:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as stranger:
            await stranger.sendto(query("192.0.2.1").to_wire(), tuple(endpoint(service)))
            await until(lambda: service.counters()["dns.not_allowed"] == 1)
        stream = await trio.open_tcp_stream(*endpoint(service))
        async with stream:
            with trio.fail_after(10):
                assert await stream.receive_some() == b""
        assert service.counters()["dns.tcp.not_allowed"] == 1
        assert service.counters()["dns.sent"] == 0


async def test_client_subnet_is_the_source_whose_budget_pays_and_is_echoed() -> None:
    limits = {"source_rate": 1.0}
    async with open_lab([ZONE], unknown="nxdomain") as lab, serving(lab, limits=limits) as service:
        option = dns.edns.ECSOption("192.0.2.1", 32)
        reply = await ask(service, "h0.test", options=[option])
        assert reply.rcode() == dns.rcode.NOERROR
        for number in range(1, 1_000):
            reply = await ask(service, f"h{number}.test", options=[option])
            assert reply.options[0] == dns.edns.ECSOption("192.0.2.1", 32, 0)
            if reply.rcode() == dns.rcode.REFUSED:
                break
        assert service.counters()["lookup.limited_source"] == 1
        nobody = dns.edns.ECSOption("0.0.0.0", 0)
        assert (await ask(service, "other.test", options=[nobody])).rcode() == dns.rcode.NOERROR


async def test_slow_dns_gives_servfail_in_time_and_the_next_query_the_verdict() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.4)]
        async with serving(lab, listen={"answer_within": 0.04}) as service:
            for tcp in (False, True):
                reply = await ask(service, "hosted.example", tcp=tcp, use_edns=0)
                assert (reply.rcode(), reply.options[0].to_text()) == (
                    dns.rcode.SERVFAIL,
                    "EDE 0 (Other): looking",
                )
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            assert len((await ask(service, "hosted.example")).answer) == 1


async def test_ttl_counts_down_and_an_answer_never_outlives_its_verdict() -> None:
    cache = {"hosted_ttl": (1.5, 1.5), "stale": 0.0}
    async with open_lab([ZONE]) as lab, serving(lab, cache=cache) as service:
        ttls = [(await ask(service, "hosted.example")).answer[0].ttl]
        expires = (await service.lookup("hosted.example")).expires
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        while trio.current_time() < expires:
            reply = await ask(service, "hosted.example")
            ttls += [rrset.ttl for rrset in reply.answer]
        assert set(ttls) <= {1, 0}
        assert ttls == sorted(ttls, reverse=True)
        assert (await ask(service, "hosted.example")).rcode() == dns.rcode.SERVFAIL


async def test_attributes_that_change_are_shown_at_once_and_over_the_bound_only_over_tcp() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        texts: tuple[bytes, ...] = (b"a=1",)
        for responder in (face(service)._over_udp, face(service)._over_tcp):
            responder._text = lambda host: texts if host == "hosted.example" else ()
        for _ in range(2):
            assert (await ask(service, "Hosted.example", "TXT")).answer[0].to_text().endswith('TXT "a=1"')
        texts = tuple(b"k=" + b"v" * 250 for _ in range(64))
        reply = await ask(service, "Hosted.example", "TXT", use_edns=0)
        assert reply.flags & dns.flags.TC
        assert (len(reply.answer), reply.edns) == (0, 0)
        reply = await ask(service, "Hosted.example", "TXT", tcp=True)
        assert reply.answer[0][0].strings == texts
        assert len((await ask(service, "203.0.113.10", "TXT")).answer) == 1


async def test_queries_on_one_connection_are_answered_as_verdicts_come() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.3)]
        async with serving(lab) as service:
            slow, quick = query("hosted.example"), query("192.0.2.1")
            stream = await connect(service, slow.to_wire(), quick.to_wire())
            async with stream:
                replies = [await next_reply(stream), await next_reply(stream)]
            assert [reply is not None and reply.id for reply in replies] == [quick.id, slow.id]


async def test_client_that_says_no_more_still_gets_what_it_is_owed() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.3)]
        async with serving(lab) as service:
            stream = await connect(service, query("hosted.example").to_wire())
            async with stream:
                await stream.send_eof()
                reply = await next_reply(stream)
                assert reply is not None
                assert len(reply.answer) == 1
                assert await next_reply(stream) is None
            assert service.counters()["dns.tcp.open"] == 0


async def test_reply_that_is_owed_when_the_service_ends_goes_out() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.3)]
        async with serving(lab) as service:
            stream = await connect(service, query("unknown.test").to_wire())
            await lab.wait_for_queries(1)
        async with stream:
            reply = await next_reply(stream)
            assert reply is not None
            assert reply.rcode() == dns.rcode.NOERROR
            assert await next_reply(stream) is None


async def test_queries_in_single_octets_are_put_together() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        stream = await connect(service)
        async with stream:
            for octet in framed(query("192.0.2.1").to_wire()):
                await stream.send_all(bytes([octet]))
                await trio.lowlevel.checkpoint()
            assert await next_reply(stream) is not None


@pytest.mark.parametrize("length", [0, 1, 11])
async def test_length_that_no_message_has_ends_the_connection_and_is_counted(length: int) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        stream = await connect(
            service, query("192.0.2.1").to_wire(), bytes(length), query("192.0.2.1").to_wire()
        )
        async with stream:
            assert await next_reply(stream) is not None
            assert await next_reply(stream) is None
        assert service.counters()["dns.tcp.garbage"] == 1


async def test_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_tcp, "_IDLE_SECONDS", 0.2)
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        stream = await connect(service, query("192.0.2.1").to_wire(), query("192.0.2.1").to_wire()[:5])
        async with stream:
            assert await next_reply(stream) is not None
            assert await next_reply(stream) is None
        assert service.counters()["dns.tcp.open"] == 0


async def test_connection_that_waits_for_its_verdict_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_tcp, "_IDLE_SECONDS", 0.05)
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.4)]
        async with serving(lab) as service:
            stream = await connect(service, query("hosted.example").to_wire())
            async with stream:
                reply = await next_reply(stream)
                assert reply is not None
                assert len(reply.answer) == 1


async def test_connections_over_the_bound_are_closed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_tcp, "MOST_CONNECTIONS", 2)
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        taken = [await connect(service) for _ in range(2)]
        await until(lambda: service.counters()["dns.tcp.open"] == 2)
        over = await trio.open_tcp_stream(*endpoint(service))
        async with over:
            assert await next_reply(over) is None
        assert service.counters()["dns.tcp.no_room"] == 1
        await taken[0].aclose()
        await until(lambda: service.counters()["dns.tcp.open"] == 1)
        assert len((await ask(service, "203.0.113.10", tcp=True)).answer) == 1
        await taken[1].aclose()


async def test_client_that_reads_nothing_is_dropped_and_harms_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns_tcp, "_SEND_SECONDS", 0.2)
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        stream = await connect(service)
        many = framed(query("203.0.113.10").to_wire()) * 2_000

        async def send_for_ever() -> None:
            while True:
                await stream.send_all(many)

        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
            await send_for_ever()
        await stream.aclose()
        assert service.counters()["dns.tcp.slow_readers"] == 1
        await until(lambda: service.counters()["dns.tcp.open"] == 0)
        assert len((await ask(service, "203.0.113.10", tcp=True)).answer) == 1


async def test_replies_owed_to_one_connection_are_bounded_and_all_of_them_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns_tcp, "_MOST_OWED", 3)
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.1)]
        async with serving(lab) as service:
            queries = [query(f"h{number}.test") for number in range(10)]
            stream = await connect(service, *(message.to_wire() for message in queries))
            async with stream:
                await until(lambda: service.counters()["lookup.under_way"] == 3)
                ids = set()
                for _ in queries:
                    reply = await next_reply(stream)
                    assert reply is not None
                    ids.add(reply.id)
            assert ids == {message.id for message in queries}


async def test_client_that_leaves_while_it_is_owed_harms_nobody() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.2)]
        async with serving(lab) as service:
            stream = await connect(service, query("hosted.example").to_wire())
            await lab.wait_for_queries(1)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.aclose()
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            await until(lambda: service.counters()["dns.tcp.open"] == 0)
            assert len((await ask(service, "hosted.example", tcp=True)).answer) == 1


async def test_want_of_descriptors_is_counted_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as service:
        connections = face(service).connections
        accept = connections._sock.accept
        failures = iter([errno.EMFILE, errno.ECONNABORTED])

        class Scarce:
            """The listening socket on a bad day."""

            fileno = connections._sock.fileno

            def accept(self) -> object:
                number = next(failures, None)
                if number is not None:
                    raise OSError(number, "no")
                return accept()

        monkeypatch.setattr(connections, "_sock", Scarce())
        for _ in range(2):  # the first is taken from the socket as it was
            assert len((await ask(service, "203.0.113.10", tcp=True)).answer) == 1
        assert service.counters()["dns.tcp.accept_errors"] == 2


@pytest.mark.parametrize("address", ["::1", "::"])
async def test_face_on_ipv6_answers(address: str) -> None:
    async with open_lab([ZONE]) as lab, serving(lab, listen={"dns": free_endpoint(address)}) as service:
        for client in ["::1"] if address == "::1" else ["::1", "127.0.0.1"]:
            for how in (dns.asyncquery.udp, dns.asyncquery.tcp):
                reply = await how(query("203.0.113.10"), client, port=endpoint(service).port, timeout=10)
                assert len(reply.answer) == 1


async def test_zone_of_the_operator_s_is_served_and_the_default_is_not() -> None:
    async with open_lab([ZONE]) as lab, serving(lab, listen={"zone": "ours.example"}) as service:
        assert (await ask(service, "192.0.2.1")).rcode() == dns.rcode.REFUSED
        address, port = endpoint(service)
        message = dns.message.make_query("203.0.113.10.ours.example", "A")
        assert (await dns.asyncquery.udp(message, address, port=port, timeout=10)).answer


async def test_tcp_port_in_use_is_one_clear_line() -> None:
    async with open_lab([ZONE]) as lab:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ListenError, match=f"^cannot listen on TCP 127.0.0.1:{port}: Address already"):
                async with serving(lab, listen={"dns": Endpoint("127.0.0.1", port)}):
                    pytest.fail("it started")


async def test_service_on_the_same_port_starts_again_at_once_with_connections_open_before() -> None:
    async with open_lab([ZONE]) as lab:
        listening = free_endpoint()
        for _ in range(3):
            async with serving(lab, listen={"dns": listening}) as service:
                listening = endpoint(service)
                stream = await connect(service, query("192.0.2.1").to_wire())
                assert await next_reply(stream) is not None
            await stream.aclose()
