"""Wildcards that point at us: one entry for all names that `*.parent` makes (RFC 4592).

Whoever has such a wildcard has endless HOSTED names. So once a few were found under one parent, a sibling
that nobody can know is probed; where that is HOSTED too, the names below are answered from this one entry
for as long as DNS has not said what they are themselves, and none is kept as if it were a domain.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from secrets import token_hex
from typing import TypeAlias

from cachetools import LRUCache

from fastvhost.cache import HostedEntry, VerdictCache
from fastvhost.config import Cache, Config
from fastvhost.limits import Bucket, Gcra
from fastvhost.model import Finding, Verdict, VerdictKind

__all__ = ["Probe", "Settle", "WildcardCounters", "Wildcards"]

_NAMES = 3
"""HOSTED names under one parent that raise the question; each of them is learned as any other."""

_PARENTS = 4_096
"""Parents whose names are counted, wildcards, and parents known to have none: so many of each."""

_LEVELS = 8
"""Parents of one host that are considered, from its registrable domain downwards."""

_LABEL_OCTETS = 8
"""Random octets in the label that is probed, in hexadecimal twice as many."""

_LONGEST_PARENT = 253 - 1 - 2 * _LABEL_OCTETS
"""Octets of a parent below which that label has room (RFC 1035 section 2.3.4)."""

_AGAIN_SECONDS = 300.0
"""Until a parent that has no wildcard is probed again, at the soonest."""

_FAILED_SECONDS = 30.0
"""The same for one of which DNS could not say."""

_AT_ONCE = 8
"""Most probes under way."""

_PROBES_PER_QUERY = 0.001
"""Probes a second for each query a second of `limits.upstream_qps`. A probe costs two to nine queries, and
housekeeping, which pays, has a tenth of them: it keeps nine tenths of that."""

_PROBES_BURST = 8.0

_PRESUMED_SECONDS = 5.0
"""Most seconds that a client may believe what was concluded from a wildcard: by then DNS has mostly
said what the name itself is."""

Settle: TypeAlias = Callable[[Finding, float], None]
"""To be called once with what a probe found and the instant of it."""

Probe: TypeAlias = Callable[[str, Settle], None]
"""Starts a walk for a name, on housekeeping's budget; must neither block nor raise."""


@dataclass(slots=True)
class WildcardCounters:
    """Plain integers."""

    probes: int = 0
    put_off: int = 0
    """Probes that were due when there was no room for them."""
    found: int = 0
    ended: int = 0
    presumed: int = 0
    """How often a wildcard spoke for a name of which DNS had not said what it is."""


@dataclass(slots=True)
class _Noted:
    """What is known of a parent that has no wildcard so far."""

    hosts: set[str] = field(default_factory=set)
    probe_from: float = float("-inf")


