"""From octets to octets: what is kept of a query never outlives what it was made of."""

from typing import TYPE_CHECKING, cast

import dns.edns
import dns.message
import dns.rcode
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from fastvhost.config import Domains
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.faces import dns_responder
from fastvhost.faces.dns_reply import most_octets
from fastvhost.faces.dns_responder import DnsCounters, DnsResponder, Settled, Waiting
from fastvhost.faces.entries import PythonEntries, Repeated, key_of
from fastvhost.model import Finding, Verdict, VerdictKind
from tests.test_lookup import FAILED, HOSTED, NOT_HOSTED, World

if TYPE_CHECKING:
    from fastvhost.lookup import Lookup

NAME = "example.com.vhost.internal"


class Asker:
    """A responder over a world, asked with messages of dnspython's."""

    def __init__(self, world: World) -> None:
        self.texts: dict[str, tuple[bytes, ...]] = {}
        self.counters = DnsCounters()
        self.responder = DnsResponder(
            "vhost.internal",
            world.lookup,
            text=lambda host: self.texts.get(host, ()),
            most_octets=most_octets,
            counters=self.counters,
        )

    def ask(self, now: float, name: str = NAME, rtype: str = "A") -> dns.message.Message:
        query = dns.message.make_query(name, rtype)
        response = self.responder.respond(query.to_wire(), now)
        assert isinstance(response, bytes)
        reply = dns.message.from_wire(response)
        assert query.is_response(reply)
        assert reply.question[0].name.to_text() == f"{name}."
        return reply

    def ttl(self, now: float, name: str = NAME) -> int:
        (record,) = self.ask(now, name).answer
        return record.ttl


