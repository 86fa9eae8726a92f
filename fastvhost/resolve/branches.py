"""What the branches of a walk find, and how that adds up.

A walk is a tree of questions. Each branch ends in a finding; the root's is the walk's.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import inf
from typing import assert_never

import trio

from fastvhost.model import Finding, Step, VerdictKind
from fastvhost.resolve.reply import Answer, Failure, Negative, Reply, RrType

__all__ = [
    "Branch",
    "any_of",
    "below",
    "elsewhere",
    "failed",
    "followed_already",
    "here",
    "note",
    "step",
    "undetermined",
]

Branch = Callable[[], Awaitable[Finding]]

_PRECEDENCE = (VerdictKind.HOSTED, VerdictKind.LIMITED, VerdictKind.UNDETERMINED, VerdictKind.NOT_HOSTED)

_MAX_SHOWN = 8
"""Records that a step shows."""

_MAX_RECORD_TEXT = 120
"""Characters that it shows of each."""


async def any_of(branches: Sequence[Branch]) -> Finding:
    """Follow branches side by side, the preferred first; the first that is HOSTED ends the others.

    Else a branch that could not be decided leaves all of it undecided: it might have led to us.
    """
    findings: list[Finding | None] = [None] * len(branches)

    async def follow(place: int, nursery: trio.Nursery) -> None:
        # Trio starts the tasks of a nursery in any order. One by one they reach the bounds of a walk in
        # the order of preference, so that these leave out the least preferred.
        if place + 1 < len(branches):
            nursery.start_soon(follow, place + 1, nursery)
        findings[place] = found = await branches[place]()
        if found.kind is VerdictKind.HOSTED:
            nursery.cancel_scope.cancel()

    if len(branches) == 1:
        return await branches[0]()
    async with trio.open_nursery() as nursery:
        await follow(0, nursery)
    ended = [found for found in findings if found is not None]
    decisive = min(ended, key=_precedence)
    not_hosted = decisive.kind is VerdictKind.NOT_HOSTED
    return replace(
        decisive,
        ttl=min(found.ttl for found in ended) if not_hosted else decisive.ttl,
        steps=tuple(shown for found in ended for shown in found.steps),
    )


def _precedence(found: Finding) -> tuple[int, int]:
    """Of several HOSTED ones the preferred; of others the one that got furthest says most about why."""
    hosted = found.kind is VerdictKind.HOSTED
    return _PRECEDENCE.index(found.kind), 0 if hosted else -len(found.steps)


def here(ttl: float, reason: str, shown: Step) -> Finding:
    """It leads to us."""
    return Finding(kind=VerdictKind.HOSTED, ttl=ttl, reason=reason, steps=(shown,))


def elsewhere(ttl: float, reason: str, shown: Step) -> Finding:
    """DNS proved that this branch does not lead to us."""
    return Finding(kind=VerdictKind.NOT_HOSTED, ttl=ttl, reason=reason, steps=(shown,))


def undetermined(reason: str, shown: Step) -> Finding:
    """A bound was passed."""
    return Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason=reason, steps=(shown,))


def failed(failure: Failure, shown: Step) -> Finding:
    """A question was not answered."""
    kind = VerdictKind.LIMITED if failure.limited else VerdictKind.UNDETERMINED
    return Finding(kind=kind, ttl=0.0, reason=f"{shown.question}: {failure.why}", steps=(shown,))


def followed_already(depth: int, question: str) -> Finding:
    """Another branch of the same walk finds out, so this one adds nothing to what it finds."""
    why = "followed already"
    return elsewhere(inf, f"{question}: {why}", note(depth, question, "", why, None))


def below(found: Finding, ttl: float, shown: Step) -> Finding:
    """What was found by following the records, of lifetime `ttl`, that the step `shown` shows."""
    return replace(found, ttl=min(found.ttl, ttl), steps=(shown, *found.steps))


def step(
    depth: int, name: str, rrtype: RrType, reply: Reply, proved: str, kind: VerdictKind | None = None
) -> Step:
    """A question that was asked, and its reply; `kind` is what it proved, unless it was not answered."""
    match reply:
        case Answer():
            rcode = "NOERROR"
        case Negative():
            rcode = "NXDOMAIN" if reply.nxdomain else "NODATA"
        case Failure():
            rcode = reply.why
            kind = VerdictKind.LIMITED if reply.limited else VerdictKind.UNDETERMINED
        case never:
            assert_never(never)
    return Step(
        depth=depth,
        question=f"{rrtype.name} {name}",
        rcode=rcode,
        records=_shown_records(reply),
        ttl=None if isinstance(reply, Failure) else reply.ttl,
        server=reply.via.server,
        seconds=reply.via.seconds,
        proved=proved,
        kind=kind,
    )


def note(depth: int, question: str, rcode: str, proved: str, kind: VerdictKind | None) -> Step:
    """A step that asked nothing."""
    return Step(depth=depth, question=question, rcode=rcode, proved=proved, kind=kind)


def _shown_records(reply: Reply) -> tuple[str, ...]:
    """The first few: steps are kept with the verdict, and a zone chooses how much there is to show."""
    if isinstance(reply, Failure) or (isinstance(reply, Negative) and not reply.aliases):
        return ()
    texts = [f"CNAME {alias}." for alias in reply.aliases]
    if isinstance(reply, Answer):
        texts += [str(record) for record in reply.records[: _MAX_SHOWN + 1]]
    more = len(reply.aliases) + (len(reply.records) if isinstance(reply, Answer) else 0) - _MAX_SHOWN
    shown = [text if len(text) <= _MAX_RECORD_TEXT else f"{text[:_MAX_RECORD_TEXT]}..." for text in texts]
    return (*shown[:_MAX_SHOWN], f"and {more} more") if more > 0 else tuple(shown)
