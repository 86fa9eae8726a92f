"""Forged replies, through real sockets: guesses change no verdict, and a lucky one teaches nothing."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from fastvhost.resolve.exchange import MAX_STRAYS
from fastvhost.service import open_service
from tests.forger import Client, lie, open_forger
from tests.support import ZONE, PdbClient, config_on, until
from tools.dnslab import open_lab, parse_zone

A_CASE = 25_000
HOSTS = 25

WILD = parse_zone(
    "$ORIGIN ours.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\n"
    + "".join(f"_sip._udp.h{number} SRV 0 0 5060 sip.provider.example.\n" for number in range(HOSTS))
)


def with_id(octets: bytes, message_id: int) -> bytes:
    return message_id.to_bytes(2, "big") + octets[2:]


def other_question(octets: bytes) -> bytes:
    """The same length, another first label."""
    return octets[:13] + bytes([octets[13] ^ 1]) + octets[14:]


def id_of(octets: bytes) -> int:
    return int.from_bytes(octets[:2], "big")


class Flood:
    """So many forged datagrams for each query until `most` have been sent.

    The kernel may give a query the port of an earlier one, which was flooded or still is: `unlucky` counts
    them.
    """

    def __init__(self, make: Callable[[bytes, int], bytes], most: int = A_CASE) -> None:
        self._make = make
        self._most = most
        self._clients: set[Client] = set()
        self.sent = 0
        self.unlucky = 0

    def __call__(self, query: bytes, client: Client) -> Iterator[bytes]:
        self.unlucky += client in self._clients
        self._clients.add(client)
        forged = lie(query)
        for number in range(min(1_000, self._most - self.sent)):
            self.sent += 1
            yield self._make(forged, number)


def wrong_id(forged: bytes, number: int) -> bytes:
    return with_id(forged, id_of(forged) ^ (1 + number))


def wrong_question(forged: bytes, number: int) -> bytes:
    return other_question(forged)


def wrong_both(forged: bytes, number: int) -> bytes:
    return other_question(wrong_id(forged, number))


def noise(forged: bytes, number: int) -> bytes:
    # The first two octets are what an id would be: never the right one, which would be a near miss.
    return with_id(secrets.token_bytes(2 + number % 40), id_of(forged) ^ (1 + number))


@pytest.mark.parametrize("make", [wrong_id, wrong_question, wrong_both, noise])
async def test_flood_of_forged_replies_changes_no_verdict_and_is_read_no_further_than_a_bound(
    make: Callable[[bytes, int], bytes],
) -> None:
    """A quarter of 100,000 each, from the server's own port, all before the true answers."""
    flood = Flood(make)
    async with open_lab([ZONE, WILD], unknown="nxdomain") as lab, open_forger(lab, flood) as address:
        config = config_on(
            lab,
            dns={"servers": (Endpoint(*address),), "walk_timeout": 60.0, "timeout": 20.0},
            listen={"answer_within": 9.0},
        )
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            with PdbClient(service.pdb_endpoint) as client:
                for number in range(HOSTS):
                    kind = await client.ask(f"none{number}.test", within=30.0)
                    assert kind is VerdictKind.NOT_HOSTED
                    kind = await client.ask(f"h{number}.ours.test", within=30.0)
                    assert kind is VerdictKind.HOSTED
            counters = service.counters()
        assert flood.sent == A_CASE
        near = make in (wrong_id, wrong_question)
        flooded = A_CASE // 1_000
        most_strays = flooded * (1 if near else MAX_STRAYS) + flood.unlucky * MAX_STRAYS
        assert 0 < counters["upstream.strays"] <= most_strays
        assert counters["upstream.near_misses"] <= (flooded + flood.unlucky if near else 0)
        assert 0 < counters["upstream.tcp"] <= flooded + flood.unlucky


async def test_late_and_doubled_replies_reach_nobody() -> None:
    """To the port of an earlier query, which is closed: each query has a socket of its own."""
    earlier: list[bytes] = []

    def forge(query: bytes, client: Client) -> list[bytes]:
        # An id may be drawn twice in a row, and who then has it need not guess.
        late = bool(earlier) and id_of(earlier[-1]) != id_of(query)
        forged = [with_id(lie(query), id_of(earlier[-1]))] if late else []
        earlier.append(query)
        return forged * 3

    async with (
        open_lab([ZONE], unknown="nxdomain") as lab,
        open_forger(lab, forge) as address,
        open_service(config_on(lab, dns={"servers": (Endpoint(*address),)})) as service,
    ):
        for number in range(50):
            verdict = await service.lookup(f"none{number}.test")
            assert verdict.kind is VerdictKind.NOT_HOSTED
        assert service.counters()["upstream.near_misses"] >= 48


async def test_lucky_forgery_of_a_host_that_was_not_ours_is_refuted_over_tcp() -> None:
    lucky = False

    def forge(query: bytes, client: Client) -> list[bytes]:
        return [lie(query)] if lucky else []

    async with open_lab([ZONE], unknown="nxdomain") as lab, open_forger(lab, forge) as address:
        config = config_on(lab, dns={"servers": (Endpoint(*address),)}, cache={"not_hosted_ttl": (0.0, 0.0)})
        async with open_service(config) as service:
            assert (await service.lookup("victim.test")).kind is VerdictKind.NOT_HOSTED
            lucky = True
            assert (await service.lookup("victim.test")).kind is VerdictKind.NOT_HOSTED
            counters = service.counters()
            assert (counters["lookup.flips_refuted"], lab.tcp_queries) == (1, 1)
            # It would have worked on a host that nothing is known of: the test is no straw man.
            assert (await service.lookup("fresh.test")).kind is VerdictKind.HOSTED


async def test_host_that_becomes_ours_is_confirmed_over_tcp_and_then_learned(tmp_path: object) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(
            lab,
            cache={"not_hosted_ttl": (0.0, 0.0)},
            domains={"store": f"sqlite:///{tmp_path}/domains.db"},
        )
        async with open_service(config) as service:
            assert (await service.lookup("h1.ours.test")).kind is VerdictKind.NOT_HOSTED
            lab.replace_zones([ZONE, WILD])
            assert (await service.lookup("h1.ours.test")).kind is VerdictKind.HOSTED
            assert service.counters()["lookup.flips_confirmed"] == 1
            assert lab.tcp_queries >= 1
            await until(lambda: service.counters()["domains.learned"] == 1)
