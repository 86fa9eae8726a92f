"""Top talkers: who is counted, for what, and under which name."""

from ipaddress import ip_address

import pytest
import trio

from fastvhost.config import Limits
from fastvhost.service import open_service
from fastvhost.sources import Sources
from fastvhost.talkers import Talker, Talkers
from tests.support import ZONE, config_on, until
from tools.dnslab import open_lab


@pytest.mark.parametrize(
    ("address", "prefix", "network"),
    [
        ("192.0.2.77", (32, 64), "192.0.2.77/32"),
        ("192.0.2.77", (24, 64), "192.0.2.0/24"),
        ("192.0.2.77", (0, 64), "0.0.0.0/0"),
        ("2001:db8:1:2:3::4", (32, 64), "2001:db8:1:2::/64"),
        ("2001:db8::1", (32, 128), "2001:db8::1/128"),
    ],
)
def test_network_of_a_source_has_its_address_and_the_prefix(
    address: str, prefix: tuple[int, int], network: str
) -> None:
    sources = Sources(Limits(source_prefix=prefix))
    assert sources.network(sources.key(ip_address(address))) == network


async def test_walks_and_refusals_count_for_source_and_zone_and_hits_for_neither() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(lab, limits={"source_rate": 1.0})
        async with open_service(config) as service:
            await service.lookup("known.test", source="192.0.2.9")
            for number in range(4):  # two walks, two refusals
                await service.lookup(f"h{number}.bad.test", source="192.0.2.1")
            for _ in range(3):
                await service.lookup("known.test", source="192.0.2.9")
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            now = trio.current_time()
            assert service.counters()["lookup.limited_source"] == 2
            assert service.talkers.sources(5, now) == [
                Talker(name="192.0.2.1/32", asked=4),
                Talker(name="192.0.2.9/32", asked=1),
            ]
            assert service.talkers.zones(1, now) == [Talker(name="bad.test", asked=4)]


async def test_queries_beyond_source_queries_count_for_the_source() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, limits={"source_queries": 1.0})) as service,
    ):
        for _ in range(5):
            await service.lookup("203.0.113.10", source="192.0.2.1")
        limited = service.counters()["lookup.limited_queries"]
        assert limited >= 2
        assert service.talkers.sources(5, trio.current_time()) == [Talker(name="192.0.2.1/32", asked=limited)]


def test_forget_sources_forgets_those_of_other_keys_and_no_zones() -> None:
    talkers = Talkers(lambda key: key.decode())
    talkers.count_source(b"old", 0.0)
    talkers.count_zone("example", 0.0)
    talkers.forget_sources(lambda key: f"new {key.decode()}")
    talkers.count_source(b"key", 0.0)
    assert [talker.name for talker in talkers.sources(10, 0.0)] == ["new key"]
    assert [talker.name for talker in talkers.zones(10, 0.0)] == ["example"]
