"""The last changes of known domains, for people: a few, in memory, gone with the process."""

from collections import deque
from dataclasses import dataclass

from fastvhost.domains.record import DomainState

__all__ = ["Change", "RecentChanges"]

_KEPT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A domain that was written to the store, by whichever daemon."""

    domain: str
    state: DomainState
    """The one that it has now."""
    at: float
    """When we heard of it: wall-clock seconds since the epoch."""


class RecentChanges:
    """The last 50 domains that changed, each once."""

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=_KEPT)

    def note(self, domain: str, state: DomainState, at: float) -> None:
        """`domain` is in `state` now."""
        self._changes.appendleft(Change(domain=domain, state=state, at=at))

    def latest(self) -> tuple[Change, ...]:
        """The last change of each domain, the latest first."""
        found: dict[str, Change] = {}
        for change in self._changes:
            found.setdefault(change.domain, change)
        return tuple(found.values())
