"""The figures of bench/results as plots there, and as tables in bench/README.md between two marks.

    python -m bench.report

Each table says when and where its figures were measured; what has not been measured is left out.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import HEADINGS as LOAD_HEADINGS
from bench.load import row as load_row
from bench.open_loop import HEADINGS as LATENCY_HEADINGS
from bench.open_loop import Latency
from bench.plots import draw_latencies, draw_rates
from tools.table import markdown

__all__ = ["main", "tables", "with_tables"]

_HERE = Path(__file__).parent
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"

Report = dict[str, Any]
"""What one of the benchmarks wrote."""


def main(argv: Sequence[str] | None = None) -> int:
    """Draw and write; exit 2 and one line when the README has no place for the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=_HERE / "results", metavar="DIRECTORY")
    parser.add_argument("--readme", type=Path, default=_HERE / "README.md", metavar="FILE")
    arguments = parser.parse_args(argv)
    results: Path = arguments.results
    paths = [results / f"{name}.json" for name in _SECTIONS]
    try:
        reports = {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}
    except ValueError as error:
        print(f"bench.report: {results}: {error}", file=sys.stderr)
        return 2
    if "micro" in reports:
        micro = _without_timings(reports["micro"])
        (results / "micro.json").write_text(json.dumps(micro, indent=1) + "\n")
    if "load" in reports:
        draw_rates(reports["load"]["cases"], results / "load.svg")
    for name in ("latency", "million"):
        if name in reports:
            draw_latencies(reports[name]["medians"], results / f"{name}.svg")
    try:
        arguments.readme.write_text(with_tables(arguments.readme.read_text(), tables(reports)))
    except ValueError as error:
        print(f"bench.report: {arguments.readme}: {error}", file=sys.stderr)
        return 2
    return 0


def with_tables(readme: str, text: str) -> str:
    """`readme` with `text` between its marks.

    Raises:
        ValueError: it has not got both, in order.
    """
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no {_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def tables(reports: dict[str, Report]) -> str:
    """All that was measured, in Markdown."""
    return "\n".join(
        f"### {title}\n\n{_circumstances(reports[name])}\n\n{section(reports[name])}\n"
        for name, (title, section) in _SECTIONS.items()
        if name in reports
    )


def _circumstances(report: Report) -> str:
    if "command" not in report:  # pytest-benchmark's own report
        machine, commit = report["machine_info"], report["commit_info"]["id"][:12]
        processor, python = machine["cpu"].get("brand_raw", "processor unknown"), machine["python_version"]
        return f"{report['datetime'][:10]}, commit {commit}, {processor}, Python {python}."
    machine, versions = report["machine"], report["versions"]
    load = ", ".join(f"{value:.1f}" for value in report["load_average"])
    return (
        f"`{report['command']}`, {report['date'][:10]}, commit {_short(report['commit'])}, "
        f"{machine['cores']} cores ({machine['processor']}, {machine['system']}), "
        f"{', '.join(f'{name} {version}' for name, version in versions.items() if name != 'fastvhost')}; "
        f"load averages at the start: {load}."
    )


def _short(commit: str) -> str:
    """Twelve digits, and whether there were changes."""
    digits, plus, changes = commit.partition("+")
    return f"{digits[:12]}{plus}{changes}"


def _load(report: Report) -> str:
    absent = report["not_measured"]
    note = f"\n\nNot installed, not measured: {', '.join(absent)}." if absent else ""
    peers = "; ".join(f"{name}: {version}" for name, version in report["peers"].items())
    versions = f"\n\n{peers}." if peers else ""
    return markdown([LOAD_HEADINGS, *map(load_row, report["cases"])]) + versions + note


def _latency(report: Report) -> str:
    return markdown([LATENCY_HEADINGS, *(Latency(**one).row() for one in report["medians"])])


def _million(report: Report) -> str:
    memory = report["memory"]
    return (
        f"Resident with {memory['entries']:,} entries: {memory['resident_mb']:,.0f} MB; "
        f"{memory['resident_mb_before']:,.0f} before, so {memory['octets_an_entry']:,.0f} octets an entry. "
        f"Filled by {memory['walks_per_second']:,.0f} walks a second.\n\n{_latency(report)}"
    )


def _start(report: Report) -> str:
    rows = [
        (store, *(f"{1e3 * value:,.0f}" for value in (median(took), min(took), max(took))))
        for store, took in report["seconds"].items()
    ]
    return markdown([("store", "ms to the first answer", "lowest", "highest"), *rows])


def _micro(report: Report) -> str:
    rows = []
    for one in report["benchmarks"]:
        walks = one["extra_info"].get("walks", 1)
        rows.append((one["name"].removeprefix("test_"), f"{1e6 * one['stats']['median'] / walks:,.2f}"))
    return markdown([("micro-benchmark", "median, us"), *rows])


def _without_timings(report: Report) -> Report:
    """pytest-benchmark writes every single timing: megabytes."""
    for one in report["benchmarks"]:
        one["stats"].pop("data", None)
    return report


_SECTIONS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "load": ("Answers a second", _load),
    "latency": ("Latency of hits", _latency),
    "million": ("A million entries", _million),
    "start": ("Start", _start),
    "micro": ("Micro-benchmarks", _micro),
}
"""By the name of the file, in the order of the README."""


if __name__ == "__main__":
    sys.exit(main())
