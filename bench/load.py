"""The load figure: closed-loop answers a second of fastvhost and its peers, beside a C echo in the same run.

    python -m bench.load --runs 5 --seconds 1 --output bench/results/load.json

The cases take turns, so that a slower minute of the machine slows them all.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.cases import CASES, Case, Run, open_cases
from bench.command import parse, parser_of, reported
from bench.peers import peer_versions
from bench.rig import Rig
from tools.table import plain

__all__ = ["HEADINGS", "Summary", "main", "row"]

_LIMIT = "limit"

Summary = dict[str, object]
"""A case of the report, for JSON."""

HEADINGS = (
    "traffic",
    "asked",
    "window",
    "answers/s",
    "lowest",
    "highest",
    "of echo",
    "core used",
    "DNS/answer",
    "lost",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    only = "".join(f" --only {name}" for name in arguments.only or ())
    command = f"python -m bench.load --runs {arguments.runs} --seconds {arguments.seconds:g}{only}"
    with reported(command, arguments.output) as report:
        measured, absent = _measure(
            arguments.runs, arguments.seconds, peers=not arguments.no_peers, only=arguments.only or CASES
        )
        echoes = next((runs for case, runs in measured if case.name == _LIMIT), None)
        summaries = [_summary(case, runs, echoes) for case, runs in measured]
        report.update(peers=peer_versions(), not_measured=absent, cases=summaries)
        print(plain([HEADINGS, *map(row, summaries)]))
    if absent:
        print(f"\nnot installed, not measured: {', '.join(absent)}")
    print(f"\nevery run: {arguments.output}")
    return 0


def row(summary: Summary) -> tuple[str, ...]:
    """A case of the report as a line of the table, under `HEADINGS`."""
    of_echo = summary["of_echo"]
    return (
        str(summary["name"]),
        str(summary["asked"]),
        str(summary["window"]),
        *(f"{summary[name]:,.0f}" for name in ("median", "lowest", "highest")),
        "-" if of_echo is None else f"{of_echo:.3f}",
        f"{summary['core_used']:.2f}",
        f"{summary['queries_per_answer']:.3f}",
        f"{summary['lost']:,}",
    )


def _measure(
    turns: int, seconds: float, *, peers: bool, only: Sequence[str]
) -> tuple[list[tuple[Case, list[Run]]], list[str]]:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        print("starting and warming up", file=sys.stderr)
        rig = Rig(stack, directory)
        cases, absent = stack.enter_context(open_cases(rig, directory, peers=peers, only=only))
        measured: list[tuple[Case, list[Run]]] = [(case, []) for case in cases]
        for turn in range(1, turns + 1):
            for case, runs in measured:
                run = case.measure(seconds)
                said = f"{case.name} of {case.asked}: {run.answers_per_second:,.0f} answers/s"
                print(f"{turn}/{turns} {said}", file=sys.stderr)
                runs.append(run)
        return measured, absent


def _summary(case: Case, runs: Sequence[Run], echoes: Sequence[Run] | None) -> Summary:
    rates = [run.answers_per_second for run in runs]
    answered = sum(run.generator["answered"] for run in runs)
    of_echo = None
    if echoes is not None:
        # Each of two runs of the same turn.
        ratios = (rate / echo.answers_per_second for rate, echo in zip(rates, echoes, strict=True))
        of_echo = round(median(ratios), 4)
    return {
        "name": case.name,
        "asked": case.asked,
        "window": case.window,
        "median": median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "of_echo": of_echo,
        "core_used": median(run.server_core_used for run in runs),
        "queries_per_answer": sum(run.upstream_queries for run in runs) / answered if answered else 0.0,
        "lost": sum(run.lost for run in runs),
        "runs": [asdict(run) for run in runs],
    }


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("load", __doc__)
    add = parser.add_argument
    add("--runs", type=int, default=5, help="of each case (default: %(default)s)")
    add("--seconds", type=float, default=1.0, help="of one run (default: %(default)s)")
    add("--no-peers", action="store_true", help="measure no other servers")
    add("--only", action="append", choices=CASES, help="these cases only; may be given several times")
    return parser


if __name__ == "__main__":
    sys.exit(main())
