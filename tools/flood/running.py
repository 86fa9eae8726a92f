"""One load test: the run, watched second by second, and what is made of it."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from fastvhost.config import Endpoint
from tools.dnslab.marks import Mark
from tools.flood.report import Report
from tools.flood.timeline import Event, Interval, Timeline
from tools.flood.upstream import Upstream, queries_between
from tools.load import Figures, Plan, run_load

__all__ = ["flood"]


def flood(
    plan: Plan,
    *,
    title: str,
    admin: Endpoint | None,
    begin: Callable[[], None] | None = None,
    marks: Callable[[], Sequence[Mark]] = tuple,
    progress: TextIO | None = sys.stderr,
) -> Report:
    """Run `plan`, and report. Blocks.

    Args:
        title: what was asked, for the report.
        admin: the admin face of the daemon, for what it asks of DNS.
        begin: called right before the first request.
        marks: what changed meanwhile; asked for when the run has ended.
        progress: where a line is written about once a second.

    Raises:
        LoadError: nothing listens there, or a name cannot be asked for.
    """
    timeline = Timeline()

    def observe(figures: Figures, at: float) -> None:
        interval = timeline.observe(figures, at)
        if progress is not None:
            _show(interval, plan, progress)

    with Upstream(admin) as upstream:
        figures = run_load(plan, progress=observe, begin=begin)
        ended = datetime.now(UTC)
    began = figures.began.timestamp()
    observe(figures, ended.timestamp() - began)
    if progress is not None and progress.isatty():
        print(file=progress)
    intervals = timeline.finished(
        lambda start, end: queries_between(upstream.samples, began + start, began + end)
    )
    return Report(
        title=title,
        plan=plan,
        strays=figures.strays,
        intervals=intervals,
        events=_events(marks(), began, intervals[-1].end),
        cap=upstream.cap,
        why_unknown=upstream.why_unknown,
    )


def _events(marks: Sequence[Mark], began: float, seconds: float) -> tuple[Event, ...]:
    """Those within the run; of those before it the last, which held at its start."""
    events = sorted((mark.instant.timestamp() - began, mark.text) for mark in marks)
    held = [Event(0.0, text) for at, text in events if at <= 0.0][-1:]
    return (*held, *(Event(at, text) for at, text in events if 0.0 < at < seconds))


def _show(interval: Interval, plan: Plan, progress: TextIO) -> None:
    """One line, over the one before on a terminal."""
    verdicts = interval.known + interval.random
    told = ", ".join(f"{plan.dialect.describe(value)} {count:,}" for value, count in verdicts.most_common())
    latency = interval.latency_of_known.merged(interval.latency_of_random)
    p99 = latency.percentile(99.0)
    line = (
        f"{interval.end:5.0f} s  {interval.sent:,} sent, {interval.lost:,} lost: {told or 'no reply'}; "
        f"p99 {'-' if p99 is None else f'{1e3 * p99:.2f} ms'}"
    )
    if progress.isatty():
        print(f"\r\x1b[K{line}", end="", file=progress, flush=True)
    else:
        print(line, file=progress, flush=True)
