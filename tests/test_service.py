"""The service as a whole, in the process: its API, its budgets against a flood, its end."""

from collections import Counter
from math import inf
from pathlib import Path

import pytest
import trio

from fastvhost import ConfigError, ListenError, VerdictKind, open_service
from fastvhost.faces.pdb_codec import write_request
from fastvhost.resolve import system
from tests.support import ZONE, PdbClient, as_kept, config_on, free_endpoint, until
from tools.dnslab import Effect, Fault, open_lab


async def test_unknown_domain_costs_one_upstream_query_and_within_its_ttl_no_more() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab, open_service(config_on(lab)) as service:
        for _ in range(3):
            verdict = await service.lookup("unknown.test")
            assert verdict.kind is VerdictKind.NOT_HOSTED
        assert lab.total == 1


async def test_verdict_names_its_ttl_and_its_steps() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        verdict = await service.lookup("Hosted.Example.")
    assert (verdict.kind, verdict.host) == (VerdictKind.HOSTED, "hosted.example")
    assert 299.0 < verdict.ttl(trio.current_time()) <= 300.0
    assert verdict.reason == "edge.example has our address 203.0.113.10"
    assert [step.question for step in verdict.steps if step.rcode == "NOERROR"] == [
        "SRV _sip._udp.hosted.example",
        "A edge.example",
    ]


async def test_operator_s_word_is_taken_without_dns() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, domains={"always": ("mine.test",), "never": ("hosted.example", ".bad.test")})
        async with open_service(config) as service:
            verdicts = [await service.lookup(host) for host in ("Mine.Test", "hosted.example", "a.bad.test")]
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.HOSTED, *[VerdictKind.NOT_HOSTED] * 2]
    assert verdicts[0].ttl(0.0) == inf
    assert lab.total == 0


@pytest.mark.parametrize("effect", [Effect.SERVFAIL, Effect.REFUSED, Effect.DROP, Effect.LAME, Effect.NO_SOA])
async def test_failure_is_undetermined_and_lives_a_minute_at_most(effect: Effect) -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(effect=effect)]
        async with open_service(config_on(lab, dns={"timeout": 0.05})) as service:
            verdict = await service.lookup("unknown.example")
            assert verdict.kind is VerdictKind.UNDETERMINED
            assert 0.0 < verdict.ttl(trio.current_time()) <= 1.0
            asked = lab.total
            assert await service.lookup("unknown.example") == as_kept(verdict)
            assert lab.total == asked


async def test_source_that_is_no_address_is_refused() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        with pytest.raises(ValueError, match="'nobody' is not an IP address"):
            await service.lookup("hosted.example", source="nobody")


async def test_caller_that_gives_up_harms_no_other() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="hosted.example", delay=0.3)]
        async with open_service(config_on(lab)) as service:
            kinds = []

            async def stay() -> None:
                kinds.append((await service.lookup("hosted.example")).kind)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(stay)
                with trio.move_on_after(0.05) as gave_up:
                    await service.lookup("hosted.example")
            assert gave_up.cancelled_caught
            assert kinds == [VerdictKind.HOSTED]


async def test_flood_of_random_hosts_never_passes_the_upstream_budget_and_known_hosts_are_answered() -> None:
    """50,000 hosts that nobody knows, each from another source and zone; counted at the DNS server."""
    flood, cap = 50_000, 500
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        config = config_on(lab, limits={"upstream_qps": cap}, dns={"timeout": 5.0})
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            await service.lookup("hosted.example")
            lab.clear_counts()
            before = service.counters()["upstream.udp"]
            kinds: Counter[int] = Counter()
            known: list[VerdictKind] = []
            async with trio.open_nursery() as nursery:
                with PdbClient(service.pdb_endpoint) as attacker, PdbClient(service.pdb_endpoint) as good:

                    async def collect() -> None:
                        while kinds.total() < flood:
                            kinds[(await attacker.receive())[-1]] += 1
                        nursery.cancel_scope.cancel()

                    async def ask_known() -> None:
                        while True:
                            known.append(await good.ask("hosted.example"))
                            await trio.sleep(0.01)

                    nursery.start_soon(ask_known)
                    nursery.start_soon(collect)
                    for number in range(flood):
                        source = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
                        await attacker.send(write_request(f"h.zone{number}.test {source}".encode(), 0))
                        # No more under way than the buffers hold, so that every request is answered.
                        await until(lambda sent=number: sent - kinds.total() < 200, within=30.0)
                    await trio.sleep_forever()
            counters = service.counters()
            assert set(known) == {VerdictKind.HOSTED}
            assert kinds.total() == flood
            assert kinds[VerdictKind.LIMITED] == counters["lookup.limited_upstream"] > flood / 2
            assert lab.total == counters["upstream.udp"] - before
            assert most_within_a_second(list(lab.times)) <= cap


