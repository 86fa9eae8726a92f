"""The cache of verdicts: hosted and unknown ones apart, so that the latter can never push out the former.

Nothing here sweeps: an entry that is past its time stays until it is replaced or pushed out. So every
call costs the same, whatever the number of entries.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from cachetools import Cache, LRUCache

from fastvhost import config
from fastvhost.model import ABSENT, Finding, Verdict, VerdictKind
from fastvhost.retractions import Retractions
from fastvhost.scan_resistant import ScanResistant

__all__ = ["HostedEntry", "KeptHosted", "KeptUnknown", "Piece", "VerdictCache"]

_FAILURE_TTL = (1.0, 60.0)
"""Seconds that a first failure is remembered, doubled by each after it, and the most of them. RFC 9520
section 3.2 asks for at least 1 and at most 300."""

_STALE_TTL = 30.0
"""Most seconds that a stale answer may be believed (RFC 8767 section 4)."""

_PIECE = 128
"""Hosted entries that are handed out at a time."""

_REFRESH_AT = 0.9
"""The share of its TTL from which a HOSTED verdict that is asked for is looked up again; Unbound
prefetches at the same point."""


class HostedEntry:
    """A host that DNS last said to be ours, and what has happened since.

    It outlives its verdict: while DNS fails it is served stale, and however old it is, its host is
    looked up on the budget of known domains.
    """

    __slots__ = ("failures", "refresh_at", "stale_until", "verdict")

    def __init__(self, verdict: Verdict, *, refresh_at: float, stale_until: float) -> None:
        self.verdict = verdict
        self.refresh_at = refresh_at
        """The instant from which the next asker causes a walk."""
        self.stale_until = stale_until
        """The instant from which it answers nobody."""
        self.failures = 0
        """Walks in a row that failed since the verdict."""

    def dns_fails(self, now: float) -> bool:
        """Whether the last walk failed, and not so long ago that DNS may well be back."""
        return self.failures > 0 and now < self.refresh_at + _FAILURE_TTL[1]

    def answer(self, now: float) -> Verdict:
        """The verdict, marked as stale where it has expired; not to be asked from `stale_until` on."""
        if now < self.verdict.expires:
            return self.verdict
        return replace(
            self.verdict,
            expires=min(now + _STALE_TTL, self.stale_until),
            reason=f"stale: {self.verdict.reason}",
            failures=self.failures,
            stale=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHosted:
    """Some of the hosts that were HOSTED when DNS last said."""

    entries: tuple[HostedEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptUnknown:
    """Some of the other hosts."""

    again: bool
    """Whether they were asked for again, and so outlive others."""
    absent: dict[str, float]
    """By host the end of a verdict whose reason is `ABSENT`."""
    told: tuple[Verdict, ...]
    """All other verdicts, without steps."""


Piece: TypeAlias = KeptHosted | KeptUnknown
"""A part of what a cache keeps."""


class VerdictCache:
    """Verdicts by canonical host, and the rules for how long each class of them lives."""

    __slots__ = ("_hosted", "_limits", "_retractions", "_unknown")

    def __init__(self, limits: config.Cache, retractions: Retractions | None = None) -> None:
        self._limits = limits
        self._retractions = retractions or Retractions()
        self._hosted: LRUCache[str, HostedEntry] = LRUCache(limits.hosted_entries)
        # Of a host that does not exist its end is all that there is to keep: a million of them are kept so.
        self._unknown: ScanResistant[Verdict | float] = ScanResistant(limits.unknown_entries)

    def hosted(self, host: str) -> HostedEntry | None:
        """What is known of a host that was HOSTED when DNS last said, however long ago."""
        return self._hosted.get(host)

    def unknown(self, host: str, now: float) -> Verdict | None:
        """The verdict that holds for `host` at `now`: NOT_HOSTED, UNDETERMINED, or HOSTED apart."""
        verdict = _unpacked(host, self._unknown.ask(host))
        return verdict if verdict is not None and now < verdict.expires else None

    def was_denied(self, host: str) -> bool:
        """Whether the last that DNS said of `host`, as far as is remembered, is that it is NOT_HOSTED.

        However old that is, and however often DNS has failed since.
        """
        verdict = _unpacked(host, self._unknown.peek(host))
        return verdict is not None and (verdict.kind is VerdictKind.NOT_HOSTED or verdict.denied)

    def doubts(self, host: str) -> bool:
        """Whether what is remembered of `host`, however old, is that it is not HOSTED, or that DNS failed."""
        verdict = _unpacked(host, self._unknown.peek(host))
        return verdict is not None and verdict.kind is not VerdictKind.HOSTED

    def peek(self, host: str, now: float) -> tuple[HostedEntry | None, Verdict | None]:
        """What `hosted` and `unknown` would return; nobody asked."""
        entry = Cache.__getitem__(self._hosted, host) if host in self._hosted else None  # moves nothing
        verdict = _unpacked(host, self._unknown.peek(host))
        return entry, verdict if verdict is not None and now < verdict.expires else None

    def forget(self, host: str) -> None:
        """Know nothing of `host` any more."""
        self._hosted.pop(host, None)
        self._unknown.remove(host)
        self._retractions.retract(host)

    def configure(self, limits: config.Cache) -> None:
        """Keep by these bounds what is found from now on; how many entries there may be stays as it was."""
        self._limits = limits

    def doubt(self, host: str, now: float) -> None:
        """What was found about `host` may be wrong: look it up again before it is said of an unknown one, and
        when the next asks for a hosted one."""
        entry = self._hosted.get(host)
        if entry is not None:
            entry.refresh_at = min(entry.refresh_at, now)
        self._unknown.remove(host)
        self._retractions.retract(host)

    def doubt_everything(self, now: float) -> None:
        """The same for all hosts."""
        for host in self._hosted:
            entry = Cache.__getitem__(self._hosted, host)  # moves nothing
            entry.refresh_at = min(entry.refresh_at, now)
        self._unknown.clear()
        self._retractions.retract_everything()

    def sizes(self) -> tuple[int, int]:
        """Entries in the hosted and in the unknown part, those past their time included."""
        return len(self._hosted), len(self._unknown)

    def pieces(self) -> Iterator[Piece]:
        """Everything that is kept, some hundred entries at a time; between two pieces the cache may change.

        The hosted come last, so that of a host that became one meanwhile this is what counts.
        """
        for again, values in self._unknown.pieces():
            absent = {host: kept for host, kept in values.items() if isinstance(kept, float)}
            told = tuple(kept for kept in values.values() if not isinstance(kept, float))
            yield KeptUnknown(again=again, absent=absent, told=told)
        hosts = list(self._hosted)
        for first in range(0, len(hosts), _PIECE):
            there = [host for host in hosts[first : first + _PIECE] if host in self._hosted]
            yield KeptHosted(entries=tuple(Cache.__getitem__(self._hosted, host) for host in there))

    def take_back(self, piece: Piece, now: float) -> None:
        """Believe again what `pieces` had, by the bounds of now: nothing lives longer than if it were new.

        Hosts that are kept here already stay as they are, as far as `piece` has them unknown. Its entries are
        this cache's from then on.
        """
        match piece:
            case KeptHosted():
                for entry in piece.entries:
                    self._take_back_hosted(entry, now)
            case KeptUnknown():
                most = now + self._limits.not_hosted_ttl[1]
                values: dict[str, Verdict | float] = {
                    host: min(expires, most) for host, expires in piece.absent.items()
                }
                for verdict in piece.told:
                    values[verdict.host] = _ended(verdict, now + self._longest(verdict.kind))
                self._unknown.take_back(values, again=piece.again)
            case never:
                assert_never(never)

    def _take_back_hosted(self, entry: HostedEntry, now: float) -> None:
        verdict = entry.verdict = _ended(entry.verdict, now + self._limits.hosted_ttl[1])
        entry.refresh_at = min(entry.refresh_at, max(verdict.expires, now + _FAILURE_TTL[1]))
        entry.stale_until = min(entry.stale_until, verdict.expires + self._limits.stale)
        self._hosted[verdict.host] = entry
        self._unknown.remove(verdict.host)

    def _longest(self, kind: VerdictKind) -> float:
        match kind:
            case VerdictKind.HOSTED:
                return self._limits.hosted_ttl[1]
            case VerdictKind.NOT_HOSTED:
                return self._limits.not_hosted_ttl[1]
            case _:
                return _FAILURE_TTL[1]

    def settle(self, host: str, finding: Finding, now: float, *, apart: bool = False) -> Verdict:
        """Keep what a walk found and return the verdict that its askers get.

        `apart`: unless it was a hosted one before, `host` is kept among the unknown also when it is HOSTED,
        so that it pushes out none of the hosted.
        """
        before = self._hosted.get(host)
        verdict = self._settle(host, finding, now, apart=apart)
        after = before and self._hosted.get(host)
        # Where a hosted host was confirmed, or DNS said nothing, the same would be said now: what is repeated
        # goes on to the end that it had. Else whoever asks next would stand behind a flood, at each refresh.
        stands = before and after and now < before.verdict.expires <= after.verdict.expires
        if not stands:
            self._retractions.retract(host)
        return verdict

    def _settle(self, host: str, finding: Finding, now: float, *, apart: bool) -> Verdict:
        match finding.kind:
            case VerdictKind.HOSTED if apart and host not in self._hosted:
                return self._keep_unknown(host, finding, _clamped(finding.ttl, self._limits.hosted_ttl), now)
            case VerdictKind.HOSTED:
                return self._keep_hosted(host, finding, now)
            case VerdictKind.NOT_HOSTED:
                self._hosted.pop(host, None)
                return self._keep_unknown(
                    host, finding, _clamped(finding.ttl, self._limits.not_hosted_ttl), now
                )
            case _:
                return self._undecided(host, finding, now)

    def _keep_hosted(self, host: str, finding: Finding, now: float) -> Verdict:
        ttl = _clamped(finding.ttl, self._limits.hosted_ttl)
        verdict = _verdict(host, finding, expires=now + ttl)
        self._hosted[host] = HostedEntry(
            verdict,
            refresh_at=now + ttl * _REFRESH_AT,
            stale_until=verdict.expires + self._limits.stale,
        )
        self._unknown.remove(host)
        return verdict

    def _keep_unknown(
        self,
        host: str,
        finding: Finding,
        ttl: float,
        now: float,
        *,
        failures: int = 0,
        denied: bool = False,
    ) -> Verdict:
        verdict = _verdict(host, finding, expires=now + ttl, failures=failures, denied=denied)
        # Kept without its steps: anybody can fill this cache, and they are most of what an entry weighs.
        if finding.kind is VerdictKind.NOT_HOSTED and finding.reason == ABSENT:
            self._unknown.put(host, verdict.expires)
        else:
            self._unknown.put(host, replace(verdict, steps=()))
        return verdict

    def _undecided(self, host: str, finding: Finding, now: float) -> Verdict:
        """Fall back on what DNS said last; where it said nothing, remember a failure and back off."""
        limited = finding.kind is VerdictKind.LIMITED
        entry = self._hosted.get(host)
        if entry is not None and now < entry.stale_until:
            # A spent budget is no failure of DNS: it does not count, but the next try waits all the same.
            entry.failures += not limited
            entry.refresh_at = now + _backoff(entry.failures)
            return entry.answer(now)
        if limited:
            return _verdict(host, finding, expires=now)
        before = _unpacked(host, self._unknown.peek(host))
        in_a_row = before is not None and now - before.expires < _FAILURE_TTL[1]
        failures = 1 + (before.failures if before is not None and in_a_row else 0)
        return self._keep_unknown(
            host, finding, _backoff(failures), now, failures=failures, denied=self.was_denied(host)
        )


def _verdict(
    host: str, finding: Finding, *, expires: float, failures: int = 0, denied: bool = False
) -> Verdict:
    return Verdict(
        kind=finding.kind,
        host=host,
        expires=expires,
        reason=finding.reason,
        steps=finding.steps,
        failures=failures,
        denied=denied,
    )


def _ended(verdict: Verdict, most: float) -> Verdict:
    """The verdict, ending at `most` at the latest."""
    return verdict if verdict.expires <= most else replace(verdict, expires=most)


def _absent(host: str, expires: float) -> Verdict:
    return Verdict(kind=VerdictKind.NOT_HOSTED, host=host, expires=expires, reason=ABSENT)


def _unpacked(host: str, kept: Verdict | float | None) -> Verdict | None:
    return _absent(host, kept) if isinstance(kept, float) else kept


def _clamped(ttl: float, bounds: tuple[float, float]) -> float:
    floor, ceiling = bounds
    return min(max(ttl, floor), ceiling)


def _backoff(failures: int) -> float:
    """1 s after the first failure, doubling to 60 s."""
    first, most = _FAILURE_TTL
    return min(first * 2.0 ** min(failures - 1, 16), most) if failures else first
