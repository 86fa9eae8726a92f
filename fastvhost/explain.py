"""A verdict and its walk as text for people, within 80 columns where names allow it."""

from collections.abc import Iterator
from math import isinf

from fastvhost.model import Step, Verdict

__all__ = ["explanation"]


def explanation(verdict: Verdict, now: float) -> str:
    """The verdict, why, and below it each question with its answer and what that proved."""
    lines = [f"{verdict.host}: {verdict.kind.name}{_lifetime(verdict, now)}", f"  {verdict.reason}"]
    for step in verdict.steps:
        lines.extend(_step_lines(step))
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
