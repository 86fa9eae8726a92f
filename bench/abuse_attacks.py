"""The attacks of docs/abuse.md as values: what is sent, what it may cost, which verdicts are wrong. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fastvhost.model import VerdictKind

__all__ = ["ATTACKS", "KNOWN", "UNLISTED", "Attack", "Load", "most_in_a_second", "wrong_verdicts"]

Load: TypeAlias = Literal["none", "hosts", "fan-out", "spoofed", "unlisted", "garbage"]
"""What the attacker sends: new hosts, hosts of hostile zones, each host with a source of its own, valid
requests from an address that is not in `listen.allow`, octets at random."""

KNOWN = tuple(f"k{number}.test" for number in range(30))
"""The hosts that the good caller asks for; each a registrable domain of its own, all HOSTED."""

UNLISTED = "127.0.0.66"
"""An address that is not in `listen.allow`."""

_UPSTREAM = 800.0
"""The part of the default `limits.upstream_qps` that unknown hosts have: four fifths."""
_ZONE = 50.0 * 1.2
"""The default `limits.zone_rate`, its burst is twice that; and a fifth of a retry for each question."""

_NEVER_HOSTED = frozenset((VerdictKind.HOSTED, VerdictKind.MALFORMED))
_UNDECIDED = _NEVER_HOSTED | {VerdictKind.NOT_HOSTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack."""

    name: str
    load: Load = "hosts"
    under: str = "invalid"
    """The domain right below which each host is made."""
    rate: int
    """Requests a second."""
    cap: float = 0.0
    """DNS queries a second that the configuration lets it cause."""
    burst: float = 0.0
    """And as many once."""
    impossible: frozenset[VerdictKind] = _NEVER_HOSTED
    """Verdicts that DNS gives no reason for."""
    proofs: bool = False
    """Whether one DNS answer is evidence for many hosts (RFC 8198), with `dns.trusted`."""
    forged: int = 0
    """Forged datagrams before each true answer of the DNS server."""
    lines: Mapping[str, str] | None = None
    """Configuration that is not the default, by section."""
    peers: bool = False
    """Whether a plain resolver can be attacked so as well."""

    def allowed(self, seconds: float) -> float:
        """The most DNS queries a second, burst included, over so many seconds."""
        return self.cap + self.burst / seconds


ATTACKS: Sequence[Attack] = (
    Attack(name="none", load="none", rate=0, peers=True),
    Attack(name="made-up hosts", rate=5_000, cap=_UPSTREAM, peers=True),
    Attack(
        name="random labels", under="victim.test", rate=5_000, cap=_ZONE, burst=2 * _ZONE, peers=True
    ),
    Attack(
        name="random labels, signed zone", under="signed.test", rate=5_000, burst=100.0, proofs=True,
        lines={"dns": "trusted = true"},
    ),
    # NAPTR, then SRV for three transports: four queries a walk; and the probes.
    Attack(
        name="wildcard that points at us", under="wild.test", rate=5_000, cap=4 * _ZONE, burst=8 * _ZONE + 20,
        impossible=frozenset((VerdictKind.NOT_HOSTED, VerdictKind.MALFORMED)),
    ),
    Attack(name="silent zones", under="silent", rate=2_000, cap=_UPSTREAM, impossible=_UNDECIDED, peers=True),
    Attack(name="fan-out", load="fan-out", rate=60, cap=_UPSTREAM, impossible=_UNDECIDED),
    Attack(name="forged replies", rate=100, cap=_UPSTREAM, forged=100),
    Attack(name="spoofed sources", load="spoofed", rate=5_000, cap=_UPSTREAM),
    Attack(
        name="scan of a small cache", rate=5_000, cap=3_200.0,
        lines={"cache": "unknown_entries = 1_000", "limits": "upstream_qps = 4_000"},
    ),
    Attack(name="unlisted client", load="unlisted", rate=10_000),
    Attack(name="garbage on both faces", load="garbage", rate=5_000),
)  # fmt: skip


def wrong_verdicts(attack: Attack, verdicts: Mapping[str, int], queries: int) -> int:
    """Verdicts on the attacker's hosts that are wrong.

    Args:
        verdicts: how many replies had which verdict, by its name; any other name is wrong.
        queries: DNS queries about the attacker's hosts. Each host is asked for once, so NOT_HOSTED more often
            than that had no evidence.
    """
    possible = {kind.name for kind in VerdictKind if kind not in attack.impossible}
    wrong = sum(count for name, count in verdicts.items() if name not in possible)
    no = verdicts.get(VerdictKind.NOT_HOSTED.name, 0) if VerdictKind.NOT_HOSTED.name in possible else 0
    return wrong if attack.proofs else wrong + max(0, no - queries)


def most_in_a_second(times: Sequence[float]) -> int:
    """The most of these instants, seconds in ascending order, that lie within any one second."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
