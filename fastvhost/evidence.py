"""What the steps of a walk are evidence of: how they hang together, and which of them a TTL is from.

The walk answers with steps in one row; whoever reads them wants to see what was followed from what.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fastvhost.model import Step, VerdictKind

__all__ = ["Branch", "branches", "ttl_source"]


@dataclass(slots=True, kw_only=True)
class Branch:
    """A question and those that were asked because of its answer."""

    step: Step
    below: list["Branch"] = field(default_factory=list)

    def __iter__(self) -> Iterator[Step]:
        """Its steps, depth first."""
        yield self.step
        for branch in self.below:
            yield from branch


def branches(steps: Sequence[Step]) -> list[Branch]:
    """The questions about the host itself in the order in which they were tried, each with those below it.

    `steps` are in the order of a tree walked depth first, as in `Verdict.steps`.
    """
    roots: list[Branch] = []
    path: list[Branch] = []
    for step in steps:
        del path[max(0, step.depth) :]
        branch = Branch(step=step)
        (path[-1].below if path else roots).append(branch)
        path.append(branch)
    return roots


def ttl_source(kind: VerdictKind, steps: Sequence[Step]) -> Step | None:
    """The step that a verdict of this kind has its TTL from, before `cache` bounds it; None: no step has one.

    HOSTED lives as long as the records that led to us, and as the proofs that what goes before them is not
    there; NOT_HOSTED as long as all that was found. What is undecided has its TTL from no record.
    """
    if kind is VerdictKind.HOSTED:
        needed = _needed_for_hosted(steps)
    else:
        needed = list(steps) if kind is VerdictKind.NOT_HOSTED else []
    # Of several the last: what was found at the end of the path tells people most.
    bounding = [(step.ttl, step) for step in reversed(needed) if step.ttl is not None]
    return min(bounding, key=lambda pair: pair[0])[1] if bounding else None


def _needed_for_hosted(steps: Sequence[Step]) -> list[Step]:
    """The path to the first step that leads to us, and all that had to be in vain before it was tried."""
    roots = branches(steps)
    for root in roots:
        path = _path_to_us(root)
        if path is not None:
            stage = _stage(root.step)
            return [step for other in roots if _stage(other.step) < stage for step in other] + path
    return []


def _path_to_us(branch: Branch) -> list[Step] | None:
    if branch.step.kind is VerdictKind.HOSTED:
        return [branch.step]
    for lower in branch.below:
        path = _path_to_us(lower)
        if path is not None:
            return [branch.step, *path]
    return None


def _stage(step: Step) -> int:
    """Of a question about the host itself, which turn it has: NAPTR, SRV, addresses (RFC 3263 section 4)."""
    rrtype = step.question.partition(" ")[0]
    return {"NAPTR": 0, "SRV": 1}.get(rrtype, 2)
