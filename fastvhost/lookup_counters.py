"""What the look-up counts, by station."""

from dataclasses import dataclass

__all__ = ["LookupCounters"]


@dataclass(slots=True)
class LookupCounters:
    """Plain integers, since the hot path counts."""

    listed: int = 0
    hits_hosted: int = 0
    hits_stale: int = 0
    hits_outdated: int = 0
    hits_unknown: int = 0
    denied: int = 0
    literals: int = 0
    malformed: int = 0
    walks: int = 0
    refreshes: int = 0
    joined: int = 0
    limited_source: int = 0
    limited_zone: int = 0
    limited_upstream: int = 0
    limited_flights: int = 0
    limited_queries: int = 0
    limited_u_labels: int = 0
    pending_waiters: int = 0
    slow_zone: int = 0
    """Unknown hosts that were not looked up: their zone is set aside."""
    flips_confirmed: int = 0
    """Hosts that had not been HOSTED, then were, and were so again when asked about over TCP."""
    flips_refuted: int = 0
    """Such hosts of which the second look said something else."""
    walk_faults: int = 0
