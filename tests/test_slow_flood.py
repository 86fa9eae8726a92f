"""A thousand slow names, through real sockets: nobody else waits for a slot that they hold."""

import pytest
import trio

from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.support import ZONE, PdbClient, config_on, until, until_true
from tools.dnslab import Effect, Fault, open_lab

SLOW_NAMES = 1_000

ZONES = {
    "a zone each": lambda number: f"h.zone{number}.silent",
    "five zones": lambda number: f"h{number}.zone{number % 5}.silent",
    "one zone": lambda number: f"h{number}.zone.silent",
}


@pytest.mark.parametrize("zones", ZONES)
async def test_thousand_slow_names_hold_no_slot_that_a_quick_unknown_host_needs(zones: str) -> None:
    """500 a second, none of which is ever answered; 102 queries under way at most, for a minute each."""
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.DROP, name="*.silent")]
        config = config_on(
            lab,
            limits={"upstream_inflight": 128, "zone_rate": 10_000.0},
            dns={"timeout": 60.0, "walk_timeout": 60.0},
            listen={"answer_within": 3.0},
        )
        async with trio.open_nursery() as nursery, open_service(config) as service:
            assert service.pdb_endpoint is not None
            await service.lookup("hosted.example")
            with PdbClient(service.pdb_endpoint) as attacker, PdbClient(service.pdb_endpoint) as good:

                async def attack() -> None:
                    for number in range(SLOW_NAMES):
                        await attacker.send(write_request(ZONES[zones](number).encode(), number))
                        await trio.sleep(0.002)

                async def expect(kind: VerdictKind, host: str) -> None:
                    # LIMITED and UNDETERMINED hold for a moment only: who asks again is answered.
                    async def is_so() -> bool:
                        return await good.ask(host) is kind

                    await until_true(is_so, within=25.0)

                nursery.start_soon(attack)
                for number in range(60):
                    await expect(VerdictKind.NOT_HOSTED, f"q{number}.quick{number}.test")
                    assert await good.ask("hosted.example") is VerdictKind.HOSTED
                    await trio.sleep(0.01)
                if zones == "one zone":
                    assert service.counters()["lookup.under_way"] <= 128 // 4
                else:
                    await until(lambda: service.counters()["upstream.gave_way"] > 0)
            nursery.cancel_scope.cancel()


async def test_zone_that_keeps_silent_is_set_aside_and_costs_a_probe_now_and_then() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.DROP, name="*.silent")]
        config = config_on(lab, dns={"timeout": 0.3}, limits={"zone_rate": 10_000.0})
        async with open_service(config) as service:
            for number in range(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(service.lookup, f"h{number}.zone.silent")
                    await lab.wait_for_queries(1)
                    await service.lookup(f"n{number}.sound{number}.test")
                if service.counters()["lookup.zones_set_aside"]:
                    break
            lab.clear_counts()
            for number in range(1_000):
                verdict = await service.lookup(f"x{number}.zone.silent")
                assert verdict.kind is VerdictKind.UNDETERMINED
            assert lab.total <= 2 * 4
            lab.faults = []

            async def is_back() -> bool:
                return (await service.lookup("back.zone.silent")).kind is VerdictKind.NOT_HOSTED

            await until_true(is_back)
            assert (await service.lookup("others.zone.silent")).kind is VerdictKind.NOT_HOSTED
