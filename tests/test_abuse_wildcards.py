"""A zone whose wildcard points at us, and an attacker who makes up names below it; through real sockets."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import trio

from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.support import ZONE, PdbClient, config_on, until, until_true
from tools.dnslab import Effect, Fault, open_lab, parse_zone

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED

WILD = parse_zone("""
$ORIGIN wild.test.
$TTL 600
@    SOA ns h 1 2 3 4 60
@    NS  ns
*    SRV 0 0 5060 edge.example.
own  A   198.51.100.7
""")

TAME = parse_zone("$ORIGIN wild.test.\n$TTL 600\n@ SOA ns h 1 2 3 4 60\n@ NS ns\nown A 198.51.100.7\n")

LONG = f"{'a' * 60}.long.test"
"""HOSTED, and never learned: no proxy's table has room for it."""

LONG_ZONE = parse_zone(
    f"$ORIGIN long.test.\n$TTL 600\n@ SOA ns h 1 2 3 4 60\n@ NS ns\n{'a' * 60} A 203.0.113.10\n"
)


async def flood(service: Service, hosts: Iterable[str]) -> Counter[VerdictKind]:
    """Ask for every host once over the PDB face; what was answered how often."""
    assert service.pdb_endpoint is not None
    kinds: Counter[VerdictKind] = Counter()
    async with trio.open_nursery() as nursery:
        with PdbClient(service.pdb_endpoint) as attacker:

            async def collect() -> None:
                while True:
                    kinds[VerdictKind((await attacker.receive())[-1])] += 1

            nursery.start_soon(collect)
            for sent, host in enumerate(hosts, start=1):
                await attacker.send(write_request(host.encode(), 0))
                if sent % 50 == 0:  # no more under way than the buffers hold, so that all are answered
                    await until(lambda sent=sent: sent - kinds.total() < 150, within=30.0)
            await until(lambda: kinds.total() == sent)
            nursery.cancel_scope.cancel()
    return kinds


async def test_flood_of_names_below_a_wildcard_is_one_entry_and_costs_others_nothing(tmp_path: Path) -> None:
    zone_rate, names = 50, 20_000
    database = tmp_path / "proxy.db"
    sections = {
        "domains": {"store": f"sqlite:///{database}"},
        "cache": {"hosted_entries": 10},
        "limits": {"zone_rate": zone_rate},
    }
    async with open_lab([ZONE, WILD, LONG_ZONE]) as lab, open_service(config_on(lab, **sections)) as service:
        assert (await service.lookup(LONG)).kind is HOSTED
        lab.clear_counts()
        before, started = service.counters(), trio.current_time()
        kinds = await flood(service, (f"cold{number}.wild.test" for number in range(200)))
        assert set(kinds) <= {HOSTED, VerdictKind.PENDING, VerdictKind.LIMITED}
        await until(lambda: service.counters()["wildcards.entries"] == 1)

        kinds = await flood(service, (f"x{number}.wild.test" for number in range(names)))
        assert kinds == {HOSTED: names}
        counters = service.counters()
        walks = counters["lookup.walks"] - before["lookup.walks"]
        assert walks <= 2 * zone_rate + zone_rate * (trio.current_time() - started) + 1
        await until(lambda: service.counters()["lookup.under_way"] == 0)
        asked = sum(times for (_, rrtype), times in lab.queries.items() if rrtype == "NAPTR")
        assert asked == walks + counters["wildcards.probes"]
        assert counters["wildcards.probes"] == 1

        await until(lambda: service.counters()["domains.learned"] == 3)
        await until(lambda: service.counters()["domains.queued"] == 0)
        with sqlite3.connect(database) as connection:
            assert connection.execute("SELECT count(*) FROM domain").fetchone() == (3,)
        assert service.counters()["cache.hosted_entries"] == 4
        lab.clear_counts()
        assert (await service.lookup(LONG)).kind is HOSTED
        assert lab.total == 0, "it is still in the cache"