async def test_reply_seen_before_has_the_seconds_that_are_left(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    expires = (await world.learn(HOSTED)).expires
    asker = Asker(world)
    for left, ttl in ((100.0, 100), (99.5, 99), (99.0, 99), (99.0, 99), (98.9, 98), (20.0, 20)):
        assert asker.ttl(expires - left) == ttl


async def test_reply_seen_before_changes_with_its_verdict(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    asker = Asker(world)
    await world.learn(HOSTED)
    now = trio.current_time()
    for _ in range(2):
        assert asker.ask(now).answer
    world.cache.settle("example.com", NOT_HOSTED, now)
    assert not asker.ask(now).answer
    world.cache.settle("example.com", HOSTED, now)
    assert asker.ask(now).answer


async def test_reply_seen_before_changes_with_the_table(nursery: trio.Nursery) -> None:
    world = World(nursery, domains=Domains(never=("never.example",)))
    table: DomainTable = world.lookup._table
    asker = Asker(world)
    table.enter("example.com", Standing.LEARNED)
    assert [asker.ttl(now) for now in (0.0, 1e6)] == [60, 60]
    table.enter("example.com", Standing.REJECTED)
    assert not asker.ask(0.0).answer
    table.replace_all({"example.com": Standing.PROXY_ROW})
    assert asker.ttl(0.0) == 60
    assert asker.ask(0.0, "never.example.vhost.internal").authority[0].ttl == 60


async def test_reply_seen_before_changes_with_the_attributes(nursery: trio.Nursery) -> None:
    world = World(nursery)
    asker = Asker(world)
    world.lookup._table.enter("example.com", Standing.LEARNED)
    shown = []
    for texts in ((b"a=1",), (b"a=2",), ()):
        asker.texts["example.com"] = texts
        shown += [asker.ask(0.0, rtype="TXT").answer[0][0].to_text() for _ in range(2)]
    assert shown == ['"a=1"', '"a=1"', '"a=2"', '"a=2"', '""', '""']


async def test_query_in_another_case_or_of_another_type_is_another_query(nursery: trio.Nursery) -> None:
    world = World(nursery)
    asker = Asker(world)
    world.lookup._table.enter("example.com", Standing.LEARNED)
    for name in (NAME, "EXAMPLE.com.vhost.internal", "example.com.VHOST.internal"):
        for rtype, records in (("A", 1), ("AAAA", 0), ("TXT", 1), ("ANY", 1)):
            assert len(asker.ask(0.0, name, rtype).answer) == records


@pytest.mark.parametrize(("queries", "kept"), [(2, 2), (3, 3), (4, 3)])
async def test_queries_that_are_kept_are_bounded(
    nursery: trio.Nursery, queries: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_responder, "_MOST_SEEN", 3)
    asker = Asker(World(nursery))
    for number in range(queries):
        asker.ask(0.0, f"192.0.2.{number}.vhost.internal")
    assert len(asker.responder._seen) == kept


async def test_query_that_is_mostly_padding_is_answered_and_takes_no_room(nursery: trio.Nursery) -> None:
    world = World(nursery, domains=Domains(always=("example.com",)))
    asker = Asker(world)

    def padded(octets: int) -> bytes:
        padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(octets))
        return dns.message.make_query(NAME, "A", options=[padding]).to_wire(max_size=65_535)

    least = len(padded(0))
    for octets, kept in ((512, 1), (513, 1), (60_000, 1), (511, 2)):
        message = padded(octets - least)
        assert len(message) == octets
        assert isinstance(asker.responder.respond(message, 0.0), bytes)
        assert len(asker.responder._seen) == kept


async def test_flood_of_names_that_are_none_takes_no_room(nursery: trio.Nursery) -> None:
    asker = Asker(World(nursery))
    for number in range(100):
        assert asker.ask(0.0, f"no_{number}.vhost.internal").rcode() == dns.rcode.NXDOMAIN
    assert len(asker.responder._seen) == 0


async def test_query_for_a_host_that_is_looked_up_waits_and_is_written_for_its_verdict(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World(nursery)
    world.dns.finding, world.dns.seconds = HOSTED, 1.0
    query = dns.message.make_query(NAME, "A")
    asker = Asker(world)
    waiting = asker.responder.respond(query.to_wire(), 0.0)
    assert isinstance(waiting, Waiting)
    replies: list[dns.message.Message] = []
    waiting.flight.join(
        lambda verdict: replies.append(dns.message.from_wire(waiting.write(verdict, trio.current_time())))
    )
    await trio.sleep(2)
    (reply,) = replies
    assert query.is_response(reply)
    assert reply.answer[0].ttl == 100


class Decided:
    """In place of a `Lookup`: whatever host is asked for has the same verdict."""

    def __init__(self, kind: VerdictKind) -> None:
        self._kind = kind

    def decide(self, text: str, _: object, now: float) -> Verdict:
        return Verdict(kind=self._kind, host=text, expires=now + 5.0, reason=text, stale=True)


def wire(name: str = NAME, rtype: str = "A", **edns: object) -> bytes:
    return dns.message.make_query(name, rtype, id=4711, **edns).to_wire()


MESSAGES = (
    wire(),
    wire(rtype="TXT", use_edns=0, want_dnssec=True),
    wire(r"\[2001:db8::1\].vhost.internal", options=[dns.edns.ECSOption("192.0.2.0", 24)]),
    wire("vhost.internal", "SOA", payload=600),
    wire("vhost.internal", "OPT"),
    wire("a." * 100 + "vhost.internal", use_edns=0),
)


@given(
    message=st.sampled_from(MESSAGES) | st.binary(max_size=100),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
    kind=st.sampled_from(VerdictKind),
)
@settings(deadline=None, max_examples=200)
def test_any_octets_get_no_reply_or_one_that_dnspython_reads(
    message: bytes, changes: list[tuple[int, int]], kind: VerdictKind
) -> None:
    octets = bytearray(message)
    for place, octet in changes:
        if octets:
            octets[place % len(octets)] = octet
    responder = DnsResponder(
        "vhost.internal",
        cast("Lookup", Decided(kind)),
        text=lambda _: (b"a=1", b"v" * 255) * 32,
        most_octets=most_octets,
        counters=DnsCounters(),
    )
    for _ in range(2):
        response = responder.respond(bytes(octets), 0.0)
        assert (response is None) == (len(octets) < 12 or octets[2] >= 0x80)
        if isinstance(response, bytes):
            assert len(response) <= 1232
            assert response[:2] == octets[:2]
            assert response[2] & 0x80
            assert dns.message.from_wire(response).opcode() == octets[2] >> 3 & 0xF


@pytest.mark.parametrize("rtype", ["A", "AAAA", "ANY"])
@pytest.mark.parametrize("finding", [HOSTED, NOT_HOSTED, FAILED])
@pytest.mark.parametrize("edns", [False, True])
async def test_reply_that_is_repeated_is_the_one_that_would_be_written(
    nursery: trio.Nursery, autojump_clock: MockClock, rtype: str, finding: Finding, edns: bool
) -> None:
    world = World(nursery)
    now = (await world.learn(finding)).expires - 0.9
    table = PythonEntries(0, 1)

    def settled(verdict: Verdict, message: bytes, reply: bytes, ttl_at: tuple[int, ...], at: float) -> None:
        table.put(
            0,
            Repeated(
                key=key_of(message, 0),
                reply=reply,
                kind=verdict.kind,
                until=at + 1.0,
                expires=verdict.expires,
                ttl_at=ttl_at,
            ),
        )

    def responder(told: Settled | None) -> DnsResponder:
        return DnsResponder(
            "vhost.internal",
            world.lookup,
            text=lambda _: (),
            most_octets=most_octets,
            counters=DnsCounters(),
            settled=told,
        )

    query = dns.message.make_query(NAME, rtype, use_edns=0 if edns else False).to_wire()
    responder(settled).respond(query, now - 98.0 if finding is not FAILED else now)
    assert table.repeat(query, now - 97.5 if finding is not FAILED else now)
    later = now - 97.2 if finding is not FAILED else now + 0.1
    other_id = b"ZZ" + query[2:]
    assert table.repeat(other_id, later) == (responder(None).respond(other_id, later), False)


async def test_attributes_are_never_repeated(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    world = World(nursery)
    await world.learn(HOSTED)
    told: list[Verdict] = []
    responder = DnsResponder(
        "vhost.internal",
        world.lookup,
        text=lambda _: (b"a=1",),
        most_octets=most_octets,
        counters=DnsCounters(),
        settled=lambda verdict, *_: told.append(verdict),
    )
    for rtype, repeated in (("TXT", 0), ("A", 1)):
        responder.respond(dns.message.make_query(NAME, rtype).to_wire(), trio.current_time())
        assert len(told) == repeated
