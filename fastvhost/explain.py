"""A verdict and its walk as text for people, within 80 columns where names allow it."""

from collections.abc import Iterator
from math import isinf

from fastvhost.domains.attributes import OWNER_PREFIX, Published
from fastvhost.model import Step, Verdict

__all__ = ["explanation"]


def explanation(verdict: Verdict, now: float, published: Published | None = None) -> str:
    """The verdict, why, and below it each question with its answer and what that proved.

    Last what the domain publishes about itself, if anything.
    """
    lines = [f"{verdict.host}: {verdict.kind.name}{_lifetime(verdict, now)}", f"  {verdict.reason}"]
    for step in verdict.steps:
        lines.extend(_step_lines(step))
    if published is not None:
        lines.extend(_published_lines(verdict.host, published))
    return "\n".join(map(_printable, lines))


def _printable(line: str) -> str:
    """What comes from DNS or a client may hold control sequences, which a terminal would obey."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)


def _lifetime(verdict: Verdict, now: float) -> str:
    left = verdict.ttl(now)
    if isinf(left):
        return ", as long as it is listed"
    return f" for {left:.0f} s" if left else ""


def _step_lines(step: Step) -> Iterator[str]:
    indent = "  " * (step.depth + 1)
    yield ""
    yield f"{indent}{step.question}"
    answer = [step.rcode] if step.rcode else []
    if step.ttl is not None:
        answer.append(f"TTL {step.ttl} s")
    if step.server:
        answer.append(f"{step.seconds * 1000:.1f} ms from {step.server}")
    if answer:
        yield f"{indent}  {', '.join(answer)}"
    for record in step.records:
        yield f"{indent}    {record}"
    if step.proved:
        yield f"{indent}  -> {step.proved}"


def _published_lines(host: str, published: Published) -> Iterator[str]:
    used = [f"{attribute.name} = {attribute.value}" for attribute in published.attributes]
    if published.did is not None:
        used.append(f"did = {published.did} (if it agrees)")
    if published.aliases:
        used.append(f"alias = {', '.join(published.aliases)}")
    skipped = [f"{entry.key}: {entry.why}" for entry in published.skipped]
    if not used and not skipped:
        return
    yield ""
    yield f"  attributes at {OWNER_PREFIX}{host}"
    for line in used:
        yield f"    {line}"
    for line in skipped:
        yield f"    not used: {line}"
