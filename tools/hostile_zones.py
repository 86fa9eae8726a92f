"""Zones made to harm: each has one host whose walk would cost without end if nothing bounded it.

For tests and for the figure of `bench/fan_out.py`. All are below `evil.test`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tools.dnslab import Zone, parse_zone

__all__ = ["HOSTILE_ZONES", "HostileZone"]

_HEAD = "$ORIGIN evil.test.\n@ 60 SOA ns h 1 2 3 4 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n"
_TRANSPORTS = ("_sip._udp", "_sip._tcp", "_sips._tcp")
_LONG = ".".join(["a"] * 100)
_TEXT = "x" * 255


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileZone:
    """One zone, and the host to ask for."""

    name: str
    """What it does, in a few words."""
    host: str
    records: tuple[str, ...]
    ttl: int = 60
    silent: bool = False
    """Whether names below `silent.evil.test` are to get no reply."""

    def zone(self) -> Zone:
        """For the lab."""
        return parse_zone(f"$TTL {self.ttl}\n{_HEAD}" + "\n".join(self.records) + "\n")


def _hostile(
    name: str, label: str, records: Iterable[str], *, ttl: int = 60, silent: bool = False
) -> HostileZone:
    return HostileZone(name=name, host=f"{label}.evil.test", records=tuple(records), ttl=ttl, silent=silent)


def _srv(
    label: str, targets: int, target: str = "t{}-{}", ports: tuple[int, ...] = (5060, 5060, 5061)
) -> list[str]:
    """SRV records for each transport, each with targets of its own."""
    return [
        f"{prefix}.{label} SRV {number} 0 {port} {target.format(at, number)}"
        for at, (prefix, port) in enumerate(zip(_TRANSPORTS, ports, strict=True))
        for number in range(targets)
    ]


HOSTILE_ZONES = (
    _hostile(
        "NAPTR mesh of 12 names, no terminal rule",
        "m0",
        [f'm{a} NAPTR 1 1 "" "SIP+D2U" "" m{b}' for a in range(12) for b in range(12) if a != b],
    ),
    _hostile("NAPTR loop of two", "x0", ['x0 NAPTR 1 1 "" "" "" x1', 'x1 NAPTR 1 1 "" "" "" x0']),
    _hostile(
        "NAPTR chain of 30",
        "n0",
        [f'n{number} NAPTR 1 1 "" "SIP+D2U" "" n{number + 1}' for number in range(30)],
    ),
    _hostile(
        "wildcard NAPTR to more of itself",
        "a.w",
        [f'*.w NAPTR 1 {number} "" "SIP+D2U" "" b{number}.w' for number in range(50)],
    ),
    _hostile(
        "120 NAPTR, 3 x 120 SRV, 120 targets",
        "p",
        [
            *(f'p NAPTR 1 {number} "s" "SIP+D2U" "" s{number % 3}' for number in range(120)),
            *(f"s{srv} SRV {number} 0 5060 t{number}" for srv in range(3) for number in range(120)),
            *(f"t{number} A 198.51.100.1" for number in range(120)),
        ],
    ),
    _hostile(
        "NAPTR set of 64 kB",
        "big",
        [f'big NAPTR 1 {number} "s" "SIP+D2U" "!{_TEXT[:200]}{number}!!" .' for number in range(260)],
    ),
    _hostile("200 SRV targets that do not exist", "s200", _srv("s200", 200)),
    _hostile("12 SRV targets for each transport", "s12", _srv("s12", 12)),
    _hostile(
        "12 SRV targets, each an address set of 31 kB",
        "fat",
        [
            *_srv("fat", 4, "t{}-{}.sets"),
            *(f"*.sets A 10.0.{number // 250}.{number % 250 + 1}" for number in range(1_950)),
        ],
    ),
    _hostile(
        "12 SRV targets, each a chain of 8 CNAME",
        "sc",
        [
            *_srv("sc", 4),
            *(f"t{at}-{number} CNAME l{at}-{number}-1" for at in range(3) for number in range(4)),
            *(
                f"l{at}-{number}-{link} CNAME l{at}-{number}-{link + 1}"
                for at in range(3)
                for number in range(4)
                for link in range(1, 8)
            ),
        ],
    ),
    _hostile(
        "12 SRV targets, each in a zone of its own",
        "far",
        _srv("far", 12, "t{}.victim{}.invalid."),
    ),
    _hostile(
        "12 SRV targets, whose servers are silent", "mute", _srv("mute", 4, "t{}-{}.silent"), silent=True
    ),
    _hostile(
        "SRV targets of 200 octets", "l", [f"_sip._udp.l SRV {n} 0 5060 t{n}.{_LONG}" for n in range(40)]
    ),
    _hostile(
        "SRV that points at its own host", "self", ["_sip._udp.self SRV 0 0 5060 self", "self A 198.51.100.1"]
    ),
    _hostile(
        "address set of 32 kB",
        "a",
        [f"a A 198.51.{number // 250}.{number % 250 + 1}" for number in range(2_000)],
    ),
    _hostile("CNAME chain of 60", "c0", [f"c{number} CNAME c{number + 1}" for number in range(60)]),
    _hostile("CNAME loop of two", "r0", ["r0 CNAME r1", "r1 CNAME r0"]),
    _hostile("12 SRV targets, TTL 0", "z", _srv("z", 12), ttl=0),
)
"""The corpus."""