async def test_name_below_a_wildcard_with_records_of_its_own_is_what_they_say_once_they_were_read() -> None:
    listen = {"answer_within": 0.04}
    async with open_lab([ZONE, WILD]) as lab, open_service(config_on(lab, listen=listen)) as service:
        assert service.pdb_endpoint is not None
        for label in "abc":
            await service.lookup(f"{label}.wild.test")
        await until(lambda: service.counters()["wildcards.entries"] == 1)
        # `own` points elsewhere; below it nothing exists, and no wildcard reaches there (RFC 4592).
        slow = [Fault(name="own.wild.test", delay=0.2), Fault(name="x.own.wild.test", delay=0.2)]
        lab.faults = slow
        with PdbClient(service.pdb_endpoint) as client:
            for host in ("own.wild.test", "x.own.wild.test"):
                assert await client.ask(host) is HOSTED, "presumed when the reply was due"

                async def has_landed(host: str = host) -> bool:
                    return await client.ask(host) is NOT_HOSTED

                await until_true(has_landed)
                assert (await service.lookup(host)).kind is NOT_HOSTED
            assert await client.ask("x.y.wild.test") is HOSTED


async def test_names_below_a_wildcard_outlive_a_failure_of_dns_and_leave_with_the_wildcard() -> None:
    cache = {"hosted_ttl": (0.4, 0.4), "not_hosted_ttl": (0.1, 0.1)}
    async with open_lab([ZONE, WILD]) as lab, open_service(config_on(lab, cache=cache)) as service:
        for label in "abc":
            await service.lookup(f"{label}.wild.test")
        await until(lambda: service.counters()["wildcards.entries"] == 1)
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        ended = trio.current_time() + 1.0
        number = 0
        while trio.current_time() < ended:
            number += 1
            kind = (await service.lookup(f"x{number}.wild.test")).kind
            assert kind in (HOSTED, VerdictKind.UNDETERMINED)
            await trio.sleep(0.01)
        assert kind is HOSTED, "stale"
        lab.faults = []
        lab.replace_zones([ZONE, TAME])

        others = (f"y{number}.wild.test" for number in count())

        async def has_left() -> bool:
            assert (await service.lookup(next(others))).kind is NOT_HOSTED, "DNS has the last word"
            return service.counters()["wildcards.entries"] == 0

        await until_true(has_left)


async def test_zone_with_a_few_hosted_names_and_no_wildcard_is_probed_once_and_learned_as_ever(
    tmp_path: Path,
) -> None:
    labels = [f"h{number}" for number in range(8)]
    records = "\n".join(f"{label} A 203.0.113.10" for label in labels)
    zone = parse_zone(f"$ORIGIN many.test.\n$TTL 600\n@ SOA ns h 1 2 3 4 60\n@ NS ns\n{records}\n")
    domains = {"store": f"sqlite:///{tmp_path / 'proxy.db'}"}
    async with open_lab([zone]) as lab, open_service(config_on(lab, domains=domains)) as service:
        for label in labels:
            assert (await service.lookup(f"{label}.many.test")).kind is HOSTED
            await until(lambda: service.counters()["wildcards.under_way"] == 0)
        await until(lambda: service.counters()["domains.learned"] == len(labels))
        assert service.counters()["wildcards.probes"] == 1
        assert service.counters()["wildcards.entries"] == 0
        assert (await service.lookup("other.many.test")).kind is NOT_HOSTED


async def test_service_that_ends_while_a_probe_waits_for_dns_ends_at_once() -> None:
    async with open_lab([ZONE, WILD]) as lab:
        config = config_on(lab, dns={"timeout": 30.0, "walk_timeout": 60.0})
        async with open_service(config) as service:
            for label in "ab":
                await service.lookup(f"{label}.wild.test")
            answered = [Fault(name=name) for name in ("c.wild.test", "*.c.wild.test", "edge.example")]
            lab.faults = [*answered, Fault(effect=Effect.DROP)]
            await service.lookup("c.wild.test")
            assert service.counters()["wildcards.under_way"] == 1
            ending = trio.current_time()
        assert trio.current_time() - ending < 20.0
