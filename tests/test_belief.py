"""What is believed of a host, at each station, and that to look changes nothing."""

from dataclasses import replace
from ipaddress import ip_address

import trio

from fastvhost.belief import Station
from fastvhost.domains.table import Standing
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, open_lab


def station(service: Service, host: str, *, source: str | None = None, later: float = 0.0) -> Station:
    peer = None if source is None else ip_address(source)
    return service.belief(host, peer, trio.current_time() + later).station


async def test_host_of_each_kind_is_believed_at_its_station() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(
            lab, domains={"always": ("mine.test",), "never": (".bad.test",)}, limits={"source_rate": 1.0}
        )
        async with open_service(config) as service:
            table = service._lookup._table
            table.enter("learned.example", Standing.LEARNED)
            table.enter("row.example", Standing.PROXY_ROW)
            await service.lookup("hosted.example")
            await service.lookup("elsewhere.example")
            for number in range(2):
                await service.lookup(f"spent{number}.test", source="192.0.2.1")
            assert station(service, "Mine.Test.") is Station.LISTED
            assert station(service, "a.bad.test") is Station.LISTED
            assert station(service, "learned.example") is Station.LEARNED
            assert station(service, "row.example") is Station.LISTED
            assert station(service, "hosted.example") is Station.CACHED
            assert station(service, "elsewhere.example") is Station.CACHED
            assert station(service, "203.0.113.10") is Station.LITERAL
            assert station(service, "foo_bar") is Station.MALFORMED
            assert station(service, "new.test") is Station.UNKNOWN
            assert station(service, "new.test", source="192.0.2.1") is Station.LIMITED
            assert station(service, "new.test", source="192.0.2.2") is Station.UNKNOWN


async def test_hosted_verdict_past_its_ttl_is_outdated_and_stale_once_dns_has_failed() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, cache={"hosted_ttl": (0.05, 0.05)})
        async with open_service(config) as service:
            await service.lookup("hosted.example")
            assert station(service, "hosted.example", later=0.06) is Station.OUTDATED
            belief = service.belief("hosted.example", None, trio.current_time() + 0.06)
            assert belief.verdict is not None
            assert belief.verdict.stale
            lab.faults = [Fault(effect=Effect.SERVFAIL)]
            await until(lambda: station(service, "hosted.example") is Station.OUTDATED)
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
            assert station(service, "hosted.example") is Station.STALE


async def test_belief_has_behind_its_station_what_else_is_known() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, domains={"never": ("hosted.example",)})
        async with open_service(replace(config, domains=replace(config.domains, never=()))) as service:
            await service.lookup("hosted.example")
            service.reload(config)
            now = trio.current_time()
            belief = service.belief("hosted.example", None, now)
            assert [one.station for one in (belief, *belief.behind)] == [Station.LISTED, Station.CACHED]
            assert [one.kind for one in (belief.verdict, belief.behind[0].verdict) if one is not None] == [
                VerdictKind.NOT_HOSTED,
                VerdictKind.HOSTED,
            ]
            assert service.belief("other.example", None, now).behind == ()


async def test_host_under_way_is_looked_for() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="slow.example", delay=0.2)]
        async with open_service(config_on(lab)) as service, trio.open_nursery() as nursery:
            nursery.start_soon(service.lookup, "slow.example")
            await until(lambda: station(service, "slow.example") is Station.LOOKING)


async def test_to_look_changes_no_counter_and_asks_for_nothing() -> None:
    async with (
        open_lab([ZONE], unknown="nxdomain") as lab,
        open_service(config_on(lab, cache={"hosted_ttl": (0.01, 0.01)})) as service,
    ):
        service._lookup._table.enter("learned.example", Standing.LEARNED)
        await service.lookup("hosted.example")
        before = service.counters()
        service._lookup._table.take_asked()
        for host in ("hosted.example", "learned.example", "new.test", "foo_bar", "192.0.2.1"):
            station(service, host)
            station(service, host, later=0.02)
        assert service.counters() == before
        assert service._lookup._table.take_asked() == frozenset()


async def test_cache_order_is_not_changed_by_a_look() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, cache={"hosted_entries": 2})
        async with open_service(config) as service:
            for host in ("hosted.example", "address.example"):
                await service.lookup(host)
            station(service, "hosted.example")  # asked for, it would be the newer of the two
            await service.lookup("edge.example")
            assert station(service, "hosted.example") is Station.UNKNOWN
            assert station(service, "address.example") is Station.CACHED
