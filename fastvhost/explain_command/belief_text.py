"""What a daemon believes of a host as text for people, and beside it what DNS says."""

from collections.abc import Iterator

from fastvhost.explain_command.daemon import Answer
from fastvhost.explain_command.look import Look, Paragraph, Style
from fastvhost.explain_command.text import headline, laid_out, lifetime, style_of, ttl_line, walk_tree
from fastvhost.model import Verdict, VerdictKind

__all__ = ["believed"]

_UNDECIDED = {"limited": "LIMITED for now", "malformed": "MALFORMED"}
"""What the next one is told at these stations, where nothing is found out."""


def believed(answer: Answer, look: Look, asked: str) -> str:
    """What the daemon believes, what else it knows, and what DNS says where that was asked."""
    first, *behind = answer.stations
    said = _said(first.verdict, first.name) if first.verdict else _UNDECIDED.get(first.name, "no verdict yet")
    paragraphs = [
        *headline(asked, answer.host, said, answer.kind),
        Paragraph(text=f"{first.name}: {first.why}", first="  ", rest="    "),
    ]
    if first.verdict is not None:
        paragraphs += ttl_line(first.verdict, None)
    for station in behind:
        verdict = f"{_said(station.verdict, station.name)}: " if station.verdict else ""
        text = f"{station.name}, behind that: {verdict}{station.why}"
        paragraphs.append(Paragraph(text=text, first="  ", rest="    "))
    paragraphs += _stored(answer)
    steps = next((one.verdict.steps for one in answer.stations if one.verdict and one.verdict.steps), ())
    if steps:
        paragraphs += [Paragraph(), *walk_tree(f"{answer.host}, as the daemon walked it", steps, look)]
    if answer.walk is not None:
        paragraphs += [Paragraph(), *_beside(answer.walk, answer.kind)]
        paragraphs += [Paragraph(), *walk_tree(f"{answer.host}, as DNS has it", answer.walk.steps, look)]
    return laid_out(paragraphs, look)


def _said(verdict: Verdict, station: str) -> str:
    if station == "learned":
        return f"{verdict.kind.name}, until checks find that it has left DNS"
    stale = " past its TTL," if verdict.stale else ""
    return f"{verdict.kind.name}{stale}{lifetime(verdict, 0.0)}"


def _stored(answer: Answer) -> Iterator[Paragraph]:
    if answer.store_error:
        text = f"the store cannot be read: {answer.store_error}"
        yield Paragraph(text=text, style=Style.UNDECIDED, first="  ", rest="    ")
    if answer.stored is None:
        return
    found = answer.stored.get
    text = f"stored: {found('state')}, decided by {found('decided_by')}; {found('evidence') or 'no evidence'}"
    yield Paragraph(text=text, first="  ", rest="    ")
    dates = (
        f"verified {_to_the_second(found('last_verified'))}, next check {_to_the_second(found('next_check'))}"
    )
    did = f"; did {found('did')}" if found("did") else ""
    yield Paragraph(text=f"{dates}{did}", first="    ", rest="    ")


def _to_the_second(instant: object) -> str:
    """An instant of ISO 8601 without its fraction."""
    return f"{str(instant).partition('.')[0].rstrip('Z')}Z" if instant else "never"


def _beside(walk: Verdict, kind: VerdictKind | None) -> Iterator[Paragraph]:
    """What DNS says now, and whether that is what the daemon says."""
    if kind is None:
        beside = ""
    elif walk.kind is kind:
        beside = ", as the daemon says"
    elif walk.kind in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED):
        beside = f", and the daemon says {kind.name}"
    else:
        beside = f", which leaves the daemon's {kind.name} as it is"
    text = f"DNS now: {walk.kind.name}{lifetime(walk, 0.0)}{beside}"
    yield Paragraph(text=text, style=style_of(walk.kind), rest="  ")
    yield Paragraph(text=walk.reason, first="  ", rest="    ")
    yield from ttl_line(walk, None)
