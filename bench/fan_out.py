"""Fan-out: what one walk of each hostile zone costs, in upstream queries and in octets.

    python -m bench.fan_out

Each zone is served by a lab of its own and asked about once. The bounds are those of a walk.
"""

import sys
from dataclasses import dataclass
from ipaddress import ip_network

import trio

from fastvhost.config import Config, Dns, Domains, Endpoint, Listen, Own
from fastvhost.model import VerdictKind
from fastvhost.resolve.account import MAX_OCTETS, MAX_QUERIES
from fastvhost.service import open_service
from tools.dnslab import Effect, Fault, open_lab
from tools.hostile_zones import HOSTILE_ZONES, HostileZone

__all__ = ["Cost", "cost_of", "cost_rows"]

_WALK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one walk cost; `queries` as the DNS server counted them, `octets` of replies that were read."""

    name: str
    verdict: VerdictKind
    queries: int
    octets: int
    seconds: float


async def cost_of(hostile: HostileZone) -> Cost:
    """Ask for the host of one zone, with `dns.walk_timeout` at 2 s."""
    async with open_lab([hostile.zone()], unknown="nxdomain") as lab:
        if hostile.silent:
            lab.faults = [Fault(effect=Effect.DROP, name="*.silent.evil.test")]
        config = Config(
            own=Own(addresses=(ip_network("203.0.113.10"), ip_network("2001:db8::10"))),
            listen=Listen(pdb=None, dns=None, admin=None),
            dns=Dns(servers=(Endpoint(*lab.address),), walk_timeout=_WALK_SECONDS),
            domains=Domains(store=""),
        )
        async with open_service(config) as service:
            started = trio.current_time()
            verdict = await service.lookup(hostile.host)
            seconds = trio.current_time() - started
            octets = service.counters()["upstream.octets"]
        return Cost(
            name=hostile.name, verdict=verdict.kind, queries=lab.total, octets=octets, seconds=seconds
        )


async def cost_rows() -> list[Cost]:
    """One row for each zone of the corpus."""
    return [await cost_of(hostile) for hostile in HOSTILE_ZONES]


def main() -> int:
    """Print the table; exit 1 if a walk passed a bound."""
    rows = trio.run(cost_rows)
    print(f"{'zone':<46} {'verdict':<13} {'queries':>7} {'octets':>7} {'ms':>6}")
    for row in rows:
        milliseconds = row.seconds * 1_000.0
        cells = f"{row.verdict.name:<13} {row.queries:>7} {row.octets:>7,} {milliseconds:>6.0f}"
        print(f"{row.name:<46} {cells}")
    print(f"{'bound':<60} {MAX_QUERIES:>7} {MAX_OCTETS:>7,} {_WALK_SECONDS * 1e3:>6.0f}")
    return int(any(row.queries > MAX_QUERIES or row.octets > MAX_OCTETS for row in rows))


if __name__ == "__main__":
    sys.exit(main())
