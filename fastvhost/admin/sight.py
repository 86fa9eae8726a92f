"""What the admin face is let see of a service: values and callables, none of which changes anything."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fastvhost.belief import Belief
from fastvhost.domains.recent import Change
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.faces.latency import Latencies
from fastvhost.host import Address
from fastvhost.model import Finding
from fastvhost.talkers import Talkers

__all__ = ["Sight", "Stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What may be read of the store. Each may raise StoreError."""

    record: Callable[[str], Awaitable[DomainRecord | None]]
    """What is known of a canonical host; None: it was never learned."""
    page: Callable[[DomainState | None, str, int], Awaitable[list[DomainRecord]]]
    """State or None for all, the last name of the page before, how many at most → records by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Instants are those of `trio.current_time()`, unless they are said to be wall-clock ones."""

    figures: Callable[[float], Mapping[str, float]]
    """Every counter and gauge at an instant, by `part.name`."""
    latencies: Callable[[], Mapping[str, Latencies]]
    """Of each face that gives verdicts, by its name."""
    belief: Callable[[str, Address | None, float], Belief]
    """What is believed of a host, were a source to ask for it at an instant."""
    walk: Callable[[str], Awaitable[Finding]]
    """Asks DNS about a canonical host, at the cost of housekeeping; bounded in time."""
    talkers: Talkers
    stored: Stored | None
    """None: nothing is stored."""
    recent: Callable[[], Sequence[Change]]
    """The last known domains that changed, the latest first."""
    not_ready: Callable[[], str | None]
    """Why no more requests are taken; None: they are."""
    wall_clock: Callable[[], float]
    """Seconds since the epoch."""
    build: Mapping[str, str]
    """Versions, by what they are of."""