def most_within_a_second(times: list[float]) -> int:
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_flight_under_way_when_the_service_ends_lands_and_is_answered() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(delay=0.3)]
        config = config_on(lab, listen={"answer_within": 5.0})
        with trio.fail_after(10):
            async with open_service(config) as service:
                assert service.pdb_endpoint is not None
                client = PdbClient(service.pdb_endpoint)
                await client.send(write_request(b"unknown.test", 1))
                await lab.wait_for_queries(1)
            with client:
                assert (await client.receive())[-1] == VerdictKind.NOT_HOSTED


async def test_flight_that_outlives_the_grace_time_is_ended_and_its_asker_told() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(effect=Effect.DROP)]
        config = config_on(lab, dns={"timeout": 30.0, "walk_timeout": 60.0}, listen={"answer_within": 10.0})
        with trio.fail_after(20):
            async with open_service(config) as service:
                assert service.pdb_endpoint is not None
                client = PdbClient(service.pdb_endpoint)
                await client.send(write_request(b"hosted.example", 1))
                await lab.wait_for_queries(1)
            with client:
                assert (await client.receive())[-1] == VerdictKind.UNDETERMINED


async def test_cancelled_service_ends_at_once() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(effect=Effect.DROP)]
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:

                async def run() -> None:
                    async with open_service(config_on(lab, dns={"timeout": 30.0})) as service:
                        await service.lookup("hosted.example")

                nursery.start_soon(run)
                await lab.wait_for_queries(1)
                nursery.cancel_scope.cancel()


async def test_error_of_the_block_comes_out_as_it_is() -> None:
    async with open_lab([ZONE]) as lab:
        raised = None
        try:
            async with open_service(config_on(lab)):
                raise KeyError("mine")  # noqa: TRY301 - what is tested
        except KeyError as error:
            raised = error
        assert raised is not None


async def test_service_on_the_same_port_starts_again_at_once() -> None:
    async with open_lab([ZONE]) as lab:
        endpoint = free_endpoint()
        for _ in range(3):
            async with open_service(config_on(lab, listen={"pdb": endpoint})) as service:
                assert service.pdb_endpoint is not None
                endpoint = service.pdb_endpoint
                with PdbClient(endpoint) as client:
                    assert await client.ask("203.0.113.10") is VerdictKind.HOSTED


async def test_two_services_in_one_process_share_nothing() -> None:
    async with open_lab([ZONE]) as lab:
        config = config_on(lab)
        async with open_service(config) as first, open_service(config) as second:
            await first.lookup("hosted.example")
            await second.lookup("hosted.example")
            assert lab.queries["hosted.example", "NAPTR"] == 2
            assert first.pdb_endpoint != second.pdb_endpoint


async def test_port_in_use_is_one_clear_line() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab)) as service:
        taken = service.pdb_endpoint
        with pytest.raises(ListenError, match=f"cannot listen on UDP {taken}: Address"):
            async with open_service(config_on(lab, listen={"pdb": taken})):
                pytest.fail("it started")


async def test_no_server_anywhere_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "RESOLV_CONF", tmp_path / "resolv.conf")
    async with open_lab([ZONE]) as lab:
        config = config_on(lab, dns={"servers": ()})
        with pytest.raises(ConfigError, match="name at least one server in dns"):
            async with open_service(config):
                pytest.fail("it started")


async def test_face_that_is_turned_off_is_not_there() -> None:
    async with open_lab([ZONE]) as lab, open_service(config_on(lab, listen={"pdb": None})) as service:
        assert service.pdb_endpoint is None
        assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED


async def test_hosted_host_is_refreshed_while_asked_for_and_stale_while_dns_is_dark() -> None:
    """Real time, real DNS: floors of a fraction of a second let a life pass quickly."""
    async with open_lab([ZONE]) as lab:
        cache = {"hosted_ttl": (0.4, 0.4), "stale": 1.5}
        async with open_service(config_on(lab, cache=cache, dns={"timeout": 0.05})) as service:
            hosted = await service.lookup("hosted.example")
            first = lab.queries["hosted.example", "NAPTR"]
            while trio.current_time() < hosted.expires + 0.2:
                assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
                await trio.sleep(0.01)
            assert lab.queries["hosted.example", "NAPTR"] > first
            lab.faults = [Fault(effect=Effect.DROP)]
            verdict = last_fresh = await service.lookup("hosted.example")
            while verdict.kind is VerdictKind.HOSTED:
                last_fresh = last_fresh if verdict.reason.startswith("stale") else verdict
                await trio.sleep(0.02)
                verdict = await service.lookup("hosted.example")
            assert verdict.kind is VerdictKind.UNDETERMINED
            assert trio.current_time() >= last_fresh.expires + 1.5
            assert service.counters()["lookup.hits_stale"] > 0
