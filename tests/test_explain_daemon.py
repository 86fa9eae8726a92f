"""`fastvhost explain --daemon`: what a running service believes of a host, over its admin face."""

import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio

from fastvhost.config import Endpoint, LearnMode, Own, Transport
from fastvhost.domains.table import Standing
from fastvhost.explain_command.belief_text import believed
from fastvhost.explain_command.command import explain_belief
from fastvhost.explain_command.daemon import DaemonError, RefusedError, ask_daemon, read_answer
from fastvhost.explain_command.look import Look
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.documents import documented_block, without_times
from tests.support import OURS, ZONE, config_on, free_endpoint, until
from tools.dnslab import Effect, Fault, Lab, Zone, open_lab, parse_zone

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED

WILD = parse_zone(f"$ORIGIN wild.test.\n$TTL 600\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\n* A {OURS}\n")


@asynccontextmanager
async def serving(lab: Lab, **sections: Any) -> AsyncIterator[tuple[Service, Endpoint]]:
    async with open_service(config_on(lab, listen={"admin": free_endpoint()}, **sections)) as service:
        assert service.admin_endpoint is not None
        yield service, service.admin_endpoint


async def shown(
    server: Endpoint, host: str, *, source: str | None = None, walk: bool = False
) -> tuple[VerdictKind | None, list[str]]:
    """What is believed, and what is printed up to the first tree, times left out."""

    def ask() -> tuple[VerdictKind | None, str]:
        return explain_belief(server, host, source=source, walk=walk, as_json=False)

    kind, text = await trio.to_thread.run_sync(ask)
    return kind, re.sub(r" for [0-9]+ s", " for N s", text).split("\n")


async def test_host_is_shown_with_its_station_and_nothing_is_looked_up() -> None:
    async with (
        open_lab([ZONE], unknown="nxdomain") as lab,
        serving(lab, domains={"never": ("bad.test",)}, limits={"source_rate": 1.0}) as (service, admin),
    ):
        await service.lookup("hosted.example")
        await service.lookup("elsewhere.example")
        service._lookup._table.enter("learned.example", Standing.LEARNED)
        for number in range(2):
            await service.lookup(f"spent{number}.test", source="192.0.2.1")
        asked = lab.total
        kind, lines = await shown(admin, "Hosted.Example.")
        assert kind is HOSTED
        assert lines[:8] == [
            "hosted.example: HOSTED for N s",
            "  cached: edge.example has our address 203.0.113.10",
            "  TTL 300 s from NAPTR hosted.example",
            "",
            "hosted.example, as the daemon walked it",
            "├─ NAPTR hosted.example",
            lines[6],
            "│  → no NAPTR: SRV decides",
        ]
        # What is not ours is kept without its walk.
        assert await shown(admin, "elsewhere.example") == (
            NOT_HOSTED,
            ["elsewhere.example: NOT_HOSTED for N s", "  cached: elsewhere.example has addresses elsewhere"],
        )
        assert await shown(admin, "learned.example") == (
            HOSTED,
            [
                "learned.example: HOSTED, until checks find that it has left DNS",
                "  learned: learned from DNS",
            ],
        )
        assert await shown(admin, "bad.test") == (
            NOT_HOSTED,
            ["bad.test: NOT_HOSTED, as long as it is listed", "  listed: domains.never lists bad.test"],
        )
        assert await shown(admin, "new.test") == (
            None,
            ["new.test: no verdict yet", "  unknown: whoever asks first starts a walk"],
        )
        assert await shown(admin, "new.test", source="192.0.2.1") == (
            None,
            ["new.test: LIMITED for now", "  limited: the source budget is spent"],
        )
        assert (await shown(admin, "Bücher.test"))[1][0] == (
            "Bücher.test (xn--bcher-kva.test): no verdict yet"
        )
        kind, lines = await shown(admin, "foo_bar")
        assert (kind, lines[0]) == (None, "foo_bar: MALFORMED")
        kind, lines = await shown(admin, OURS, walk=True)
        assert (kind, lines[1:]) == (HOSTED, ["  literal: one of own.addresses"])
        assert lab.total == asked


