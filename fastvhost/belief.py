"""What the daemon believes of a host, without doing anything about it.

`Lookup.decide` refreshes what is due, starts walks, counts and moves entries in the caches. Whoever only
wants to see must not: nothing here changes anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from math import inf

from fastvhost.budgets import Budgets
from fastvhost.cache import VerdictCache
from fastvhost.config import Own
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.host import Address, DomainName, Malformed, parse_host
from fastvhost.lookup import Lookup
from fastvhost.model import Finding, Verdict, VerdictKind
from fastvhost.wildcards import Wildcards

__all__ = ["Belief", "Station", "believe"]


class Station(Enum):
    """Where the next one who asks gets the answer."""

    LISTED = "listed"
    """The operator's list, or a row of the proxy's own."""
    LEARNED = "learned"
    """A domain learned from DNS."""
    CACHED = "cached"
    """A verdict within its TTL."""
    STALE = "stale"
    """A HOSTED verdict past its TTL, while DNS fails."""
    OUTDATED = "outdated"
    """A HOSTED verdict past its TTL: the next one who asks has it looked up again."""
    LOOKING = "looking"
    """A walk under way."""
    DENIED = "denied"
    """Proved not to be there, by what a trusted upstream said of others."""
    WILDCARD = "wildcard"
    """Below a wildcard that points at us; DNS has not said what the name itself is."""
    LIMITED = "limited"
    """Unknown, and a budget is spent at the moment."""
    UNKNOWN = "unknown"
    """Unknown: the next one who asks starts a walk."""
    LITERAL = "literal"
    """An address, which DNS has no say in."""
    MALFORMED = "malformed"
    """Not a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed at one instant."""

    host: str
    """Canonical where it is a host."""
    station: Station
    verdict: Verdict | None = None
    """What the next one is told at once; None where that has to be found out."""
    why: str = ""
    behind: tuple["Belief", ...] = ()
    """What else is known of it, and would be the answer were it not for the station: the nearest first."""


def believe(
    text: str,
    source: Address | None,
    now: float,
    *,
    own: Own,
    table: DomainTable,
    cache: VerdictCache,
    lookup: Lookup,
    budgets: Budgets,
    wildcards: Wildcards,
    denied: Callable[[str, float], Finding | None] | None = None,
) -> Belief:
    """What is believed of the host `text`, were `source` to ask for it; changes nothing. Never raises.

    `denied` is that of `Lookup`.
    """
    match parse_host(text):
        case Malformed(why):
            return Belief(host=text, station=Station.MALFORMED, why=why)
        case IPv4Address() | IPv6Address() as address:
            ours = own.has_address(address)
            why = f"{'one' if ours else 'none'} of own.addresses"
            verdict = Verdict(
                kind=VerdictKind.HOSTED if ours else VerdictKind.NOT_HOSTED,
                host=text,
                expires=inf,
                reason=why,
            )
            return Belief(host=text, station=Station.LITERAL, verdict=verdict, why=why)
        case DomainName(host):
            known = (
                _of_table(host, table),
                _of_cache(host, cache, now),
                _of_flight(host, lookup),
                _of_proof(host, denied(host, now) if denied else None, now),
                _of_wildcard(host, wildcards, now),
            )
            stations = [belief for belief in known if belief is not None]
            if not stations:
                return _of_nothing(host, source, now, budgets)
            return replace(stations[0], behind=tuple(stations[1:]))


def _of_table(host: str, table: DomainTable) -> Belief | None:
    verdict = table.peek(host)
    if verdict is None:
        return None
    learned = table.standing(host) is Standing.LEARNED and verdict.reason == Standing.LEARNED.value
    station = Station.LEARNED if learned else Station.LISTED
    return Belief(host=host, station=station, verdict=verdict, why=verdict.reason)


def _of_cache(host: str, cache: VerdictCache, now: float) -> Belief | None:
    entry, unknown = cache.peek(host, now)
    if entry is not None and now < entry.stale_until:
        verdict = entry.answer(now)
        if now < entry.verdict.expires:
            station = Station.CACHED
        else:
            station = Station.STALE if entry.dns_fails(now) else Station.OUTDATED
        return Belief(host=host, station=station, verdict=verdict, why=verdict.reason)
    if unknown is not None:
        return Belief(host=host, station=Station.CACHED, verdict=unknown, why=unknown.reason)
    return None


def _of_flight(host: str, lookup: Lookup) -> Belief | None:
    if not lookup.is_looking(host):
        return None
    return Belief(host=host, station=Station.LOOKING, why="a walk is under way")


def _of_proof(host: str, finding: Finding | None, now: float) -> Belief | None:
    if finding is None:
        return None
    verdict = Verdict(
        kind=finding.kind, host=host, expires=now + finding.ttl, reason=finding.reason, steps=finding.steps
    )
    return Belief(host=host, station=Station.DENIED, verdict=verdict, why=finding.reason)


def _of_wildcard(host: str, wildcards: Wildcards, now: float) -> Belief | None:
    verdict = wildcards.peek(host, now)
    if verdict is None:
        return None
    why = f"below the wildcard {verdict.host}: {verdict.reason}"
    return Belief(host=host, station=Station.WILDCARD, verdict=verdict, why=why)


def _of_nothing(host: str, source: Address | None, now: float, budgets: Budgets) -> Belief:
    spent = budgets.spent(host, source, now)
    if spent is not None:
        return Belief(host=host, station=Station.LIMITED, why=f"the {spent.value} budget is spent")
    return Belief(host=host, station=Station.UNKNOWN, why="whoever asks first starts a walk")
