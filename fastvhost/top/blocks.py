"""The parts of the view, each a title and lines of cells: which figures stand where, and how they read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf

from fastvhost.domains.record_json import iso_instant
from fastvhost.model import VerdictKind
from fastvhost.talkers import Talker
from fastvhost.top.figures import Levels, Rates
from fastvhost.top.scrape import SeenChange

__all__ = ["Bar", "Block", "Cell", "Styled", "change_block", "figure_blocks", "since", "talker_block"]

_UNKNOWN = "-"
"""Where there is no figure yet."""

_MOST_ANSWERS = 5
_MOST_FACES = 3

_STYLES = {
    VerdictKind.HOSTED: "green",
    VerdictKind.NOT_HOSTED: "blue",
    VerdictKind.UNDETERMINED: "yellow",
    VerdictKind.PENDING: "magenta",
    VerdictKind.LIMITED: "red",
    VerdictKind.MALFORMED: "bright_black",
}
"""As on the page of the admin face."""

_LANES = {"unknown": "left: unknown", "known": "left: known", "checks": "left: checks"}
"""What the lanes of the DNS budget have left, by whom they are for."""

_BUDGETS = {
    "source": "source",
    "zone": "zone",
    "upstream": "DNS",
    "flights": "flights",
    "queries": "queries",
    "u_labels": "U-labels",
}

_ALARMING = 0.9
"""The share from which a bar that should not be full looks so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A share as a bar."""

    share: float
    """0–1."""
    style: str = "cyan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Styled:
    """A text with a style of rich's."""

    text: str
    style: str


Cell = str | Bar | Styled


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A title, and lines of as many cells each."""

    title: str
    note: str = ""
    """At the right of the title."""
    heads: Sequence[str] = ()
    """Or there: what the columns but the first are called."""
    lines: Sequence[Sequence[Cell]]
    texts: Sequence[int] = (0,)
    """Columns of words, which take the room that there is; the others have figures."""

    @property
    def height(self) -> int:
        """Lines, that of the title included."""
        return 1 + len(self.lines)


def figure_blocks(rates: Rates | None, levels: Levels) -> Mapping[str, Block]:
    """All but the lists, by name; as many lines each, whatever the figures are."""
    return {
        "replies": _replies(rates),
        "upstream": _upstream(rates, levels),
        "memory": _memory(rates, levels),
        "answers": _answers(rates),
        "latency": _latency(rates),
        "refused": _refused(rates),
    }


def talker_block(title: str, talkers: Sequence[Talker], most: int) -> Block:
    """Sources or zones with their walks and refusals."""
    lines = [(one.name, f"{one.asked:,}") for one in talkers[:most]]
    return Block(title=title, note="lately", lines=lines or [(Styled(text="none lately", style="dim"), "")])


def change_block(changes: Sequence[SeenChange], most: int, *, with_time: bool) -> Block:
    """Domains that were learned, disabled and the like."""
    lines: list[Sequence[Cell]] = [
        (one.domain, one.state, _month_to_minute(one.at)) if with_time else (one.domain, one.state)
        for one in changes[:most]
    ]
    none: Sequence[Cell] = (Styled(text="none since its start", style="dim"), *([""] * (1 + with_time)))
    return Block(title="Changed", note="state, UTC" if with_time else "state", lines=lines or [none])


def since(seconds: float) -> str:
    """An instant of the wall clock, to the minute."""
    return f"{iso_instant(float(int(seconds)))[:16].replace('T', ' ')} UTC"


def _replies(rates: Rates | None) -> Block:
    total = rates.total if rates else 0.0
    lines = []
    for kind, style in _STYLES.items():
        one = rates.replies[kind] if rates else None
        bar = Bar(share=one / total if one and total else 0.0, style=style)
        lines.append((Styled(text=kind.name, style=style), bar, _rate(one)))
    return Block(title="Replies a second", note=_rate(total if rates else None), lines=lines)


def _upstream(rates: Rates | None, levels: Levels) -> Block:
    load = rates.upstream if rates else None
    shares = {lane.name: lane.share for lane in levels.lanes}
    return Block(
        title="DNS queries a second",
        note=f"{_rate(load)} of {levels.most_upstream:,.0f}",
        lines=[
            ("load", _filling(load or 0.0, levels.most_upstream), _percent(load, levels.most_upstream)),
            (
                "under way",
                _filling(levels.in_flight, levels.most_in_flight),
                f"{levels.in_flight:,.0f} of {levels.most_in_flight:,.0f}",
            ),
            *(
                (text, Bar(share=left, style="green"), f"{left:.0%}")
                for lane, text in _LANES.items()
                for left in (shares.get(lane, 0.0),)
            ),
            ("flights", "", f"{levels.flights:,.0f}"),
        ],
    )


def _memory(rates: Rates | None, levels: Levels) -> Block:
    hits = (rates.hit_rate if rates else None) or 0.0
    shown_hits = _UNKNOWN if rates is None or rates.hit_rate is None else f"{hits:.1%}"
    return Block(
        title="Memory",
        lines=[
            ("hit rate", Bar(share=hits, style="green"), shown_hits),
            ("HOSTED kept", Bar(share=_share(levels.hosted, levels.most_hosted)), f"{levels.hosted:,.0f}"),
            ("others kept", Bar(share=_share(levels.unknown, levels.most_unknown)), f"{levels.unknown:,.0f}"),
            ("known without DNS", "", f"{levels.known:,.0f}"),
            ("to be stored", "", f"{levels.queued:,.0f}"),
        ],
    )


def _answers(rates: Rates | None) -> Block:
    answers = list(rates.answers.items())[:_MOST_ANSWERS] if rates else []
    total = sum(rates.answers.values()) if rates else 0.0
    lines: list[Sequence[Cell]] = [
        (name, Bar(share=one / total, style=_answer_style(name)), _rate(one)) for name, one in answers
    ]
    lines += [("", "", "")] * (_MOST_ANSWERS - len(lines))
    return Block(title="DNS answers a second", note=_rate(total if rates else None), lines=lines)


def _latency(rates: Rates | None) -> Block:
    lines: list[Sequence[Cell]] = [
        (face.name.upper(), _rate(face.replies), _seconds(face.p50), _seconds(face.p99))
        for face in (rates.faces if rates else ())
    ]
    lines += [("", "", "", "")] * (_MOST_FACES - len(lines))
    return Block(title="Latency", heads=("a second", "p50", "p99"), lines=lines)


def _refused(rates: Rates | None) -> Block:
    total = sum(rates.refused.values()) if rates else None
    refused = {name: rates.refused.get(name, 0.0) if rates else None for name in _BUDGETS}
    cells = [(text, _rate(refused[name])) for name, text in _BUDGETS.items()]
    lines = [(*left, *right) for left, right in zip(cells[::2], cells[1::2], strict=True)]
    return Block(title="Refused a second, by budget", note=_rate(total), lines=lines, texts=(0, 2))


def _answer_style(name: str) -> str:
    return "green" if name in ("NOERROR", "NODATA", "NXDOMAIN") else "red"


def _filling(part: float, whole: float) -> Bar:
    share = _share(part, whole)
    return Bar(share=share, style="red" if share >= _ALARMING else "cyan")


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _percent(part: float | None, whole: float) -> str:
    return _UNKNOWN if part is None or not whole else f"{part / whole:.0%}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return _UNKNOWN
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    if isinf(seconds):
        return "> 10 s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} us"


def _month_to_minute(at: str) -> str:
    """`2026-11-23T08:40:00Z` as `11-23 08:40`."""
    return at[5:16].replace("T", " ")
