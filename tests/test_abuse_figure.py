"""The pure parts of `bench.abuse`: what counts as wrong or over a cap, and what its attackers send."""

import random
import socket
import threading
from dataclasses import replace
from itertools import count, islice

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from bench.abuse import holds, table
from bench.abuse_attacks import ATTACKS, Attack, most_in_a_second, wrong_verdicts
from bench.abuse_rig import Measured
from bench.abuse_upstream import fan_out_hosts, forged_replies
from bench.datagrams import Stream, dns_query, garbage, run, spoofed, verdict_of
from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import read_request, write_reply
from fastvhost.model import VerdictKind

BY_NAME = {attack.name: attack for attack in ATTACKS}
MADE_UP = BY_NAME["made-up hosts"]

ROW = Measured(
    attack="made-up hosts",
    resolver="fastvhost, PDB",
    rate=5_000.0,
    queries=800.0,
    most_queries=800,
    allowed=800.0,
    p99_ms=1.25,
    calls=400,
    lost=0,
    memory=44 * 2**20,
    core_used=0.5,
    waited=0.0,
    wrong=0,
    verdicts={},
    load_average=1.0,
)


@pytest.mark.parametrize(
    ("attack", "verdicts", "queries", "wrong"),
    [
        (MADE_UP, {"NOT_HOSTED": 5, "LIMITED": 9, "PENDING": 1, "UNDETERMINED": 1}, 5, 0),
        (MADE_UP, {"NOT_HOSTED": 6}, 5, 1),
        (MADE_UP, {"HOSTED": 2, "MALFORMED": 1, "value 0": 1}, 9, 4),
        (BY_NAME["random labels, signed zone"], {"NOT_HOSTED": 1_000, "HOSTED": 1}, 5, 1),
        (BY_NAME["wildcard that points at us"], {"HOSTED": 1_000, "NOT_HOSTED": 3}, 5, 3),
        (BY_NAME["silent zones"], {"UNDETERMINED": 7, "NOT_HOSTED": 2}, 9, 2),
    ],
)
def test_verdicts_without_evidence_are_wrong(
    attack: Attack, verdicts: dict[str, int], queries: int, wrong: int
) -> None:
    assert wrong_verdicts(attack, verdicts, queries) == wrong


def test_cap_of_a_short_attack_has_the_burst_in_it() -> None:
    attack = replace(MADE_UP, cap=50.0, burst=100.0)
    assert (attack.allowed(1.0), attack.allowed(10.0)) == (150.0, 60.0)


@pytest.mark.parametrize(
    ("times", "most"), [([], 0), ([5.0], 1), ([0.0, 0.5, 0.999, 1.0], 3), ([0.0, 0.9, 1.0, 1.1, 1.89], 4)]
)
def test_most_in_a_second_counts_any_second_but_its_end(times: list[float], most: int) -> None:
    assert most_in_a_second(times) == most


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, True),
        (replace(ROW, queries=800.1), False),
        (replace(ROW, wrong=1), False),
        (replace(ROW, resolver="Unbound", allowed=None, wrong=1), True),
    ],
)
def test_figure_holds_unless_fastvhost_passes_a_cap_or_is_wrong(row: Measured, expected: bool) -> None:
    assert holds([ROW, row]) is expected


def test_table_has_a_line_for_each_run_and_marks_what_there_is_none_of() -> None:
    heading, line, peer = table([ROW, replace(ROW, resolver="Unbound", allowed=None, p99_ms=None)]).split(
        "\n"
    )
    assert heading.split("  ")[0] == "attack"
    assert " ".join(line.split()) == "made-up hosts fastvhost, PDB 5,000 800 800 1.2 0 0.50 0.00 44 0"
    assert " ".join(peer.split()) == "made-up hosts Unbound 5,000 800 none - 0 0.50 0.00 44 0"


def test_dns_query_is_what_dnspython_reads() -> None:
    asked = dns.message.from_wire(dns_query("k1.test.vhost.internal", 4_711))
    assert (asked.id, asked.flags, asked.question[0].to_text()) == (
        4_711,
        dns.flags.RD,
        "k1.test.vhost.internal. IN A",
    )


def test_dns_reply_is_the_verdict_that_it_amounts_to() -> None:
    asked = dns.message.make_query("k1.test", "A")
    reply = dns.message.make_response(asked)
    assert verdict_of(reply.to_wire()) is VerdictKind.NOT_HOSTED
    reply.answer.append(dns.rrset.from_text("k1.test.", 5, "IN", "A", "127.0.0.2"))
    assert verdict_of(reply.to_wire()) is VerdictKind.HOSTED
    for rcode, kind in (
        (dns.rcode.NXDOMAIN, VerdictKind.NOT_HOSTED),
        (dns.rcode.SERVFAIL, VerdictKind.UNDETERMINED),
        (dns.rcode.REFUSED, VerdictKind.UNDETERMINED),
    ):
        failed = dns.message.make_response(asked)
        failed.set_rcode(rcode)
        assert verdict_of(failed.to_wire()) is kind
    assert verdict_of(reply.to_wire()[:11]) is VerdictKind.UNDETERMINED


def test_spoofed_requests_each_have_a_source_of_their_own() -> None:
    names = {read_request(spoofed("h.invalid", 7, serial)) for serial in (0, 1, 256, 65_536)}
    assert names == {
        b"h.invalid 10.0.0.0",
        b"h.invalid 10.0.0.1",
        b"h.invalid 10.0.1.0",
        b"h.invalid 10.1.0.0",
    }


def test_garbage_is_no_request() -> None:
    chance = random.Random(0)
    assert {read_request(garbage(chance)) for _ in range(1_000)} == {None}


def test_forged_replies_never_have_both_id_and_question() -> None:
    query = dns_query("h.invalid", 4_711)
    forged = list(forged_replies(7, query))
    assert len(forged) == 7
    assert not any(one[:2] == query[:2] and one[12:27] == query[12:27] for one in forged)
    assert sum(one[:2] == query[:2] for one in forged) == 4


def test_fan_out_hosts_each_have_a_registrable_domain_of_their_own() -> None:
    hosts = fan_out_hosts()
    assert len({".".join(host.split(".")[-2:]) for host in hosts}) == len(hosts) > 200


def test_stream_counts_what_is_answered_once_and_to_its_id() -> None:
    """The server answers two of three, one of these twice, from a thread of its own."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10.0)

        def serve() -> None:
            for number in range(30):
                frame, client = server.recvfrom(512)
                for _ in range(number % 3):
                    server.sendto(write_reply(frame, VerdictKind.LIMITED), client)

        thread = threading.Thread(target=serve)
        thread.start()
        hosts = (f"h{number}.invalid" for number in count())
        endpoint = Endpoint(*server.getsockname())
        figures = run(Stream(kind="pdb", server=endpoint, hosts=islice(hosts, 30), rate=1_000.0, count=30))
        thread.join()
    assert (figures.sent, figures.answered, figures.lost, figures.strays) == (30, 20, 10, 10)
    assert figures.verdicts == {VerdictKind.LIMITED: 20}
    assert figures.latency.count == 20
