"""The DNS server of `bench.abuse` as a process: the good and the bad zones, and who asked for which.

    python -m bench.abuse_upstream --report FILE [--fan-out] [--forged N]

Serves till SIGTERM, then writes the report: `known`, the queries about the good caller's hosts, `others`, all
the rest, and `most`, of those within any one second.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import chain, cycle, product
from pathlib import Path

import trio

from bench.abuse_attacks import KNOWN, most_in_a_second
from tests.forger import lie, open_forger
from tests.support import OURS
from tools.dnslab import Effect, Fault, Lab, Zone, open_lab, parse_zone, signed
from tools.hostile_zones import HOSTILE_ZONES, HostileZone

__all__ = ["fan_out_hosts", "forged_replies", "main"]

_COPIES = 25
_MOST_RECORDS = 150
"""Of a hostile zone that is copied; larger ones take longer to load than the attack lasts."""

_ZONE = "$ORIGIN {origin}.\n$TTL {ttl}\n@ SOA ns h 1 3600 600 86400 {ttl}\n@ NS ns\nns A 127.0.0.1\n"
_HOSTED = "{name} {ttl} A " + OURS + "\n_sip._udp.{name} {ttl} SRV 0 0 5060 sip.provider.example.\n"
_SERVICES = ("_sip._udp.", "_sip._tcp.", "_sips._tcp.")
_TTLS_OF_KNOWN = range(3, 8)
"""Seconds: so that some are looked up again at every moment of the attack, and no more than known hosts have
a budget for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve till SIGTERM; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.abuse_upstream", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="where counts are written")
    parser.add_argument("--fan-out", action="store_true", help="serve the hostile zones too")
    parser.add_argument("--forged", type=int, default=0, metavar="N", help="forged datagrams an answer")
    arguments = parser.parse_args(argv)
    lab = trio.run(_serve, arguments.fan_out, arguments.forged)
    known = {prefix + host for host, prefix in product(KNOWN, ("", *_SERVICES))}
    others = [seen.time for seen in lab.log if seen.owner not in known]
    report = {"known": lab.total - len(others), "others": len(others), "most": most_in_a_second(others)}
    arguments.report.write_text(json.dumps(report))
    return 0


async def _serve(fan_out: bool, forged: int) -> Lab:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with AsyncExitStack() as stack:
            lab = await stack.enter_async_context(open_lab(list(_zones(fan_out)), unknown="nxdomain"))
            lab.faults = [Fault(effect=Effect.DROP, name="*.silent")]
            address = lab.address
            if forged:
                forge = partial(forged_replies, forged)
                address = await stack.enter_async_context(open_forger(lab, forge))
            print(f"listening on 127.0.0.1:{address[1]}", flush=True)
            await anext(aiter(signals))
    return lab


def _zones(fan_out: bool) -> Iterator[Zone]:
    known = "".join(
        _HOSTED.format(name=host.removesuffix(".test"), ttl=ttl)
        for host, ttl in zip(KNOWN, cycle(_TTLS_OF_KNOWN), strict=False)
    )
    yield parse_zone(_ZONE.format(origin="test", ttl=300) + known)
    for origin in ("invalid", "silent", "victim.test"):
        yield parse_zone(_ZONE.format(origin=origin, ttl=300))
    yield signed(parse_zone(_ZONE.format(origin="signed.test", ttl=300) + "mail A 198.51.100.7\n"))
    wild = "* SRV 0 0 5060 sip.provider.example.\n"
    yield parse_zone(_ZONE.format(origin="wild.test", ttl=300) + wild)
    if fan_out:
        for origin, hostile in _copies():
            head = _ZONE.format(origin=origin, ttl=hostile.ttl)
            yield parse_zone(head + "\n".join(hostile.records) + "\n")


def fan_out_hosts() -> list[str]:
    """The host of each copy, once; every walk of one passes a bound or finds a loop."""
    return [f"{hostile.host.removesuffix('.evil.test')}.{origin}" for origin, hostile in _copies()]


def _copies() -> Iterator[tuple[str, HostileZone]]:
    hostile = [
        zone
        for zone in HOSTILE_ZONES
        if len(zone.records) <= _MOST_RECORDS and not zone.silent and not zone.host.startswith("self.")
    ]
    for copy, (number, zone) in product(range(_COPIES), enumerate(hostile)):
        # A registrable domain each, or the zone's budget would end what the walk's bounds are to end.
        yield f"z{copy}x{number}.test", zone


def forged_replies(count: int, query: bytes) -> Iterator[bytes]:
    """Answers that make the host ours: of each two one with another id, one with another question."""
    forged = lie(query)
    message_id = int.from_bytes(forged[:2], "big")
    other_ids = ((message_id ^ (1 + number)).to_bytes(2, "big") + forged[2:] for number in range(count // 2))
    other_question = forged[:13] + bytes([forged[13] ^ 1]) + forged[14:]
    return chain(other_ids, [other_question] * (count - count // 2))


if __name__ == "__main__":
    sys.exit(main())
