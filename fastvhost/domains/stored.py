"""What the store answers, as values."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from fastvhost.domains.record import Attribute, DomainState

__all__ = ["Changes", "Loaded", "OperatorDids", "PutResult", "Refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a daemon needs to know before its first answer."""

    active: Sequence[str]
    """Learned domains that are served, each once."""
    operator: Set[str]
    """Names of the rows that we did not write, in lower case."""
    others: Mapping[str, DomainState]
    """Those that are PENDING, DISABLED or REJECTED."""
    attributes: Mapping[str, Sequence[Attribute]]
    """Of those of `active` that have some."""
    revision: int
    """All up to this one is in here; where `changes_since` goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What was not written, since it would stop the proxy."""

    domain: str
    why: str
    """In words; names the attribute where only that is left out and the domain is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What a `put` did."""

    changed: bool
    """Whether any row of the proxy's tables differs: then it must be told."""
    added: Sequence[str]
    """Domains whose row came into the proxy's table, sorted."""
    removed: Sequence[str]
    """Domains whose row went out of it, sorted."""
    refused: Sequence[Refusal]
    revision: int
    """The store's revision after it; as before, when nothing differs that others must hear of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What any daemon wrote since a revision."""

    states: Mapping[str, DomainState]
    """By domain; REMOVED ones included."""
    attributes: Mapping[str, Sequence[Attribute]]
    """Of those that are ACTIVE and have some."""
    revision: int
    complete: bool
    """False: tombstones have been taken away since, so what is known must be loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDids:
    """Dids that rows not ours use, in lower case; `in` looks for one among all."""

    of_domains: frozenset[str] = frozenset()
    """A row of `domain` without a did has its own name."""
    of_attributes: frozenset[str] = frozenset()

    def __contains__(self, did: object) -> bool:
        return did in self.of_domains or did in self.of_attributes
