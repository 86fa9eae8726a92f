"""The load figure: closed-loop answers a second of hits, misses and both, beside a C echo in the same run.

    python -m bench.load --runs 5 --seconds 2.5 --output bench/results/load.json

The cases take turns, so that a slower minute of the machine slows them all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.machine import circumstances
from bench.processes import BenchError
from bench.rig import HOSTS, Case, Rig, Run
from tools.load import LoadError

__all__ = ["main"]

_RESULTS = Path(__file__).with_name("results") / "load.json"
_LIMIT = "echo"


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = _parser().parse_args(argv)
    report = circumstances(f"python -m bench.load --runs {arguments.runs} --seconds {arguments.seconds:g}")
    try:
        measured = _measure(arguments.runs, arguments.seconds)
    except (BenchError, LoadError, OSError, subprocess.SubprocessError) as error:
        print(f"bench.load: {error}", file=sys.stderr)
        return 2
    report["cases"] = {case.name: asdict(case) | _summary(runs, measured) for case, runs in measured.items()}
    print(_table(measured))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(turns: int, seconds: float) -> dict[Case, list[Run]]:
    measured: dict[Case, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory, ExitStack() as stack:
        rig = Rig(stack, Path(directory))
        print(f"warming up: {HOSTS:,} hosts", file=sys.stderr)
        rig.warm_up()
        for turn in range(1, turns + 1):
            for case, server in rig.cases():
                run = rig.measure(case, server, seconds)
                print(f"{turn}/{turns} {case.name}: {run.answers_per_second:,.0f} answers/s", file=sys.stderr)
                measured.setdefault(case, []).append(run)
    return measured


def _summary(runs: Sequence[Run], measured: Mapping[Case, Sequence[Run]]) -> dict[str, object]:
    rates = _rates(runs)
    return {
        "median": median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "of_echo": _of_echo(runs, measured),
        "runs": [asdict(run) for run in runs],
    }


def _of_echo(runs: Sequence[Run], measured: Mapping[Case, Sequence[Run]]) -> float | None:
    """The median of the ratios, each of two runs of the same turn; None without an echo."""
    echoes = next((echoes for case, echoes in measured.items() if case.name == _LIMIT), None)
    if echoes is None:
        return None
    pairs = zip(_rates(runs), _rates(echoes), strict=True)
    return round(median(rate / limit for rate, limit in pairs), 4)


def _table(measured: Mapping[Case, Sequence[Run]]) -> str:
    rows = [
        ("case", "window", "answers/s", "lowest", "highest", "of echo", "core used", "DNS/answer", "lost")
    ]
    for case, runs in measured.items():
        rates = _rates(runs)
        of_echo = _of_echo(runs, measured)
        answered = sum(run.generator["answered"] for run in runs)
        rows.append(
            (
                case.name,
                str(case.window),
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f}",
                f"{max(rates):,.0f}",
                "-" if of_echo is None else f"{of_echo:.3f}",
                f"{median(run.server_core_used for run in runs):.2f}",
                f"{sum(run.upstream_queries for run in runs) / answered:.3f}",
                f"{sum(run.lost for run in runs):,}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _rates(runs: Iterable[Run]) -> list[float]:
    return [run.answers_per_second for run in runs]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.5, help="of one run (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=_RESULTS, metavar="FILE", help="the JSON report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