async def test_host_past_its_ttl_is_stale_and_one_that_is_looked_up_is_said_to_be() -> None:
    async with (
        open_lab([ZONE]) as lab,
        serving(lab, cache={"hosted_ttl": (0.01, 0.01)}) as (service, admin),
    ):
        await service.lookup("hosted.example")
        await trio.sleep(0.02)  # its TTL
        kind, lines = await shown(admin, "hosted.example")
        assert (kind, lines[1]) == (HOSTED, "  outdated: stale: edge.example has our address 203.0.113.10")
        assert lines[0] == "hosted.example: HOSTED past its TTL, for N s"
        lab.faults = [Fault(effect=Effect.DROP)]
        async with trio.open_nursery() as nursery:
            for host in ("hosted.example", "new.example"):
                nursery.start_soon(service.lookup, host)
            await until(lambda: service.counters()["lookup.under_way"] == 2)
            _, lines = await shown(admin, "hosted.example")
            assert lines[3] == "  looking, behind that: a walk is under way"
            assert (await shown(admin, "new.example"))[1][1] == "  looking: a walk is under way"
            nursery.cancel_scope.cancel()


async def test_host_below_a_wildcard_is_shown_with_it() -> None:
    async with open_lab([WILD]) as lab, serving(lab) as (service, admin):
        for host in ("a.wild.test", "b.wild.test", "c.wild.test"):
            await service.lookup(host)
        await until(lambda: service.counters()["wildcards.entries"] == 1)
        kind, lines = await shown(admin, "new.wild.test")
        assert kind is HOSTED
        assert lines[1].startswith("  wildcard: below the wildcard ")


async def test_what_is_stored_of_a_host_stands_beside_what_is_believed(tmp_path: Path) -> None:
    async with (
        open_lab([ZONE]) as lab,
        serving(lab, domains={"store": f"sqlite:///{tmp_path}/x.db", "learn": LearnMode.APPROVE}) as (
            service,
            admin,
        ),
    ):
        await service.lookup("hosted.example")
        await until(lambda: service.counters()["domains.pending"] == 1)
        await until(lambda: service.counters()["domains.queued"] == 0)
        _, lines = await shown(admin, "hosted.example")
    # Whether the verdict is in the cache depends on whether the change has been heard of.
    place = next(place for place, line in enumerate(lines) if line.startswith("  stored: "))
    assert lines[place].startswith("  stored: pending, decided by dns; ")
    assert re.fullmatch(r"    verified 2[-T:0-9]{18}Z, next check 2[-T:0-9]{18}Z", lines[place + 1])


@pytest.mark.parametrize(
    ("zone", "beside"),
    [
        (ZONE, "DNS now: HOSTED for N s, as the daemon says"),
        (parse_zone("$ORIGIN example.\n$TTL 600\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\n"), ""),
    ],
)
async def test_walk_beside_it_says_whether_dns_says_the_same(zone: Any, beside: str) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (service, admin):
        await service.lookup("hosted.example")
        lab.replace_zones([zone])
        kind, lines = await shown(admin, "hosted.example", walk=True)
        assert kind is HOSTED
        beside = beside or "DNS now: NOT_HOSTED for N s, and the daemon says HOSTED"
        place = lines.index(beside)
        assert lines[place - 1] == lines[place + 3] == ""
        assert lines[place + 4] == "hosted.example, as DNS has it"
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        _, lines = await shown(admin, "hosted.example", walk=True)
        assert "DNS now: UNDETERMINED, which leaves the daemon's HOSTED as it is" in lines
        assert "  NAPTR hosted.example: SERVFAIL" in lines
        _, lines = await shown(admin, "new.example", walk=True)
        assert "DNS now: UNDETERMINED" in lines


async def test_explanation_in_the_documents_is_what_is_shown(tmp_path: Path) -> None:
    def zone(target: str, address: str) -> Zone:
        return parse_zone(
            "$ORIGIN example.com.\n$TTL 600\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\n"
            f"_sip._udp SRV 10 10 5060 {target}\n{target} A {address}\n"
        )

    async with open_lab([zone("edge", OURS)]) as lab:
        config = config_on(
            lab, listen={"admin": free_endpoint()}, domains={"store": f"sqlite:///{tmp_path}/x.db"}
        )
        own = Own(addresses=(ip_network(OURS),), ports={Transport.UDP: frozenset({5060})})
        async with open_service(replace(config, own=own)) as service:
            assert service.admin_endpoint is not None
            admin = service.admin_endpoint
            await service.lookup("example.com")
            await until(lambda: service.counters()["domains.learned"] == 1)
            await until(lambda: service.counters()["domains.queued"] == 0)
            lab.replace_zones([zone("other", "198.51.100.7")])
            _, text = await trio.to_thread.run_sync(
                lambda: explain_belief(admin, "example.com", source=None, walk=True, as_json=False)
            )
    documented = documented_block("docs/explain.md", "explain of a daemon")
    assert without_times(f"{text}\n") == without_times(documented)


async def test_answer_as_json_is_what_the_daemon_says() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        kind, text = await trio.to_thread.run_sync(
            lambda: explain_belief(admin, "hosted.example", source=None, walk=True, as_json=True)
        )
    found = json.loads(text)
    assert kind is None
    assert list(found) == ["host", "station", "why", "verdict", "behind", "stored", "store_error", "walk"]
    assert found["walk"]["ttl_from"] == {"question": "NAPTR hosted.example", "ttl": 300}


