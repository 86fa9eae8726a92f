"""From take-off to landing: who finds out about a host, what is kept of that, and that all askers get it.

Most flights of unknown hosts need no task: the one query of a scout shows that the host does not exist. Any
other flight is a task, which walks.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import trio

from fastvhost.cache import VerdictCache
from fastvhost.coalesce import Flight, Flights
from fastvhost.lookup_counters import LookupCounters
from fastvhost.model import Finding, Verdict, VerdictKind
from fastvhost.presumption import Presumption

__all__ = ["Confirm", "Flying", "Scout", "Walk"]

_log = logging.getLogger(__name__)

_FAULT_LOG_SECONDS = 60.0


class Walk(Protocol):
    """Asks DNS about one canonical host; bounded in time and queries, and never raises for what DNS does."""

    def __call__(self, host: str, *, admitted_at: float | None) -> Awaitable[Finding]:
        """`admitted_at`: the instant from which it may spend what the budgets were charged; None: the host
        was HOSTED before, so it is the budget of known domains that pays."""
        ...


class Confirm(Protocol):
    """Asks DNS about a host once more, in a way that is harder to forge; bounded as `Walk` is."""

    def __call__(self, host: str, *, known: bool) -> Awaitable[Finding]:
        """`known`: the budget of known domains pays."""
        ...


class Scout(Protocol):
    """Asks the first question of a walk at once, and without a task."""

    def ask(self, host: str, landed: Callable[[Any], None]) -> bool:
        """Ask, and call `landed` once: with the finding, or with what `go_on` needs to go on from there.

        The caller has taken the token that pays for it. False: nothing was asked.
        """
        ...

    def go_on(self, host: str, handed_on: Any) -> Awaitable[Finding]:
        """The rest of the walk, in the caller's task; bounded as `Walk` is."""
        ...


class Flying:
    """Sends flights off and lands them; their tasks run in `nursery`."""

    def __init__(
        self,
        *,
        cache: VerdictCache,
        presumption: Presumption,
        walk: Walk,
        scout: Scout | None,
        confirm: Confirm | None,
        nursery: trio.Nursery,
        found_hosted: Callable[[str, Finding], None] | None,
        counters: LookupCounters,
    ) -> None:
        """See `fastvhost.lookup.Lookup`, whose neighbours these are."""
        self._cache = cache
        self._presumption = presumption
        self._walk = walk
        self._scout = scout
        self._confirm = confirm
        self._nursery = nursery
        self._found_hosted = found_hosted
        self._counters = counters
        self._log_faults_from = float("-inf")
        self._configured_at = float("-inf")

    def configure(self, now: float) -> None:
        """What flights under way find is not believed for long: they ask by another configuration."""
        self._configured_at = now

    def take_off(
        self,
        flights: Flights,
        host: str,
        zone: str,
        provisional: Verdict,
        now: float,
        *,
        admitted_at: float | None,
    ) -> Flight:
        """Start a flight for `host` among `flights`; `admitted_at` as in `Walk`."""
        flight = flights.start(host, zone, provisional=provisional, now=now)
        may_start = admitted_at is not None and admitted_at <= now
        try:
            if not (may_start and self._scouts(flight, flights)):
                walk = partial(self._walk, host, admitted_at=admitted_at)
                self._nursery.start_soon(self._fly, flight, flights, walk, admitted_at is None)
        except RuntimeError:  # the nursery has closed: whoever joined would wait for ever
            flights.end(flight)
            raise
        flights.slow_zones.started(zone, now)
        return flight

    def _scouts(self, flight: Flight, flights: Flights) -> bool:
        if self._scout is None:
            return False
        return self._scout.ask(flight.host, partial(self._scouted, self._scout, flight, flights))

    def _scouted(self, scout: Scout, flight: Flight, flights: Flights, found: Any) -> None:
        """The scout is back, with a finding or with what a walk goes on with."""
        if not isinstance(found, Finding):
            try:
                walk = partial(scout.go_on, flight.host, found)
                self._nursery.start_soon(self._fly, flight, flights, walk, False)
            except RuntimeError:
                self._land(flight, flights, _stopped(flight.host))
            return
        try:
            now = trio.current_time()
            _note_pace(flights, flight, found, now)
            verdict = self._keep(flight, found, now)
        except Exception:  # noqa: BLE001 - as in `_fly`
            verdict = self._fault(flight.host)
        self._land(flight, flights, verdict)

    async def _fly(
        self, flight: Flight, flights: Flights, walk: Callable[[], Awaitable[Finding]], known: bool
    ) -> None:
        """Walk, keep what was found, answer all who asked; also when the service stops meanwhile."""
        verdict = _stopped(flight.host)
        try:
            finding = await walk()
            _note_pace(flights, flight, finding, trio.current_time())
            if finding.kind is VerdictKind.HOSTED and self._confirm and self._cache.doubts(flight.host):
                finding = self._second_say(await self._confirm(flight.host, known=known))
            verdict = self._keep(flight, finding, trio.current_time())
        except Exception:  # noqa: BLE001 - a fault of ours in one walk must not take the daemon down
            verdict = self._fault(flight.host)
        finally:
            self._land(flight, flights, verdict)

    def _land(self, flight: Flight, flights: Flights, verdict: Verdict) -> None:
        flights.end(flight)
        flight.land(verdict)

    def _second_say(self, finding: Finding) -> Finding:
        """What the second look found, after a first one that was HOSTED."""
        match finding.kind:
            case VerdictKind.HOSTED:
                self._counters.flips_confirmed += 1
                return finding
            case VerdictKind.NOT_HOSTED:
                self._counters.flips_refuted += 1
                return finding
            case _:
                self._counters.flips_refuted += 1
                return replace(finding, reason=f"ours at first sight, not at the second: {finding.reason}")

    def _keep(self, flight: Flight, finding: Finding, now: float) -> Verdict:
        """Take in what was found; return what the askers get."""
        host = flight.host
        apart = self._presumption.is_apart(host, now)
        verdict = self._cache.settle(host, finding, now, apart=apart)
        if flight.took_off <= self._configured_at:
            self._cache.doubt(host, now)
        elif finding.kind is VerdictKind.HOSTED and not apart:
            self._presumption.note_hosted(host, now)
            if self._found_hosted is not None:
                self._found_hosted(host, finding)
        return self._presumption.instead_of(verdict, now)

    def _fault(self, host: str) -> Verdict:
        """The verdict after a fault of ours; with the traceback in the log, once a minute: a host that
        provokes one can be asked for at any rate."""
        self._counters.walk_faults += 1
        now = trio.current_time()
        if now >= self._log_faults_from:
            self._log_faults_from = now + _FAULT_LOG_SECONDS
            _log.exception("walk of %s: a fault of fastvhost, please report it", host)
        fault = Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason="internal fault; see the log")
        return self._cache.settle(host, fault, now)


def _stopped(host: str) -> Verdict:
    now = trio.current_time()
    return Verdict(kind=VerdictKind.UNDETERMINED, host=host, expires=now, reason="the service stopped")


def _note_pace(flights: Flights, flight: Flight, finding: Finding, now: float) -> None:
    match finding.kind:
        case VerdictKind.HOSTED | VerdictKind.NOT_HOSTED:
            flights.slow_zones.answered(flight.zone, now)
        case VerdictKind.UNDETERMINED:
            flights.slow_zones.failed(flight.zone, flight.took_off, now)
        case _:
            pass  # our own budget says nothing of the zone
