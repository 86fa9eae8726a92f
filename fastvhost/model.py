"""A verdict: what we say of a host, until when, and why.

Values only: no clock, no socket, no cache. Instants are seconds on a monotonic clock that the caller
chooses (the service uses `trio.current_time()`).
"""

import enum
from dataclasses import dataclass

__all__ = ["ABSENT", "Finding", "Lease", "Step", "Verdict", "VerdictKind"]

ABSENT = "the name does not exist"
"""Why nearly all unknown hosts are not ours: the caches keep no copy of it."""


class VerdictKind(enum.IntEnum):
    """The six answers to *is this host one of ours?*; the value is the one sent over PDB."""

    HOSTED = 1
    """DNS, or the operator, says that it is ours."""
    NOT_HOSTED = 2
    """DNS, or the operator, proves that it is not ours. Never the outcome of a failure."""
    UNDETERMINED = 3
    """DNS failed, or the walk passed one of its bounds."""
    PENDING = 4
    """Still looking when the reply was due."""
    LIMITED = 5
    """The source's, the zone's or the whole DNS budget is spent."""
    MALFORMED = 6
    """Not a host by RFC 3261's grammar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question of a walk: what was asked, what came back, and what that proved."""

    depth: int
    """0 for questions about the host itself, one more for each record followed."""
    question: str
    """Type and owner, as in `SRV _sip._udp.example.com`."""
    rcode: str
    """`NOERROR`, `NODATA`, `NXDOMAIN`, another RCODE, or why there was none (`time-out`, `bound`)."""
    records: tuple[str, ...] = ()
    """The records of the answer in presentation format, without owner, TTL and class."""
    ttl: int | None = None
    """Seconds that the answer may be believed (RFC 2308 for a negative one); None for a failure."""
    server: str = ""
    """ADDRESS:PORT of the upstream that answered, or was asked last."""
    seconds: float = 0.0
    """From the question to its answer, budgets and retries included."""
    proved: str = ""
    """What follows from it, in a few words."""
    kind: VerdictKind | None = None
    """What it proves of the host by itself: that it leads to us (HOSTED), that it does not (NOT_HOSTED), or
    nothing (UNDETERMINED, LIMITED); None where other steps say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a walk, or a part of one, found: a verdict that has no host and no clock yet."""

    kind: VerdictKind
    """HOSTED, NOT_HOSTED, UNDETERMINED or LIMITED."""
    ttl: float
    """Seconds that the evidence lives, unclamped; `math.inf` where nothing bounds it. Without meaning
    for UNDETERMINED and LIMITED."""
    reason: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An answer about one host, shared as it is by everybody who asked."""

    kind: VerdictKind
    host: str
    """Canonical host: lower-case A-labels without trailing dot, or a literal as in a SIP URI."""
    expires: float
    """The instant at which it stops being true; `math.inf` for the operator's word."""
    reason: str
    """Why, in one line."""
    steps: tuple[Step, ...] = ()
    """The walk that led to it, in the order of a tree walked depth first; empty without one, and for a
    verdict other than HOSTED that comes from the cache."""
    failures: int = 0
    """Walks in a row that failed, this one included (RFC 9520 backs off with each)."""
    denied: bool = False
    """Of a failure: whether the host was NOT_HOSTED when DNS last said anything of it."""
    stale: bool = False
    """Whether it is past the time that its evidence gave it (RFC 8767)."""

    def ttl(self, now: float) -> float:
        """Seconds that are left of it at `now`, never negative."""
        return max(0.0, self.expires - now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long a verdict may be repeated without asking for it again."""

    until: float
    """Not from this instant on."""
    look_at: float
    """From this instant on somebody who repeats it is to ask again, while it is repeated to others."""
