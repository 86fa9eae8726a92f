"""A learned domain: what we know of it beyond the row that the proxy sees.

Values only. Instants here are wall-clock seconds since the epoch (UTC), since they outlive the process.
"""

from dataclasses import dataclass
from enum import Enum

from fastvhost.config import AttributeType

__all__ = ["Attribute", "AttributeType", "DecidedBy", "DomainRecord", "DomainState"]


class DomainState(Enum):
    """Where a domain stands; only ACTIVE ones have a row in the proxy's table."""

    ACTIVE = "active"
    """Served."""
    PENDING = "pending"
    """Found in DNS, waits for the operator's word (`domains.learn = "approve"`)."""
    DISABLED = "disabled"
    """Left DNS: its row is out of the proxy's table, what we know of it is kept for the grace time."""
    REJECTED = "rejected"
    """The operator said no: not learned again until he approves it."""
    REMOVED = "removed"
    """Gone; a tombstone, so that other daemons on the same store hear of it."""


class DecidedBy(Enum):
    """Who put a domain where it stands."""

    DNS = "dns"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Attribute:
    """One attribute as a row of `domain_attrs`: name at most 32 octets, value at most 255."""

    name: str
    type: AttributeType
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRecord:
    """Everything that is known of one learned domain."""

    domain: str
    """Canonical host; at most 64 octets, or the proxy's table cannot hold it."""
    state: DomainState
    decided_by: DecidedBy = DecidedBy.DNS
    did: str | None = None
    """The virtual domain that it belongs to; None: one of its own."""
    first_seen: float
    last_seen: float
    """When it was last asked for, as far as was noted."""
    last_verified: float
    """When DNS last proved it HOSTED."""
    next_check: float
    """When it is due to be verified again."""
    failures: int = 0
    """Checks in a row that DNS failed; these count for nothing."""
    negatives: int = 0
    """Checks in a row that proved it NOT_HOSTED."""
    negative_since: float | None = None
    """When the first of these was."""
    disabled_at: float | None = None
    evidence: str = ""
    """Why it stands where it stands, in one line of at most 255 octets."""
    attributes: tuple[Attribute, ...] = ()