class Wildcards:
    """The wildcards under any registrable domain, and the parents that may turn out to have one.

    `registrable_domain` is of a canonical host; no wildcard at a public suffix is ever looked for.
    """

    def __init__(self, config: Config, *, registrable_domain: Callable[[str], str], probe: Probe) -> None:
        # Its rules are those of any host: TTLs, early refresh, stale while DNS fails, backing off.
        self._verdicts = VerdictCache(_verdict_limits(config))
        self._entries = 0
        """Of these the hosted ones: each unknown host asks whether there is any."""
        self._noted: LRUCache[str, _Noted] = LRUCache(_PARENTS)
        self._under_way: dict[str, float] = {}
        """Parents by when their probe started."""
        self._doubted_at = float("-inf")
        self._bucket = Bucket(_probe_rate(config))
        self._registrable_domain = registrable_domain
        self._probe = probe
        self.counters = WildcardCounters()

    def configure(self, config: Config) -> None:
        """Keep by these bounds and probe at this rate from now on."""
        self._verdicts.configure(_verdict_limits(config))
        rate = _probe_rate(config)
        if rate != self._bucket.gcra:
            self._bucket = Bucket(rate)

    def doubt_everything(self, now: float) -> None:
        """What was found may be wrong: probe wildcards again when the next name below them is asked for, and
        believe no probe that is under way."""
        self._doubted_at = now
        self._verdicts.doubt_everything(now)
        self._noted.clear()

    def __len__(self) -> int:
        """Wildcards that were there when DNS last said, however long ago."""
        return self._entries

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        return {**asdict(self.counters), "entries": len(self), "under_way": len(self._under_way)}

    def note(self, host: str, now: float) -> None:
        """A walk found `host` HOSTED, and no wildcard is known above it; this may start a probe."""
        suspects: list[str] = []
        for parent in reversed(self._parents(host)):
            noted = self._noted.setdefault(parent, _Noted())
            if len(noted.hosts) < _NAMES:
                noted.hosts.add(host)
            if len(noted.hosts) == _NAMES and now >= noted.probe_from:
                suspects.append(parent)
        if suspects:  # the uppermost: its wildcard would cover what is below
            self._start(suspects[0], now)

    def above(self, host: str, now: float) -> bool:
        """Whether `host` is to be kept apart from domains: a wildcard is above it, or is being probed for."""
        if not self._under_way and not self._entries:
            return False
        parents = self._parents(host)
        return self._closest(parents, now) is not None or not self._under_way.keys().isdisjoint(parents)

    def presumed(self, host: str, now: float) -> Verdict | None:
        """HOSTED while there is a wildcard above `host`, whose own records may say otherwise."""
        entry = self._closest(self._parents(host), now) if self._entries else None
        if entry is None:
            return None
        if now >= entry.stale_until or (now >= entry.verdict.expires and not entry.dns_fails(now)):
            return None
        self.counters.presumed += 1
        verdict = entry.answer(now)
        return replace(
            verdict,
            host=host,
            expires=min(verdict.expires, now + _PRESUMED_SECONDS),
            reason=f"below the wildcard {verdict.host}: {verdict.reason}",
        )

    def peek(self, host: str, now: float) -> Verdict | None:
        """The verdict on the wildcard above `host`, in so far as it is believed; nobody asked."""
        for parent in self._parents(host):
            entry, none = self._verdicts.peek(f"*.{parent}", now)
            if entry is not None:
                believed = now < entry.verdict.expires or (now < entry.stale_until and entry.dns_fails(now))
                return entry.answer(now) if believed else None
            if none is not None and none.kind is VerdictKind.NOT_HOSTED:
                return None
        return None

    def _closest(self, parents: list[str], now: float) -> HostedEntry | None:
        """The wildcard of the closest parent that has one; it is probed again from nine tenths of its TTL on.

        A parent that is proved to have none hides those above it: the name below it that does not exist
        was not made by them (RFC 4592 section 3.3.1).
        """
        for parent in parents:
            entry = self._verdicts.hosted(f"*.{parent}")
            if entry is not None:
                if now >= entry.refresh_at:
                    self._start(parent, now)
                return entry
            none = self._verdicts.unknown(f"*.{parent}", now)
            if none is not None and none.kind is VerdictKind.NOT_HOSTED:
                return None
        return None

    def _parents(self, host: str) -> list[str]:
        """The names above `host`, the closest first and its registrable domain last."""
        parent = self._registrable_domain(host)
        if parent == host:
            return []
        parents = [parent]
        for label in reversed(host.removesuffix(f".{parent}").split(".")[1:][1 - _LEVELS :]):
            parent = f"{label}.{parent}"
            parents.append(parent)
        return [parent for parent in reversed(parents) if len(parent) <= _LONGEST_PARENT]

    def _start(self, parent: str, now: float) -> None:
        if parent in self._under_way:
            return
        if len(self._under_way) >= _AT_ONCE or self._bucket.wait(now) > 0.0:
            self.counters.put_off += 1
            return
        self._bucket.take(now)
        self._under_way[parent] = now
        self.counters.probes += 1
        self._probe(f"{token_hex(_LABEL_OCTETS)}.{parent}", partial(self._settle, parent))

    def _settle(self, parent: str, finding: Finding, now: float) -> None:
        if self._under_way.pop(parent) <= self._doubted_at:
            return
        wildcard = f"*.{parent}"
        was_there = self._verdicts.hosted(wildcard) is not None
        # Without its steps: whoever owns the zone chooses how long they are.
        self._verdicts.settle(wildcard, replace(finding, steps=()), now)
        self._entries, _ = self._verdicts.sizes()
        match finding.kind:
            case VerdictKind.HOSTED:
                self.counters.found += not was_there
                self._noted.pop(parent, None)
            case VerdictKind.NOT_HOSTED:
                self.counters.ended += was_there
                self._noted[parent] = _Noted(probe_from=now + _AGAIN_SECONDS)
            case _ if not was_there:
                # The names stay counted: the next one asks again.
                self._noted.setdefault(parent, _Noted()).probe_from = now + _FAILED_SECONDS
            case _:
                pass  # it is believed for `cache.stale`, and its entry knows when to look again


def _verdict_limits(config: Config) -> Cache:
    return replace(config.cache, hosted_entries=_PARENTS, unknown_entries=_PARENTS)


def _probe_rate(config: Config) -> Gcra:
    return Gcra(config.limits.upstream_qps * _PROBES_PER_QUERY, _PROBES_BURST)
