"""What DNS answered, in the terms of the walk: records, a negative answer, or a failure.

The walk sees these values and nothing of the library or the sockets behind them.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

__all__ = [
    "Answer",
    "Denial",
    "Failure",
    "Naptr",
    "Negative",
    "Nsec",
    "Record",
    "Reply",
    "RrType",
    "Srv",
    "Txt",
    "Via",
]


class RrType(Enum):
    """The record types that are asked for, by their number (RFC 1035, 3596, 2782, 3403)."""

    A = 1
    TXT = 16
    AAAA = 28
    SRV = 33
    NAPTR = 35


@dataclass(frozen=True, slots=True, kw_only=True)
class Srv:
    """RFC 2782. `target` is lower-case without trailing dot, empty for the root."""

    priority: int
    weight: int
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Naptr:
    """RFC 3403 section 4. `flags` and `services` are lower-case, `replacement` as a target of `Srv`."""

    order: int
    preference: int
    flags: str
    services: str
    regexp: str
    replacement: str

    def __str__(self) -> str:
        texts = f'"{self.flags}" "{self.services}" "{self.regexp}"'
        return f"{self.order} {self.preference} {texts} {self.replacement}."


@dataclass(frozen=True, slots=True)
class Txt:
    """RFC 1035 section 3.3.14: one record's character-strings, each at most 255 octets."""

    strings: tuple[bytes, ...]


Record = IPv4Address | IPv6Address | Srv | Naptr | Txt


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """How a reply came."""

    server: str = ""
    """ADDRESS:PORT of the upstream that answered, or was asked last; or the proof that stood in for it."""
    seconds: float = 0.0
    """From the question to its end, budgets and retries included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nsec:
    """RFC 4034 section 4: no name of its zone lies between `owner` and `next_name`, in canonical order."""

    owner: str
    next_name: str
    """The zone's own name where `owner` is the last."""
    types: frozenset[int]
    """The types at `owner`, of those that somebody here wants to know of."""
    ttl: int
    signatures: frozenset[tuple[str, int]]
    """Signer's name and number of labels of each RRSIG over it that came with it (RFC 4034 section 3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """What a validated negative reply proves beyond its own question (RFC 8198)."""

    zone: str
    """The owner of its SOA."""
    nsecs: tuple[Nsec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """At least one record of the type that was asked for."""

    records: tuple[Record, ...]
    ttl: int
    """Seconds: the least of the RRset and of the aliases that lead to it."""
    aliases: tuple[str, ...] = ()
    """The names that CNAME records lead through, the owner of the records last."""
    authentic: bool = False
    """The AD bit of an upstream that is trusted with it."""
    via: Via = Via()


@dataclass(frozen=True, slots=True, kw_only=True)
class Negative:
    """DNS proved that there is no such record, with the SOA that lets it be remembered (RFC 2308)."""

    nxdomain: bool
    """The name itself is not there; else it is, without the type (NODATA)."""
    ttl: int
    """Seconds: the least of SOA TTL, SOA MINIMUM and the aliases' TTLs."""
    aliases: tuple[str, ...] = ()
    """As in `Answer`: what is not there is the last of these where there is one."""
    authentic: bool = False
    denial: Denial | None = None
    """Only where the reply is authentic and leads over no alias."""
    via: Via = Via()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No evidence either way."""

    why: str
    """An RCODE (`SERVFAIL`) or what happened instead (`time-out`), in a few words."""
    limited: bool = False
    """Our own budget was spent: DNS is not to blame."""
    via: Via = Via()


Reply = Answer | Negative | Failure
