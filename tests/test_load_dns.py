"""The load generator by DNS: what it asks, and which datagrams it takes for a reply."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from fastvhost.config import Endpoint
from tools.load import Dns, LoadError, Plan, run_load
from tools.load.__main__ import main

Replier = Callable[[dns.message.Message], Sequence[bytes]]

PATIENT = 20.0
"""Seconds after which a request is lost, where none is to be."""

NAMES = (b"a.example", b"b.example", b"longer-name.example")


class DnsServer:
    """A thread that answers each query with what `replies` makes of it."""

    def __init__(self, sock: socket.socket, replies: Replier) -> None:
        self._sock = sock
        self._replies = replies
        self.endpoint = Endpoint(*sock.getsockname())
        self.questions: list[str] = []

    def serve(self) -> None:
        while True:
            octets, client = self._sock.recvfrom(512)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            self.questions.append(query.question[0].to_text())
            for reply in self._replies(query):
                self._sock.sendto(reply, client)


def ours(query: dns.message.Message) -> list[bytes]:
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "127.0.0.2"))
    return [reply.to_wire()]


@contextlib.contextmanager
def dns_server(replies: Replier = ours) -> Iterator[DnsServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = DnsServer(sock, replies)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
                stopper.sendto(b"", server.endpoint)
            thread.join()


def test_hosts_are_asked_for_below_the_zone() -> None:
    with dns_server() as server:
        plan = Plan(
            server=server.endpoint,
            dialect=Dns("hosts.test"),
            names=NAMES,
            seconds=None,
            count=30,
            timeout=PATIENT,
        )
        figures = run_load(plan)
    assert (figures.answered, figures.lost, figures.strays) == (30, 0, 0)
    assert figures.as_json()["verdicts"] == {"NOERROR, 1 answer": 30}
    assert set(server.questions) == {f"{name.decode()}.hosts.test. IN A" for name in NAMES}


def test_hosts_are_asked_for_as_they_are_without_a_zone() -> None:
    with dns_server() as server:
        run_load(
            Plan(
                server=server.endpoint, dialect=Dns(""), names=NAMES, seconds=None, count=10, timeout=PATIENT
            )
        )
    assert set(server.questions) == {f"{name.decode()}. IN A" for name in NAMES}


def test_unknown_hosts_are_never_asked_twice() -> None:
    with dns_server() as server:
        plan = Plan(
            server=server.endpoint, dialect=Dns(), unknown_share=1.0, seconds=None, count=300, timeout=PATIENT
        )
        figures = run_load(plan)
    assert figures.answered == len(set(server.questions)) == 300
    assert all(question.endswith(".invalid.vhost.internal. IN A") for question in server.questions)


def test_replies_are_counted_by_rcode_and_answers() -> None:
    rcodes = itertools.cycle([dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.NOERROR, dns.rcode.REFUSED])

    def by_turns(query: dns.message.Message) -> Sequence[bytes]:
        reply = dns.message.make_response(query)
        reply.set_rcode(next(rcodes))
        return [reply.to_wire()]

    with dns_server(by_turns) as server:
        figures = run_load(
            Plan(server=server.endpoint, dialect=Dns(), names=NAMES, seconds=None, count=40, timeout=PATIENT)
        )
    assert figures.as_json()["verdicts"] == {
        "NOERROR, no answer": 10,
        "SERVFAIL, no answer": 10,
        "NXDOMAIN, no answer": 10,
        "REFUSED, no answer": 10,
    }


def stray_other_id(query: dns.message.Message) -> Sequence[bytes]:
    (reply,) = ours(query)
    return [b"\xff\xff" + reply[2:], reply]


def stray_query(query: dns.message.Message) -> Sequence[bytes]:
    return [query.to_wire(), *ours(query)]


def stray_other_name(query: dns.message.Message) -> Sequence[bytes]:
    (reply,) = ours(query)
    return [reply.replace(b"\x07example", b"\x07EXAMPLE"), reply]


def stray_without_question(query: dns.message.Message) -> Sequence[bytes]:
    (reply,) = ours(query)
    return [reply[:12], reply]


def stray_twice(query: dns.message.Message) -> Sequence[bytes]:
    return ours(query) * 2


@pytest.mark.parametrize(
    "replies", [stray_other_id, stray_query, stray_other_name, stray_without_question, stray_twice]
)
def test_a_datagram_that_answers_nothing_is_a_stray(replies: Replier) -> None:
    with dns_server(replies) as server:
        plan = Plan(
            server=server.endpoint, dialect=Dns(), names=(b"a.example",), window=1, seconds=None, count=50
        )
        figures = run_load(plan)
    assert figures.as_json()["verdicts"] == {"NOERROR, 1 answer": 50}
    # The last stray may come after the end.
    assert 49 <= figures.strays <= 50


def test_a_reply_longer_than_its_slot_counts_by_what_it_begins_with() -> None:
    def many(query: dns.message.Message) -> Sequence[bytes]:
        reply = dns.message.make_response(query)
        addresses = [f"127.0.1.{number}" for number in range(20)]
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses))
        return [reply.to_wire()]

    with dns_server(many) as server:
        figures = run_load(
            Plan(server=server.endpoint, dialect=Dns(), names=NAMES, seconds=None, count=20, timeout=PATIENT)
        )
    assert figures.as_json()["verdicts"] == {"NOERROR, 20 answers": 20}


@pytest.mark.parametrize("source", ["192.0.2.1", "2001:db8::1"])
def test_a_source_is_a_client_subnet_of_its_whole_address(source: str) -> None:
    seen: list[dns.message.Message] = []

    def with_edns(query: dns.message.Message) -> Sequence[bytes]:
        seen.append(query)
        return ours(query)

    with dns_server(with_edns) as server:
        names = (f"a.example {source}".encode(),)
        figures = run_load(
            Plan(server=server.endpoint, dialect=Dns(), names=names, seconds=None, count=5, timeout=PATIENT)
        )
    assert (figures.answered, figures.strays) == (5, 0)
    (option,) = seen[0].options
    assert isinstance(option, dns.edns.ECSOption)
    assert (option.address, option.scopelen) == (source, 0)
    assert option.srclen == (32 if "." in source else 128)
    assert seen[0].payload == 1_232


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"a.example somewhere", "no address to name as a source"),
        (b"a.example 192.0.2.1 192.0.2.2", "no address to name as a source"),
        (b"a..example", "no domain name"),
        (b"b" * 64, "no domain name"),
        (b".".join([b"c" * 60] * 4), "over 255 octets as a DNS name"),
    ],
)
def test_a_name_that_is_no_question_is_an_error(name: bytes, why: str) -> None:
    plan = Plan(server=Endpoint("127.0.0.1", 9), dialect=Dns(), names=(name,))
    with pytest.raises(LoadError, match=why):
        run_load(plan)


def test_command_line_speaks_dns(capsys: pytest.CaptureFixture[str]) -> None:
    with dns_server() as server:
        command = ["--server", str(server.endpoint), "--dns", "z.test", "--unknown", "1", "--count", "5"]
        assert main(command) == 0
    assert "NOERROR, 1 answer 5" in capsys.readouterr().out
    assert all(question.endswith(".invalid.z.test. IN A") for question in server.questions)
