"""The NSEC records of one zone: which names they prove not to be there, which types at a name.

Pure. Of any doubt nothing follows: a proof that is wrong would tell a hosted domain that it is not.

Source: RFC 4034 section 6.1 (the order of names), RFC 4035 section 5.4, RFC 6840 section 4.1, RFC 8198.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from fastvhost.resolve.reply import Nsec, RrType

__all__ = ["Key", "NsecZone", "Proof", "key_of"]

Key = tuple[bytes, ...]
"""A name's labels from the root down, without the root's: compares in the canonical order of names."""

_NS = 2
_CNAME = 5
_SOA = 6
_DNAME = 39

_WILDCARD = b"*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A negative answer that needs no question."""

    nxdomain: bool
    """The name is not there; else it is, without the type that was asked for."""
    expires: float
    """The instant from which it proves nothing."""
    by: str
    """What proves it, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """An NSEC record, ready to compare."""

    owner: Key
    next_name: Key
    is_last: bool
    types: frozenset[int]
    expires: float
    text: str

    @property
    def is_delegation(self) -> bool:
        """RFC 6840 section 4.1: the parent's record at a zone cut knows nothing of the zone below."""
        return _NS in self.types and _SOA not in self.types

    def covers(self, name: Key) -> bool:
        """Whether it proves that `name`, a name of the zone, has no record.

        What is below a zone cut is another zone's to deny, and below a DNAME it is elsewhere.
        """
        if not self.owner < name or not (self.is_last or name < self.next_name):
            return False
        return not (_is_below(name, self.owner) and (self.is_delegation or _DNAME in self.types))

    def leads_below(self, name: Key) -> bool:
        """Whether `name`, which it covers, is there all the same: it has names below it (RFC 8020)."""
        return _is_below(self.next_name, name)


class NsecZone:
    """At most `most` ranges; at the bound the one that was learned first is forgotten."""

    __slots__ = ("_apex", "_by_owner", "_most", "_name", "_owners")

    def __init__(self, name: str, *, most: int) -> None:
        self._name = name
        self._apex = key_of(name)
        self._most = most
        self._owners: list[Key] = []
        self._by_owner: dict[Key, _Range] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, nsec: Nsec, expires: float) -> None:
        """Believe a record of a validated reply until `expires`, if it is this zone's own beyond doubt.

        Its signer must be the zone, or else a zone below could deny its neighbours. With fewer labels
        signed than the owner has, it was made from a wildcard, and says nothing of where it stands.
        """
        owner, next_name = key_of(nsec.owner), key_of(nsec.next_name)
        labels = len(owner) - (owner[-1:] == (_WILDCARD,))  # RFC 4034 section 3.1.3
        if nsec.signatures != {(self._name, labels)}:
            return
        is_last = next_name == self._apex
        if not (self._holds(owner) and self._holds(next_name) and (is_last or owner < next_name)):
            return
        self._drop(owner)
        if len(self._owners) >= self._most:
            self._drop(next(iter(self._by_owner)))
        self._owners.insert(bisect_left(self._owners, owner), owner)
        self._by_owner[owner] = _Range(
            owner=owner,
            next_name=next_name,
            is_last=is_last,
            types=nsec.types,
            expires=expires,
            text=f"NSEC {nsec.owner or '.'} to {nsec.next_name or '.'}",
        )

    def proof(self, name: Key, rrtype: RrType, now: float) -> Proof | None:
        """What is proved of `name`, which is below the apex or is it, and of `rrtype` there."""
        closest = self._at_or_before(name, now)
        if closest is None:
            return None
        if closest.owner == name:
            if closest.is_delegation or {rrtype.value, _CNAME} & closest.types:
                return None
            return Proof(nxdomain=False, expires=closest.expires, by=closest.text)
        if not closest.covers(name):
            return None
        if closest.leads_below(name):
            return Proof(nxdomain=False, expires=closest.expires, by=closest.text)
        wildcard = _wildcard_of(name, closest)
        source = self._at_or_before(wildcard, now)
        if source is None or not source.covers(wildcard) or source.leads_below(wildcard):
            return None
        return Proof(nxdomain=True, expires=min(closest.expires, source.expires), by=closest.text)

    def forget(self, name: Key) -> None:
        """`name` has been seen to be there: believe no record any more by which it would not be.

        There can be several: one from before the name came, beside those of its own.
        """
        while (closest := self._at_or_before(name, float("-inf"))) is not None:
            if closest.owner != name:
                if not closest.covers(name):
                    return
                # It may be there by a wildcard that was not there before.
                wildcard = _wildcard_of(name, closest)
                source = self._at_or_before(wildcard, float("-inf"))
                if source is not None and source.covers(wildcard):
                    self._drop(source.owner)
            self._drop(closest.owner)

    def _at_or_before(self, name: Key, now: float) -> _Range | None:
        """The record whose owner is `name`, or else the closest before it; None where it has expired."""
        place = bisect_right(self._owners, name)
        found = self._by_owner[self._owners[place - 1]] if place else None
        return found if found is not None and now < found.expires else None

    def _holds(self, name: Key) -> bool:
        return name[: len(self._apex)] == self._apex

    def _drop(self, owner: Key) -> None:
        if self._by_owner.pop(owner, None) is not None:
            del self._owners[bisect_left(self._owners, owner)]


def _is_below(name: Key, other: Key) -> bool:
    return len(name) > len(other) and name[: len(other)] == other


def _wildcard_of(name: Key, closest: _Range) -> Key:
    """The wildcard that would make `name`, which `closest` covers: below its closest encloser.

    Both ends of a range exist, so the longest of what `name` has in common with them exists, and nothing
    of `name` beyond that (RFC 4592 section 3.3.1).
    """
    shared = max(_shared(name, closest.owner), _shared(name, closest.next_name))
    return (*name[:shared], _WILDCARD)


def _shared(one: Key, other: Key) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def key_of(name: str) -> Key:
    """The key of a name in lower-case text without trailing dot; escapes are those of zone files."""
    if "\\" in name:
        import dns.name  # late, as in wire

        return tuple(label.lower() for label in reversed(dns.name.from_text(name, None).labels))
    return tuple(reversed(name.encode("ascii").split(b"."))) if name else ()
