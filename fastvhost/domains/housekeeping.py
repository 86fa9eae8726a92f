"""Housekeeping: what follows for a learned domain from a check, and the brake on losing many at once.

Pure: `now` is wall-clock seconds since the epoch, as in the records. A wall clock may step, so:

- A negative counts only when it is the first of its row or came no earlier than planned. N of them so took
  N-1 waits; a clock that jumps ahead, however far, stands for one of these at most and proves nothing alone.
- An instant in the future was noted by a clock that has stepped back since. It proves nothing: a row of
  negatives that began there begins anew, and a check planned there is due.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from fastvhost.config import Housekeeping
from fastvhost.domains.record import DecidedBy, DomainRecord, DomainState
from fastvhost.model import Finding, VerdictKind

__all__ = ["Brake", "Braking", "Census", "Housekeeping", "after_check", "first_check", "longest_wait"]

_HOSTED_WAIT = (0.5, 0.9)
"""The share of its TTL after which a HOSTED domain is checked again; each name has its own share between
these, so domains that were once checked together drift apart within a few TTLs."""

_NEGATIVE_SPREAD = 0.1
"""The most that a wait after a negative is lengthened by, as a share of it."""

_NEGATIVE_TTL_CEILING = 10_800.0
"""Most seconds that a negative's TTL puts off the next check: RFC 2308 section 5 finds one to three hours
sensible, and resolvers keep negatives no longer (BIND 3 h, Unbound 1 h)."""

_FAILURE_WAIT = (60.0, 3_600.0)
"""Seconds to the next check after a first failure, doubled by each after it, and the most of them."""

_FEWEST_TURNED = 3
"""Domains that must turn negative before it can brake: fewer leave by themselves, also of a small fleet."""

_RECENT_DOMAINS = 100
"""Domains whose latest checks make up the share: at one in ten, 11 bad ones are enough to notice."""


def first_check(domain: str, ttl: float, now: float, rules: Housekeeping) -> float:
    """When a domain that was found HOSTED at `now` is due: before `ttl` seconds end, spread by its name.

    `ttl` counts as clamped to `check_floor` and `check_ceiling`; `math.inf` where it is not known.
    """
    least, most = _HOSTED_WAIT
    lifetime = min(max(ttl, rules.check_floor), rules.check_ceiling)
    return now + lifetime * (least + (most - least) * _place(domain))


def longest_wait(rules: Housekeeping) -> float:
    """Seconds ahead of `now` that no check is ever planned beyond; one that is was planned by a wrong clock.

    The store counts such a record as due, or a clock that was a year ahead for a minute stops its checks
    for a year.
    """
    longest = max(rules.check_ceiling, _FAILURE_WAIT[1], _NEGATIVE_TTL_CEILING, _negative_spacing(rules))
    return longest * (1.0 + _NEGATIVE_SPREAD)


def after_check(
    record: DomainRecord, finding: Finding, now: float, rules: Housekeeping, *, may_disable: bool
) -> DomainRecord:
    """The record after DNS was asked about it at `now`, its next check included.

    - HOSTED: ACTIVE, also when it was disabled; failures and negatives are forgotten.
    - NOT_HOSTED: one negative more. ACTIVE becomes DISABLED from `rules.negatives` of them over `rules.over`
      on if it `may_disable` (the brake's word), else it stays ACTIVE and its negatives are kept. The next
      check waits until the answer has left the resolver's cache, or it would be the same evidence again.
    - UNDETERMINED: a failure is counted and backed off from; negatives neither grow nor reset, since it
      says nothing of the domain. So a zone that answers only now and then still leaves, and only by its
      own negatives.
    - LIMITED: nobody was asked; only the next check moves.

    DISABLED becomes REMOVED at the first check past `rules.grace`, unless that is HOSTED or LIMITED: what
    disabled it was evidence enough, and zones that are given up often end in failures. PENDING, REJECTED
    and REMOVED are returned as they are.

    A check before its time (an operator's `verify`) tells of HOSTED and of a first negative, and hastens
    nothing else.
    """
    if record.state not in (DomainState.ACTIVE, DomainState.DISABLED):
        return record
    match finding.kind:
        case VerdictKind.HOSTED:
            return _hosted(record, finding, now, rules)
        case VerdictKind.LIMITED:
            return replace(record, next_check=_no_sooner(record, now + _FAILURE_WAIT[0], rules, now))
        case VerdictKind.NOT_HOSTED if record.state is DomainState.ACTIVE:
            return _negative(record, finding, now, rules, may_disable=may_disable)
        case VerdictKind.NOT_HOSTED:
            counted = replace(record, failures=0, negatives=record.negatives + 1, evidence=_evidence(finding))
            return _still_disabled(counted, now, rules)
        case _ if record.state is DomainState.ACTIVE:
            failures = record.failures + 1
            due = _no_sooner(record, now + _failure_wait(failures), rules, now)
            return replace(record, failures=failures, next_check=due)
        case _:
            return _still_disabled(replace(record, failures=record.failures + 1), now, rules)


def _hosted(record: DomainRecord, finding: Finding, now: float, rules: Housekeeping) -> DomainRecord:
    returns = record.state is DomainState.DISABLED
    return replace(
        record,
        state=DomainState.ACTIVE,
        decided_by=DecidedBy.DNS if returns else record.decided_by,
        last_verified=now,
        next_check=first_check(record.domain, finding.ttl, now, rules),
        failures=0,
        negatives=0,
        negative_since=None,
        disabled_at=None,
        evidence=_evidence(finding),
    )


def _negative(
    record: DomainRecord, finding: Finding, now: float, rules: Housekeeping, *, may_disable: bool
) -> DomainRecord:
    since = record.negative_since
    if record.negatives == 0 or since is None or since > now:
        negatives, since = 1, now
    elif _is_early(record, now, rules):
        return replace(record, failures=0)
    else:
        negatives = record.negatives + 1
    wait = max(_negative_spacing(rules), min(finding.ttl, _NEGATIVE_TTL_CEILING))
    record = replace(
        record,
        next_check=now + wait * (1.0 + _NEGATIVE_SPREAD * _place(record.domain)),
        failures=0,
        negatives=negatives,
        negative_since=since,
        evidence=_evidence(finding),
    )
    if not may_disable or negatives < rules.negatives or now - since < rules.over:
        return record
    disabled = replace(record, state=DomainState.DISABLED, decided_by=DecidedBy.DNS, disabled_at=now)
    return _still_disabled(disabled, now, rules)


def _still_disabled(record: DomainRecord, now: float, rules: Housekeeping) -> DomainRecord:
    """Check again after as long as it has been disabled: often at first, then daily; or let it go."""
    disabled_at = now if record.disabled_at is None else min(record.disabled_at, now)
    if now > disabled_at and now - disabled_at >= rules.grace:
        return replace(record, state=DomainState.REMOVED, decided_by=DecidedBy.DNS, next_check=now)
    wait = (now - disabled_at) * (1.0 + _NEGATIVE_SPREAD * _place(record.domain))
    due = now + min(max(wait, _negative_spacing(rules)), rules.check_ceiling)
    return replace(
        record, disabled_at=disabled_at, next_check=min(due, max(disabled_at + rules.grace, now + 1.0))
    )


def _is_early(record: DomainRecord, now: float, rules: Housekeeping) -> bool:
    return now < record.next_check <= now + longest_wait(rules)


def _no_sooner(record: DomainRecord, due: float, rules: Housekeeping, now: float) -> float:
    """`due`, but not before what was planned: an early check that proved nothing hastens nothing."""
    return max(due, record.next_check) if _is_early(record, now, rules) else due


def _negative_spacing(rules: Housekeeping) -> float:
    """Seconds between negatives such that the last of N falls on the end of `over`; a minute at least."""
    return max(rules.over / max(rules.negatives - 1, 1), 60.0)


def _failure_wait(failures: int) -> float:
    first, most = _FAILURE_WAIT
    return min(first * 2.0 ** min(failures - 1, 16), most)


def _place(domain: str) -> float:
    """A number from 0 to below 1, the same for a name in every process, evenly spread over names."""
    return int.from_bytes(blake2b(domain.encode(), digest_size=4).digest(), "big") / 2**32


def _evidence(finding: Finding) -> str:
    """Its reason as the store takes it: at most 255 octets of printable ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in finding.reason[:255])


class Census(NamedTuple):
    """The fleet as the store counts it."""

    active: int
    """Records that are ACTIVE."""
    negative: int
    """Those of them that have negatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Braking:
    """That no domain is disabled at present, and by what measure."""

    since: float
    """The instant at which it began to brake."""
    negative: int
    """Domains that turned negative, of `of` that were looked at."""
    of: int

    @property
    def share(self) -> float:
        """Their share, 0–1."""
        return self.negative / self.of


class Brake:
    """Whether DNS can be believed when it says of many domains at once that they have left.

    It brakes when over `rules.brake` of the domains, three at least, are negative by either measure: the
    100 domains decided last within `rules.check_ceiling` seconds, of which a repeated negative is none
    (notices in minutes); or the whole fleet by the store's census (holds on when all have turned, over a
    restart, and for all daemons on one store). It lets go when both have fallen to half of that, so that
    a share at the limit does not alarm again and again.

    A few domains are too few for shares. So a domain is disabled only if since its first negative another
    one was found HOSTED, or if none was for all of `rules.check_ceiling`: then there is no other to ask.

    Failures and domains that are not ACTIVE do not count. Memory: 100 names.
    """

    __slots__ = ("_braking", "_census", "_hosted_at", "_recent", "_rules")

    def __init__(self, rules: Housekeeping) -> None:
        self._rules = rules
        self._recent: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._census = Census(active=0, negative=0)
        self._hosted_at = -inf
        self._braking: Braking | None = None

    @property
    def braking(self) -> Braking | None:
        """Why and since when nothing is disabled; None: it does not brake."""
        return self._braking

    def note(self, record: DomainRecord, finding: Finding, now: float) -> None:
        """Count a check, with the record as it was before."""
        if record.state is not DomainState.ACTIVE:
            return
        match finding.kind:
            case VerdictKind.HOSTED:
                self._hosted_at = now
                turned = False
            case VerdictKind.NOT_HOSTED if record.negatives == 0:
                turned = True
            case _:
                return
        self._recent[record.domain] = (now, turned)
        self._recent.move_to_end(record.domain)
        if len(self._recent) > _RECENT_DOMAINS:
            self._recent.popitem(last=False)
        self._weigh(now)

    def note_census(self, census: Census, now: float) -> None:
        """Take the store's word on how much of the fleet is negative."""
        self._census = census
        self._weigh(now)

    def allows(self, record: DomainRecord, now: float) -> bool:
        """Whether a record that has just proved NOT_HOSTED may be disabled, as far as the others tell."""
        since = now if record.negative_since is None else record.negative_since
        if self._braking is not None:
            return False
        return since <= self._hosted_at <= now or now - since >= self._rules.check_ceiling

    def _weigh(self, now: float) -> None:
        since = now - self._rules.check_ceiling
        for domain in [domain for domain, (at, _) in self._recent.items() if not since <= at <= now]:
            del self._recent[domain]
        recent = (sum(turned for _, turned in self._recent.values()), len(self._recent))
        fleet = (self._census.negative, self._census.active)
        limit = self._rules.brake if self._braking is None else self._rules.brake / 2
        over = [
            (negative / of, negative, of)
            for negative, of in (recent, fleet)
            if negative >= _FEWEST_TURNED and negative > limit * of
        ]
        if not over:
            self._braking = None
            return
        _, negative, of = max(over)
        began = now if self._braking is None else self._braking.since
        self._braking = Braking(since=began, negative=negative, of=of)
