"""The page for people: figures, charts and tables as HTML.

Hosts and zones are what strangers asked for, so every text is escaped here, whatever it was checked for
before. It works without its script: then the browser loads it again every few seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isinf

from fastvhost.admin.charts import Line, chart
from fastvhost.admin.history import History, quantile
from fastvhost.admin.looks import SCRIPT, STYLE
from fastvhost.domains.recent import Change
from fastvhost.domains.record_json import iso_instant
from fastvhost.model import VerdictKind
from fastvhost.talkers import Talker

__all__ = ["Shown", "page"]

_SPAN = 300.0
"""Seconds that the charts show."""

_RELOAD_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows."""

    now: float
    figures: Mapping[str, float]
    history: History
    zones: Sequence[Talker]
    sources: Sequence[Talker]
    changes: Sequence[Change]
    not_ready: str | None
    version: str
    up: float
    """Seconds since the start."""


def page(shown: Shown) -> str:
    """The whole document; some 40 kB, 3 ms."""
    state = f'<span class="bad">{escape(shown.not_ready)}</span>' if shown.not_ready else "ready"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fastvhost</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<noscript><meta http-equiv="refresh" content="{_RELOAD_SECONDS}"></noscript>
<style>{STYLE}</style></head><body>
<header><h1>fastvhost</h1>
<form action="/explain"><label>What is known of <input name="host" required maxlength="253"
placeholder="example.com"></label> <label><input type="checkbox" name="walk" value="1"> ask DNS too</label>
<button>Explain</button></form></header>
<main><p>{state}, version {escape(shown.version)}, up {_duration(shown.up)}</p>
{_figures(shown)}
{_charts(shown)}
{_tables(shown)}
</main>
<footer><a href="/">This page again</a> · <a href="/metrics">metrics</a> · <a href="/domains">domains</a> ·
<a href="/sources">sources</a> · <a href="/changes">changes</a> ·
<a href="/healthz">healthz</a> · <a href="/readyz">readyz</a></footer>
<script>{SCRIPT}</script></body></html>
"""


def _figures(shown: Shown) -> str:
    figures, history = shown.figures, shown.history
    rates = history.rates()
    last = rates[-1] if rates else None
    counts = history.latencies()
    hit_rate = None if last is None else last.hit_rate
    answers = (
        ("Replies a second", "–" if last is None else f"{last.total:,.0f}"),
        ("From memory", "–" if hit_rate is None else f"{hit_rate:.1%}"),
        ("Half of them within", _seconds(quantile(counts, 0.5))),
        ("99 of 100 within", _seconds(quantile(counts, 0.99))),
        ("Walks under way", f"{figures['lookup.under_way']:,.0f}"),
    )
    upstream = (
        ("DNS queries a second", "–" if last is None else f"{last.upstream:,.0f}"),
        ("Most that are allowed", f"{figures['limit.limits.upstream_qps']:,.0f}"),
        ("Budget left for unknown hosts", _left(figures, "unknown")),
        ("Budget left for known hosts", _left(figures, "known")),
        ("Budget left for housekeeping", _left(figures, "checks")),
    )
    memory = (
        ("Known without DNS", f"{figures.get('domains.known', 0):,.0f}"),
        ("HOSTED in the cache", f"{figures['cache.hosted_entries']:,.0f}"),
        ("Others in the cache", f"{figures['cache.unknown_entries']:,.0f}"),
        ("Waiting to be stored", f"{figures.get('domains.queued', 0):,.0f}"),
        ("Housekeeping", "brakes" if figures.get("domains.braked") else "as usual"),
    )
    return _cards(
        _card("Answers", _definitions(answers)),
        _card("Upstream", _definitions(upstream)),
        _card("Memory", _definitions(memory)),
    )


def _charts(shown: Shown) -> str:
    rates = shown.history.rates()
    verdicts = [
        Line(name=kind.name, points=[(one.at, one.replies[kind]) for one in rates]) for kind in VerdictKind
    ]
    legend = "".join(
        f'<tr><td class="{kind.name}">{kind.name}</td>'
        f'<td class="n">{rates[-1].replies[kind] if rates else 0.0:,.1f}</td></tr>'
        for kind in VerdictKind
    )
    hits = Line(
        name="hits",
        points=[(one.at, None if one.hit_rate is None else 100 * one.hit_rate) for one in rates],
    )
    upstream = Line(name="upstream", points=[(one.at, one.upstream) for one in rates])
    span = {"span": _SPAN, "until": shown.now}
    return _cards(
        _card(
            "Replies a second, by verdict",
            chart("Replies a second, by verdict", verdicts, **span) + f"<table>{legend}</table>",
            wide=True,
        ),
        _card(
            "From memory, percent",
            chart("From memory, percent", [hits], least=100.0, **span)
            + "<h2>DNS queries a second, and their cap</h2>"
            + chart(
                "DNS queries a second, and their cap",
                [upstream],
                cap=shown.figures["limit.limits.upstream_qps"],
                **span,
            ),
            wide=True,
        ),
    )


def _tables(shown: Shown) -> str:
    changes = [
        (escape(change.domain), f"{change.state.value}, {iso_instant(float(int(change.at)))}")
        for change in shown.changes
    ]
    return _cards(
        _card("Zones of unknown hosts", _talkers(shown.zones)),
        _card("Sources of unknown hosts", _talkers(shown.sources)),
        _card(
            "Domains that changed",
            _rows(("Domain", "State, since (UTC)"), changes, "none since the start"),
            wide=True,
        ),
    )


def _talkers(talkers: Sequence[Talker]) -> str:
    rows = [(escape(one.name), f"{one.asked:,}") for one in talkers]
    return _rows(("", "Walks and refusals, lately"), rows, "none lately")


def _cards(*cards: str) -> str:
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(heading: str, content: str, *, wide: bool = False) -> str:
    return f"<section{' class=wide' if wide else ''}><h2>{escape(heading)}</h2>{content}</section>"


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(term)}</dt><dd>{escape(text)}</dd>' for term, text in pairs)}</dl>"


def _rows(heading: tuple[str, str], rows: Sequence[tuple[str, str]], none: str) -> str:
    """A table of cells that are escaped already."""
    if not rows:
        return f'<p class="faint">{none}</p>'
    body = "".join(f'<tr><td>{first}</td><td class="n">{second}</td></tr>' for first, second in rows)
    return f'<table><tr><th>{heading[0]}</th><th class="n">{heading[1]}</th></tr>{body}</table>'


def _left(figures: Mapping[str, float], lane: str) -> str:
    """The share of a lane's burst that is there."""
    return f"{max(0.0, figures[f'budget.{lane}.tokens'] / figures[f'budget.{lane}.burst']):.0%}"


def _seconds(bound: float | None) -> str:
    if bound is None:
        return "–"
    return "over 10 s" if isinf(bound) else f"{bound * 1000:g} ms"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{rest:02}" if days else f"{hours}:{minutes:02}:{rest:02}"