async def test_question_that_the_daemon_refuses_is_one_line() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        with pytest.raises(RefusedError, match=r"refuses: parameter 'source': 'nobody' is no IP address$"):
            await ask_daemon(admin, "a.test", source="nobody", walk=False)


async def test_client_that_is_not_allowed_gets_one_line() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, listen={"admin": free_endpoint(), "allow": ()})) as service,
    ):
        assert service.admin_endpoint is not None
        admin = service.admin_endpoint
        with pytest.raises(DaemonError, match=f"{admin}"):
            await ask_daemon(admin, "a.test", source=None, walk=False)


async def test_no_daemon_is_one_line() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        closed = Endpoint(*sock.getsockname())
        with pytest.raises(DaemonError, match=f"^no answer from {closed}: Connection refused$"):
            await ask_daemon(closed, "a.test", source=None, walk=False)


@contextmanager
def answering(octets: bytes) -> Iterator[Endpoint]:
    """A server that says `octets` to the first who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(octets)

        thread = threading.Thread(target=answer)
        thread.start()
        yield Endpoint(*server.getsockname())
        thread.join(10)


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "^what answers at 127.0.0.1:[0-9]+ is no admin face: "),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "^what answers at 127.0.0.1:[0-9]+ is no admin face: "),
        (b"HTTP/1.0 404 Not Found\r\n\r\nnot\x1b[2J\r\nhere", "cannot answer: 404 not\x1b\\[2J here$"),
        (b"HTTP/1.0 503 Busy\r\n\r\n4 walks are under way\n", "cannot answer: 503 4 walks are under way$"),
    ],
)
async def test_answer_that_is_none_is_one_line(octets: bytes, said: str) -> None:
    with answering(octets) as server, pytest.raises(DaemonError, match=said):
        await ask_daemon(server, "a.test", source=None, walk=False)


STEP = {
    "depth": 0,
    "question": "NAPTR a.test",
    "rcode": "NXDOMAIN",
    "records": [],
    "ttl": 60,
    "server": "192.0.2.53:53",
    "seconds": 0.001,
    "proved": "no such domain",
    "kind": "NOT_HOSTED",
}
VERDICT = {
    "kind": "NOT_HOSTED",
    "ttl": 59.6,
    "reason": "gone",
    "stale": False,
    "failures": 0,
    "steps": [STEP],
}
ANSWER = {
    "host": "a.test",
    "station": "cached",
    "why": "gone",
    "verdict": VERDICT,
    "behind": [{"station": "looking", "why": "a walk is under way", "verdict": None}],
    "stored": None,
    "store_error": "",
}


def test_answer_with_keys_of_a_later_version_is_read() -> None:
    later = ANSWER | {"new": 1, "verdict": VERDICT | {"new": 1, "steps": [STEP | {"new": 1}]}}
    assert read_answer(json.dumps(later)) == read_answer(json.dumps(ANSWER))
    assert believed(read_answer(json.dumps(later)), Look(), "a.test").split("\n") == [
        "a.test: NOT_HOSTED for 60 s",
        "  cached: gone",
        "  TTL 60 s from NAPTR a.test",
        "  looking, behind that: a walk is under way",
        "",
        "a.test, as the daemon walked it",
        "└─ NAPTR a.test",
        "   NXDOMAIN, TTL 60 s, 1.0 ms from 192.0.2.53:53",
        "   ✗ no such domain",
    ]


def test_store_that_cannot_be_read_is_said() -> None:
    broken = read_answer(json.dumps(ANSWER | {"store_error": "the database is away"}))
    assert "  the store cannot be read: the database is away" in believed(broken, Look(), "a.test")


@pytest.mark.parametrize(
    "changed",
    [
        {"behind": None},
        {"verdict": {}},
        {"verdict": VERDICT | {"kind": "OURS"}},
        {"verdict": VERDICT | {"ttl": "long"}},
        {"verdict": VERDICT | {"steps": 5}},
        {"verdict": VERDICT | {"failures": float("inf")}},
        {"verdict": VERDICT | {"steps": [STEP | {"depth": None}]}},
        {"behind": [5]},
        {"stored": 5},
        {"walk": []},
    ],
)
def test_answer_of_another_shape_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(DaemonError, match=r"^what the daemon says cannot be read"):
        read_answer(json.dumps(ANSWER | changed))


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", "null", '"a"', "[" * 100_000])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(DaemonError, match=r"^what the daemon says cannot be read"):
        read_answer(text)
