"""A verdict and its walk as text for people: the walk is a tree, by which record was followed to what.

Below each question stand what came back, its records, and after a mark what that proved: of us, of others, of
nothing, or that it leads on.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import isinf
from typing import assert_never

from fastvhost.config import Cache
from fastvhost.domains.attributes import OWNER_PREFIX, Published
from fastvhost.evidence import Branch, branches, ttl_source
from fastvhost.explain_command.look import Look, Paragraph, Style
from fastvhost.model import Step, Verdict, VerdictKind

__all__ = ["explanation", "headline", "laid_out", "lifetime", "style_of", "ttl_line", "walk_tree"]


def explanation(
    verdict: Verdict, now: float, look: Look, cache: Cache, asked: str, published: Published | None = None
) -> str:
    """The verdict on what was `asked`, made at `now` by the bounds of `cache`; why; and the walk.

    Last what the domain publishes about itself, if anything.
    """
    paragraphs = [
        *headline(asked, verdict.host, f"{verdict.kind.name}{lifetime(verdict, now)}", verdict.kind),
        Paragraph(text=verdict.reason, first="  ", rest="    "),
        *ttl_line(verdict, cache),
    ]
    if verdict.steps:
        paragraphs += [Paragraph(), *walk_tree(verdict.host, verdict.steps, look)]
    if published is not None:
        paragraphs += _published(verdict.host, published)
    return laid_out(paragraphs, look)


def laid_out(paragraphs: Iterable[Paragraph], look: Look) -> str:
    """The lines of all of them."""
    return "\n".join(line for paragraph in paragraphs for line in look.lines(paragraph))


def headline(asked: str, host: str, said: str, kind: VerdictKind | None) -> Iterator[Paragraph]:
    """The host, also as it was asked for where that is written otherwise, and what is said of it."""
    shown = host if asked.isascii() or asked == host else f"{asked} ({host})"
    yield Paragraph(text=f"{shown}: {said}", style=style_of(kind), rest="  ")


def lifetime(verdict: Verdict, now: float) -> str:
    """How long it holds, to follow its name."""
    left = verdict.ttl(now)
    if isinf(left):
        return ", as long as it is listed"
    return f" for {left:.0f} s" if left else ""


def ttl_line(verdict: Verdict, cache: Cache | None) -> Iterator[Paragraph]:
    """Where its TTL is from; and, where `cache` is known, which bound of it was met."""
    key = "hosted_ttl" if verdict.kind is VerdictKind.HOSTED else "not_hosted_ttl"
    source = ttl_source(verdict.kind, verdict.steps)
    if source is not None and source.ttl is not None:
        text = f"TTL {source.ttl} s from {source.question}"
        if cache is not None:
            floor, ceiling = cache.hosted_ttl if key == "hosted_ttl" else cache.not_hosted_ttl
            if source.ttl < floor:
                text += f", raised to {floor:g} s by cache.{key}"
            elif source.ttl > ceiling:
                text += f", lowered to {ceiling:g} s by cache.{key}"
    elif verdict.failures:
        times = "1 failure" if verdict.failures == 1 else f"{verdict.failures} failures in a row"
        text = f"TTL from the back-off after {times} (RFC 9520)"
    elif cache is not None and verdict.kind in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED):
        if isinf(verdict.expires):
            return
        text = f"TTL from cache.{key}: DNS has no say in it"
    else:
        return
    yield Paragraph(text=text, first="  ", rest="    ")


def walk_tree(title: str, steps: Sequence[Step], look: Look) -> Iterator[Paragraph]:
    """The questions of a walk, each below the one whose answer led to it."""
    yield Paragraph(text=title, style=Style.NAME, rest="  ")
    yield from _below(branches(steps), "", look)


def _below(level: Sequence[Branch], stem: str, look: Look) -> Iterator[Paragraph]:
    along, fork, end = ("│  ", "├─ ", "└─ ") if look.drawn else ("|  ", "|- ", "`- ")
    for place, branch in enumerate(level, 1):
        is_last = place == len(level)
        body = stem + ("   " if is_last else along)
        yield Paragraph(
            text=branch.step.question,
            style=Style.NAME,
            first=stem + (end if is_last else fork),
            rest=f"{body}  ",
        )
        # What is said of a question stands beside the line that goes down to the next.
        yield from _answer(branch.step, body, look)
        yield from _below(branch.below, body, look)


def _answer(step: Step, stem: str, look: Look) -> Iterator[Paragraph]:
    answer = [step.rcode] if step.rcode else []
    if step.ttl is not None:
        answer.append(f"TTL {step.ttl} s")
    if step.server:
        answer.append(f"{step.seconds * 1000:.1f} ms from {step.server}")
    if answer:
        yield Paragraph(text=", ".join(answer), style=Style.FAINT, first=stem, rest=f"{stem}  ")
    for record in step.records:
        yield Paragraph(text=record, first=f"{stem}  ", rest=f"{stem}    ")
    if step.proved:
        mark = _mark(step.kind, look)
        text = f"{mark} {step.proved}"
        yield Paragraph(text=text, style=style_of(step.kind), first=stem, rest=f"{stem}  ")


def style_of(kind: VerdictKind | None) -> Style:
    """How what is said of a verdict looks."""
    match kind:
        case None:
            return Style.PLAIN
        case VerdictKind.HOSTED:
            return Style.YES
        case VerdictKind.NOT_HOSTED | VerdictKind.MALFORMED:
            return Style.NO
        case VerdictKind.UNDETERMINED | VerdictKind.PENDING | VerdictKind.LIMITED:
            return Style.UNDECIDED
        case never:
            assert_never(never)


def _mark(kind: VerdictKind | None, look: Look) -> str:
    match style_of(kind):
        case Style.YES:
            return "✓" if look.drawn else "+"
        case Style.NO:
            return "✗" if look.drawn else "x"
        case Style.UNDECIDED:
            return "?"
        case _:
            return "→" if look.drawn else ">"


def _published(host: str, published: Published) -> Iterator[Paragraph]:
    used = [f"{attribute.name} = {attribute.value}" for attribute in published.attributes]
    if published.did is not None:
        used.append(f"did = {published.did} (if it agrees)")
    if published.aliases:
        used.append(f"alias = {', '.join(published.aliases)}")
    skipped = [f"not used: {entry.key}: {entry.why}" for entry in published.skipped]
    if not used and not skipped:
        return
    yield Paragraph()
    yield Paragraph(text=f"attributes at {OWNER_PREFIX}{host}", style=Style.NAME, rest="  ")
    for line in (*used, *skipped):
        yield Paragraph(text=line, first="  ", rest="    ")
