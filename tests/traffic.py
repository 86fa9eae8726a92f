"""What the end-to-end tests and `bench.proxies` ask a proxy: hosts of each kind, and their zone."""

import random

from tests.sipp import Call
from tests.support import OURS

__all__ = ["ELSEWHERE", "HOSTED", "ZONE", "flood_hosts", "mixed_calls"]

HOSTED = tuple(f"hosted{number}.test" for number in range(50))
ELSEWHERE = tuple(f"elsewhere{number}.test" for number in range(20))
_MALFORMED = ("foo_bar.test", "-x.test", "a..test", "x.1")

_SHARES = {"hosted": 70, "elsewhere": 20, "malformed": 7, "random": 3}
"""Of a hundred calls. At 500 calls a second these are 15 random hosts, and the default allows a source 20."""

_HOSTED_TTL = 5
"""Seconds. So short that in a black hole of ten seconds each hosted domain is past its TTL."""

ZONE = "\n".join(
    (
        "$TTL 600",
        "@ SOA ns hostmaster 1 3600 600 86400 600",
        "@ NS ns",
        "ns A 127.0.0.1",
        f"edge {_HOSTED_TTL} A {OURS}",
        *(f"_sip._udp.{host}. {_HOSTED_TTL} SRV 0 0 5060 edge" for host in HOSTED),
        *(f"{host}. {_HOSTED_TTL} A {OURS}" for host in HOSTED),
        *(f"{host}. A 198.51.100.7" for host in ELSEWHERE),
        "",
    )
)
"""The zone `test.`: it says of each host of `HOSTED`, by SRV and by A, that it is ours."""


def mixed_calls(count: int) -> list[Call]:
    """Calls of every kind, in shares of a hundred and in a random order, the same each time.

    A host of the kind `random` does not exist, and none is asked for twice.
    """
    chance = random.Random(3263)
    hundred = [kind for kind, share in _SHARES.items() for _ in range(share)]
    calls: list[Call] = []
    while len(calls) < count:
        chance.shuffle(hundred)
        calls += [Call(kind=kind, host=_host(kind, chance)) for kind in hundred]
    return calls[:count]


def flood_hosts(count: int) -> list[str]:
    """Hosts that do not exist, each with a registrable domain of its own."""
    return [f"flood{number}.test" for number in range(count)]


def _host(kind: str, chance: random.Random) -> str:
    match kind:
        case "hosted":
            return chance.choice(HOSTED)
        case "elsewhere":
            return chance.choice(ELSEWHERE)
        case "malformed":
            return chance.choice(_MALFORMED)
        case _:
            return f"r{chance.getrandbits(64):016x}.test"
