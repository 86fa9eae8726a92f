"""The DNS face asked by the programs that people have: dig, kdig, dnsperf, and Unbound in between."""

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.service import Service, open_service
from tests.support import ZONE, config_on, free_endpoint
from tests.unbound_server import running_unbound, stub_zone
from tools.dnslab import Effect, Fault, open_lab

HOSTED, NODATA, NXDOMAIN, SERVFAIL = ("NOERROR", 1), ("NOERROR", 0), ("NXDOMAIN", 0), ("SERVFAIL", 0)


@asynccontextmanager
async def serving(**listen: object) -> AsyncIterator[tuple[Service, Endpoint]]:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        config = config_on(lab, listen={"dns": free_endpoint(), "answer_within": 5.0, **listen})
        async with open_service(config) as service:
            assert service.dns_endpoint is not None
            yield service, service.dns_endpoint


async def run(*command: str, stdin: bytes = b"") -> str:
    """What it prints, errors included; it must end well."""
    result = await trio.run_process(
        command, stdin=stdin, capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    output = result.stdout.decode()
    assert result.returncode == 0, output
    return output


@pytest.mark.server("dig", "kdig")
@pytest.mark.parametrize("program", ["dig", "kdig"])
@pytest.mark.parametrize("options", ["", "+norecurse", "+tcp", "+noedns", "+dnssec", "+subnet=192.0.2.1/32"])
async def test_program_that_asks_by_hand_is_answered_without_a_warning(program: str, options: str) -> None:
    async with serving() as (_, server):
        ask = (program, f"@{server.address}", "-p", str(server.port), *options.split())
        for host, status, text in (
            ("hosted.example", "NOERROR", "127.0.0.2"),
            ("elsewhere.example", "NOERROR", "SOA"),
            ("foo_bar", "NXDOMAIN", "SOA"),
            ("broken.example", "SERVFAIL", ""),
        ):
            output = await run(*ask, f"{host}.vhost.internal")
            assert f"status: {status}" in output
            assert text in output
            assert not re.search("warning|;; got bad|malformed|mismatch", output, re.IGNORECASE), output
        assert 'TXT\t""' in await run(*ask, "hosted.example.vhost.internal", "TXT")


@pytest.mark.server("kdig")
async def test_kdig_shows_why() -> None:
    async with serving() as (_, server):
        output = await run(
            "kdig", f"@{server.address}", "-p", str(server.port), "+edns", "broken.example.vhost.internal"
        )
    assert "EDE: 22 (No Reachable Authority): 'NAPTR broken.example: SERVFAIL'" in output


@pytest.mark.server("dnsperf")
@pytest.mark.parametrize("options", [[], ["-e"], ["-D"], ["-m", "tcp", "-c", "4"]])
async def test_dnsperf_loses_nothing_and_warns_of_nothing(tmp_path: Path, options: list[str]) -> None:
    names = tmp_path / "names"
    hosts = ["hosted.example", "203.0.113.10", "elsewhere.example", "foo_bar", "HOSTED.example"]
    names.write_text("".join(f"{host}.vhost.internal {rtype}\n" for host in hosts for rtype in ("A", "TXT")))
    async with serving() as (service, server):
        where = ["-s", server.address, "-p", str(server.port)]
        output = await run("dnsperf", *where, "-d", str(names), "-n", "500", "-q", "50", *options)
        counters = service.counters()
    assert "Queries completed:    5000 (100.00%)" in output
    assert "Queries lost:         0 (0.00%)" in output
    assert not re.search(r"\b(Warning|Error)\b", output), output
    assert "Response codes:       NOERROR 4000 (80.00%), NXDOMAIN 1000 (20.00%)" in output
    assert counters["dns.faulty"] == counters["dns.not_queries"] == 0


@pytest.mark.server("unbound")
@pytest.mark.parametrize("minimise", [False, True])
async def test_resolver_in_between_gives_the_same_answers(minimise: bool) -> None:
    async with serving(answer_within=1.0) as (_, server):
        with running_unbound(stub_zone("vhost.internal", server, minimise=minimise)) as unbound:

            async def ask(host: str, rtype: str = "A") -> tuple[str, int]:
                query = dns.message.make_query(f"{host}.vhost.internal".lstrip("."), rtype, use_edns=0)
                reply = await dns.asyncquery.udp(query, unbound.address, port=unbound.port, timeout=30)
                return dns.rcode.to_text(reply.rcode()), len(reply.answer)

            asked = {
                # The parents first, so that a wrong denial of them would show below.
                "10": NODATA,
                "113.10": NODATA,
                "0.113.10": NODATA,
                "203.0.113.10": HOSTED,
                "192.0.2.1": NODATA,
                "1.2.3.4.5": NXDOMAIN,
                "example": NODATA,
                "hosted.example": HOSTED,
                "Hosted.EXAMPLE": HOSTED,
                "elsewhere.example": NODATA,
                "madeup.example": NODATA,
                "below.hosted.example": NODATA,
                "foo_bar.example": NXDOMAIN,
                "x.foo_bar.example": NXDOMAIN,
                "address.example": HOSTED,
                "broken.example": SERVFAIL,
                "[2001:db8::10]": HOSTED,
                "[::ffff:203.0.113.10]": HOSTED,
            }
            for _ in range(2):
                assert {host: await ask(host) for host in asked} == asked
            assert await ask("hosted.example", "TXT") == HOSTED
            assert await ask("hosted.example", "AAAA") == NODATA
            assert await ask("", "SOA") == HOSTED
            assert await ask("", "NS") == HOSTED
            assert await ask("") == NODATA


@pytest.mark.server("unbound")
async def test_resolver_that_minimises_finds_a_literal_that_nobody_asked_for_before() -> None:
    async with serving(answer_within=1.0) as (service, server):
        with running_unbound(stub_zone("vhost.internal", server, minimise=True)) as unbound:
            query = dns.message.make_query("203.0.113.10.vhost.internal", "A")
            reply = await dns.asyncquery.udp(query, unbound.address, port=unbound.port, timeout=30)
        (record,) = reply.answer
        assert [rdata.to_text() for rdata in record] == ["127.0.0.2"]
        # It did ask for the parents, of which the grammar says that they are no hosts.
        assert service.counters()["lookup.malformed"] >= 3
