"""Faults on demand: which queries they meet, and what then happens. Pure but for the count of uses."""

import enum
import math
import random
from collections.abc import Iterable, MutableSequence
from dataclasses import dataclass
from typing import Literal, SupportsIndex, TypeAlias, overload

import dns.rdatatype

__all__ = ["Effect", "Fault", "FaultRules", "Transport"]

Transport: TypeAlias = Literal["udp", "tcp"]


class Effect(enum.Enum):
    """What becomes of the true reply.

    A forged reply says the opposite: NXDOMAIN, or NODATA where NXDOMAIN is the truth. An asker that believes
    it is so found out.
    """

    NONE = "none"
    """The true reply; for a rule that only delays, or that shields a name from later rules."""
    DROP = "drop"
    """No reply."""
    TRUNCATE = "truncate"
    """Over UDP the question alone with TC; over TCP the true reply."""
    SERVFAIL = "servfail"
    REFUSED = "refused"
    FORMERR = "formerr"
    NOTIMP = "notimp"
    WRONG_ID_FIRST = "wrong-id-first"
    """A forged reply with another id, then the true one."""
    WRONG_ID_ONLY = "wrong-id-only"
    WRONG_QUESTION_FIRST = "wrong-question-first"
    """A forged reply to a question for `forged.invalid.` with the right id, then the true one."""
    WRONG_QUESTION_ONLY = "wrong-question-only"
    WRONG_PORT_FIRST = "wrong-port-first"
    """A forged reply from another port, then the true one; over TCP only the true one."""
    WRONG_PORT_ONLY = "wrong-port-only"
    """A forged reply from another port; over TCP no reply."""
    LAME = "lame"
    """NOERROR, no answer, no SOA, an NS record of the root: a referral upward."""
    NO_SOA = "no-soa"
    """The true reply without authority section: a negative not to be cached (RFC 2308 section 5)."""
    DOUBLED = "doubled"
    """The true reply, twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule: the queries that it meets, and what it does to them.

    Raises:
        ValueError: the type is unknown, or a number out of its bounds.
    """

    effect: Effect = Effect.NONE
    name: str = "*"
    """An owner (`a.example`), all below it (`*.example`), or all (`*`); in any case, last dot or not."""
    rdtype: str | None = None
    """A record type as text (`"SRV"`); None for all."""
    transport: Transport | None = None
    """None for both."""
    delay: float = 0.0
    """Seconds from query to reply; 0 or more, finite."""
    times: int | None = None
    """Only the first so many queries that the rule meets, 1 or more; None for all."""
    share: float = 1.0
    """The probability, 0 to 1, that a query in its scope is met; by chance of a fixed seed."""

    def __post_init__(self) -> None:
        if self.rdtype is not None:
            try:
                dns.rdatatype.from_text(self.rdtype)
            except dns.rdatatype.UnknownRdatatype as error:
                raise ValueError(f"rdtype {self.rdtype!r} is no record type") from error
        if not (self.delay >= 0 and math.isfinite(self.delay)):
            raise ValueError(f"delay {self.delay} is not a number of seconds, 0 or more")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share {self.share} is not within 0 and 1")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times {self.times} is not 1 or more")

    def covers(self, owner: str, rdtype: str, transport: Transport) -> bool:
        """Is this query in scope? `owner` is lower case without a last dot, `rdtype` upper case."""
        if self.rdtype is not None and self.rdtype.upper() != rdtype:
            return False
        if self.transport is not None and self.transport != transport:
            return False
        scope = self.name.lower()
        if scope == "*":
            return True
        scope = scope.removesuffix(".") or "."
        return owner.endswith(scope[1:]) if scope.startswith("*.") else owner == scope


class FaultRules(MutableSequence[Fault]):
    """The rules in force, first match wins; changed like a list, also while the lab serves.

    A rule put in place starts with all its `times` left, equal to an earlier one or not.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = list(faults)
        self._uses = [0] * len(self._faults)
        self._random = random.Random(0)

    def choose(self, owner: str, rdtype: str, transport: Transport) -> Fault | None:
        """The first rule that meets this query, and count its use. Cost: one step a rule."""
        for at, fault in enumerate(self._faults):
            if not fault.covers(owner, rdtype, transport):
                continue
            if fault.times is not None and self._uses[at] >= fault.times:
                continue
            if fault.share < 1 and self._random.random() >= fault.share:
                continue
            self._uses[at] += 1
            return fault
        return None

    def __len__(self) -> int:
        return len(self._faults)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> list[Fault]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Fault | list[Fault]:
        return self._faults[index]

    @overload
    def __setitem__(self, index: SupportsIndex, value: Fault) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Fault]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Fault | Iterable[Fault]) -> None:
        if isinstance(index, slice):
            faults = [value] if isinstance(value, Fault) else list(value)
            self._faults[index] = faults
            self._uses[index] = [0] * len(faults)
        elif isinstance(value, Fault):
            self._faults[index] = value
            self._uses[index] = 0
        else:
            raise TypeError("one place takes one Fault")

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        del self._faults[index]
        del self._uses[index]

    def insert(self, index: SupportsIndex, value: Fault) -> None:
        self._faults.insert(index, value)
        self._uses.insert(index, 0)
