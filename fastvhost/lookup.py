"""The job: a host and who asks for it in, a verdict out.

`Lookup.decide` is the whole order of stations, and it is synchronous: an answer that is known costs no
task and no await. What has to be looked up becomes a flight, which the caller may join.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

import trio

from fastvhost.budgets import Budget, Budgets
from fastvhost.cache import HostedEntry, VerdictCache
from fastvhost.coalesce import Flight, Flights
from fastvhost.config import Config
from fastvhost.domains.table import DomainTable
from fastvhost.flying import Confirm, Flying, Scout, Walk
from fastvhost.host import Address, DomainName, Malformed, parse_host
from fastvhost.limits import Bucket, Gcra
from fastvhost.lookup_counters import LookupCounters
from fastvhost.model import Finding, Lease, Verdict, VerdictKind
from fastvhost.presumption import Presumption
from fastvhost.query_log import QueryLog
from fastvhost.talkers import Talkers
from fastvhost.wildcards import Wildcards

__all__ = ["Lookup"]

_LEASE_SECONDS = 60.0
"""Most seconds that an answer is repeated without asking here."""

_LOOK_SECONDS = 10.0
"""Seconds after which who repeats it asks here again meanwhile: it counts as one that is asked for, in the
caches and in the table."""

_PAUSE_SECONDS = 1.0
"""Least seconds until then; and most that a failure, or what is stale, is repeated."""

_U_LABELS = Gcra(rate=100.0, burst=20.0)
"""Conversions of U-labels, which take up to 0.7 ms each: a burst of them must not hold up everybody else. SIP
itself has A-labels on the wire."""


class Lookup:
    """Decides hosts; owns the flights that it starts in `nursery`.

    `found_hosted` is told of each host that DNS says is ours, other than those below one of `wildcards`; it
    must neither block nor raise. `scout` asks the first question of unknown hosts without a task, where there
    is one. `confirm` has the second say on a host that is remembered as something else;
    None: the first look is believed. `denied` has the finding on a host that is proved not to be there
    without asking.
    """

    def __init__(
        self,
        config: Config,
        *,
        table: DomainTable,
        cache: VerdictCache,
        budgets: Budgets,
        walk: Walk,
        nursery: trio.Nursery,
        scout: Scout | None = None,
        confirm: Confirm | None = None,
        found_hosted: Callable[[str, Finding], None] | None = None,
        denied: Callable[[str, float], Finding | None] | None = None,
        wildcards: Wildcards | None = None,
    ) -> None:
        self._table = table
        self._cache = cache
        self._denied = denied
        self.counters = LookupCounters()
        self._presumption = Presumption(cache, wildcards)
        self._flying = Flying(
            cache=cache,
            presumption=self._presumption,
            walk=walk,
            scout=scout,
            confirm=confirm,
            nursery=nursery,
            found_hosted=found_hosted,
            counters=self.counters,
        )
        limits = config.limits
        # Apart, so that no number of unknown hosts can keep a known one from being looked up.
        self._flights = Flights(most=limits.upstream_inflight, waiters=limits.waiters)
        self._refreshes = Flights(most=limits.upstream_inflight, waiters=limits.waiters)
        self._u_labels = Bucket(_U_LABELS)
        self._take_over(config, budgets)
        self.talkers = Talkers(self._sources.network)

    def configure(self, config: Config, budgets: Budgets, now: float) -> None:
        """Decide by this configuration and these budgets from now on.

        Flights under way land as they were going to, but what they find is not believed for long.
        """
        if budgets.sources is not self._sources:
            self.talkers.forget_sources(budgets.sources.network)
        self._flying.configure(now)
        self._take_over(config, budgets)
        limits = config.limits
        self._flights.limit(most=limits.upstream_inflight, waiters=limits.waiters)
        self._refreshes.limit(most=limits.upstream_inflight, waiters=limits.waiters)

    def _take_over(self, config: Config, budgets: Budgets) -> None:
        self._own = config.own
        self._literal_ttls = (config.cache.hosted_ttl[1], config.cache.not_hosted_ttl[1])
        self._budgets = budgets
        self._sources = budgets.sources
        self._charges_queries = config.limits.source_queries > 0.0
        self._query_log: QueryLog | None = QueryLog(config.log.queries) if config.log.queries else None

    @property
    def under_way(self) -> int:
        """Flights that have not landed."""
        return len(self._flights) + len(self._refreshes)

    @property
    def zones_set_aside(self) -> int:
        """How often a zone was set aside for being slow."""
        return self._flights.slow_zones.set_aside + self._refreshes.slow_zones.set_aside

    def is_looking(self, host: str) -> bool:
        """Whether a canonical host is being looked up."""
        return self._flights.find(host) is not None or self._refreshes.find(host) is not None

    def decide(self, text: str, source: Address | None, now: float) -> Verdict | Flight:
        """Answer at once, or return the flight that will, which has room for one more asker.

        `text` is a host as the client wrote it, `source` the SIP peer that asks for it.
        """
        if self._query_log is not None:  # not one more call around each hit: that costs a twentieth of it
            return self._decide_and_log(self._query_log, text, source, now)
        if self._charges_queries and source is not None and not self._sources.charge_query(source, now):
            self.talkers.count_source(self._sources.key(source), now)
            return self._beyond_charge(text, now)
        # A canonical host is its own key, so what is known under the raw spelling needs no grammar. A
        # suffix does: anything at all may stand before it.
        raw = text.lower()
        by_suffix = self._table.has_suffix_of(raw)
        recalled = None if by_suffix else self._recall(raw, now)
        if recalled is not None:
            if source is not None:
                self._establish(source, recalled, now)
            return recalled
        if not raw.isascii() and not self._may_convert(now):
            self.counters.limited_u_labels += 1
            return _undecided(
                VerdictKind.LIMITED, text, "too many hosts with U-labels are being asked for", now
            )
        match parse_host(text):
            case DomainName(host):
                recalled = self._recall(host, now) if by_suffix or host != raw else None
                if recalled is None:
                    decided = self._unknown(host, source, now)
                    return self._presumed(decided, now) if isinstance(decided, Verdict) else decided
                if source is not None:
                    self._establish(source, recalled, now)
                return recalled
            case Malformed(why):
                self.counters.malformed += 1
                return Verdict(
                    kind=VerdictKind.MALFORMED, host=text, expires=now, reason=f"not a host: {why}"
                )
            case IPv4Address() | IPv6Address() as address:
                self.counters.literals += 1
                return self._literal(address, now)
            case never:
                assert_never(never)

    def lease(self, verdict: Verdict, now: float) -> Lease:
        """How long a verdict of `decide` may be repeated to whoever asks the same, unless it is retracted.

        Not at all where everybody has to ask: it is no answer of the table or the cache, or queries are
        charged for or logged.
        """
        if self._charges_queries or self._query_log is not None:
            return Lease(until=now, look_at=now)
        host = verdict.host
        look_at, until = now + _LOOK_SECONDS, now + _LEASE_SECONDS
        if self._table.find(host) is verdict:
            return Lease(until=until, look_at=look_at)
        entry = self._cache.hosted(host)
        if entry is not None and verdict.stale:
            # DNS fails, and is tried again every few seconds: not every asker need come here for that.
            until = min(now + _PAUSE_SECONDS, verdict.expires)
            return Lease(until=until, look_at=until)
        if entry is not None and entry.verdict is verdict:
            # While it is looked up again, not every asker need come here.
            look_at = max(now + _PAUSE_SECONDS, min(look_at, entry.refresh_at))
            return Lease(until=min(until, verdict.expires), look_at=look_at)
        # A name below a wildcard ends with it, and shall not take the place of a domain's reply.
        if verdict.kind is not VerdictKind.HOSTED and self._cache.unknown(host, now) == verdict:
            if verdict.kind is VerdictKind.UNDETERMINED:  # a wildcard may be found, which retracts nothing
                until = now + _PAUSE_SECONDS
            return Lease(until=min(until, verdict.expires), look_at=look_at)
        return Lease(until=now, look_at=now)

    async def lookup(self, text: str, source: Address | None) -> Verdict:
        """Like `decide`, but wait until the flight lands. Cancelling the wait harms no other asker."""
        decided = self.decide(text, source, trio.current_time())
        if isinstance(decided, Verdict):
            await trio.lowlevel.checkpoint()
            return decided
        landed = trio.Event()
        verdicts: list[Verdict] = []

        def asker(verdict: Verdict) -> None:
            verdicts.append(verdict)
            landed.set()

        decided.join(asker)
        try:
            await landed.wait()
        finally:
            decided.leave(asker)
        return verdicts[0]

    def _decide_and_log(
        self, query_log: QueryLog, text: str, source: Address | None, now: float
    ) -> Verdict | Flight:
        self._query_log = None  # for as long as `decide` takes
        try:
            decided = self.decide(text, source, now)
        finally:
            self._query_log = query_log
        query_log(text, source, decided)
        return decided

    def _establish(self, source: Address, recalled: Verdict | Flight, now: float) -> None:
        """Who asks for a known domain of ours goes before strangers when the upstream is short."""
        if isinstance(recalled, Verdict) and recalled.kind is VerdictKind.HOSTED:
            self._sources.told_hosted(source, now)

    def _beyond_charge(self, text: str, now: float) -> Verdict | Flight:
        """Answer a source that has spent its queries: what is known all the same, and all else LIMITED.

        Anybody can spend them in its name, and what that does must not reach known domains.
        """
        host = parse_host(text) if text.isascii() else None
        if isinstance(host, DomainName):
            listed = self._table.find(host.name)
            if listed is not None:
                self.counters.listed += 1
                return listed
            entry = self._cache.hosted(host.name)
            if entry is not None and now < entry.stale_until:
                return self._recall_hosted(entry, now)
        self.counters.limited_queries += 1
        return _undecided(VerdictKind.LIMITED, text, "limits.source_queries of the source is spent", now)

    def _may_convert(self, now: float) -> bool:
        """Whether the time that it takes to make A-labels is there: nothing else bounds what it costs."""
        if self._u_labels.wait(now) > 0.0:
            return False
        self._u_labels.take(now)
        return True

    def _recall(self, host: str, now: float) -> Verdict | Flight | None:
        """What is known of a canonical host, or being found out already."""
        listed = self._table.find(host)
        if listed is not None:
            self.counters.listed += 1
            return listed
        entry = self._cache.hosted(host)
        if entry is not None and now < entry.stale_until:
            return self._recall_hosted(entry, now)
        unknown = self._cache.unknown(host, now)
        hosted_apart = unknown is not None and unknown.kind is VerdictKind.HOSTED
        if unknown is not None and (not hosted_apart or self._presumption.is_apart(host, now)):
            self.counters.hits_unknown += 1
            return self._presumption.instead_of(unknown, now)
        flight = self._flights.find(host)
        # Without an entry: it was pushed out of the cache while its host was being looked up again.
        if flight is None and (entry is not None or self._refreshes.find(host) is not None):
            flight = self._refresh(host, _undecided(VerdictKind.PENDING, host, "looking again", now), now)
        if flight is None:
            return None
        if flight.full:
            self.counters.pending_waiters += 1
            return self._presumed(
                _undecided(VerdictKind.PENDING, host, "too many wait for the same host", now), now
            )
        self.counters.joined += 1
        flight.provisional = self._pending(host, now)
        return flight

    def _recall_hosted(self, entry: HostedEntry, now: float) -> Verdict | Flight:
        fresh = now < entry.verdict.expires
        flight = None
        if now >= entry.refresh_at:
            flight = self._refresh(entry.verdict.host, entry.answer(now), now)
        if fresh:
            self.counters.hits_hosted += 1
            return entry.verdict
        if flight is not None and not flight.full and not entry.dns_fails(now):
            # Past its TTL, and DNS has not failed yet: the domain may have left, and only DNS can say.
            self.counters.joined += 1
            return flight
        if entry.dns_fails(now):
            self.counters.hits_stale += 1
        else:
            # There is no room to look again, or its zone is set aside: an answer that may be outdated, and
            # never a refusal.
            self.counters.hits_outdated += 1
        return entry.answer(now)

    def _refresh(self, host: str, provisional: Verdict, now: float) -> Flight | None:
        """The flight of a host that was HOSTED before; None when too many of these are under way, or its
        zone is set aside."""
        flight = self._refreshes.find(host)
        if flight is not None:
            # What was believed when it took off may have passed its `stale` end since.
            flight.provisional = provisional
            return flight
        if self._refreshes.full or self._refreshes.crowded(zone := self._budgets.zone_of(host)):
            return None
        if self._refreshes.slow_zones.probe_at(zone, now) is not None:
            return None
        flight = self._flying.take_off(self._refreshes, host, zone, provisional, now, admitted_at=None)
        self.counters.refreshes += 1
        return flight

    def _unknown(self, host: str, source: Address | None, now: float) -> Verdict | Flight:
        """Start a flight for a host that nothing is known of, if it is within every budget."""
        denied = None if self._denied is None else self._denied(host, now)
        if denied is not None:
            # Kept nowhere: the proof is, and a flood of such hosts pushes out no verdict.
            self.counters.denied += 1
            return Verdict(
                kind=denied.kind,
                host=host,
                expires=now + denied.ttl,
                reason=denied.reason,
                steps=denied.steps,
            )
        zone = self._budgets.zone_of(host)
        self.talkers.count_zone(zone, now)
        if source is not None:
            self.talkers.count_source(self._sources.key(source), now)
        probe_at = self._flights.slow_zones.probe_at(zone, now)
        if probe_at is not None:
            self.counters.slow_zone += 1
            return _undecided(
                VerdictKind.UNDETERMINED, host, f"{zone} is slow and set aside for now", probe_at
            )
        if self._flights.full or self._flights.crowded(zone):
            self.counters.limited_flights += 1
            return _undecided(VerdictKind.LIMITED, host, "too many unknown hosts are being looked up", now)
        admitted = self._budgets.admit(host, source, now)
        if isinstance(admitted, Budget):
            self._count_limited(admitted)
            return _undecided(VerdictKind.LIMITED, host, f"the {admitted.value} budget is spent", now)
        pending = self._pending(host, now)
        flight = self._flying.take_off(self._flights, host, zone, pending, now, admitted_at=admitted)
        self.counters.walks += 1
        return flight

    def _pending(self, host: str, now: float) -> Verdict:
        """What an asker gets that can wait no longer for the flight of an unknown host."""
        return self._presumed(_undecided(VerdictKind.PENDING, host, "looking", now), now)

    def _presumed(self, verdict: Verdict, now: float) -> Verdict:
        """What a wildcard above an unknown host says until DNS has spoken, or `verdict`."""
        return self._presumption.instead_of(verdict, now)

    def _literal(self, address: Address, now: float) -> Verdict:
        """An address is ours or it is not; DNS has no say in it."""
        ours = self._own.has_address(address)
        hosted_ttl, not_hosted_ttl = self._literal_ttls
        return Verdict(
            kind=VerdictKind.HOSTED if ours else VerdictKind.NOT_HOSTED,
            host=f"[{address}]" if address.version == 6 else str(address),
            expires=now + (hosted_ttl if ours else not_hosted_ttl),
            reason=f"{address} is {'one' if ours else 'none'} of own.addresses",
        )

    def _count_limited(self, spent: Budget) -> None:
        match spent:
            case Budget.SOURCE:
                self.counters.limited_source += 1
            case Budget.ZONE:
                self.counters.limited_zone += 1
            case Budget.UPSTREAM:
                self.counters.limited_upstream += 1
            case never:
                assert_never(never)


def _undecided(kind: VerdictKind, host: str, reason: str, expires: float) -> Verdict:
    """A verdict that is kept nowhere; most hold for this one answer."""
    return Verdict(kind=kind, host=host, expires=expires, reason=reason)
