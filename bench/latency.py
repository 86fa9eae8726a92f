"""Latency of hits over PDB at 10, 50 and 80 % of capacity: alone, and while unknown hosts flood in.

    python -m bench.latency --runs 7 --seconds 1 --output bench/results/latency.json

The limits are the default ones, so that nearly all of a flood is refused. A full-rate flood is as much as
takes the server to 90 % of what it can do: beyond all that it can do, every queue grows for ever.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.command import parse, parser_of, reported
from bench.generator import Load
from bench.open_loop import SHARES, Latency, capacity, latency, print_medians
from bench.rig import Rig

__all__ = ["main"]

_STEADY_FLOOD = 5_000.0
"""Unknown hosts a second: five times what `limits.upstream_qps` lets through."""

_BUSY = 0.9
"""The part of the server's time that hits and a full-rate flood take together."""

_FLOOD_WINDOW = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.latency --runs {arguments.runs} --seconds {arguments.seconds:g}"
    with reported(command, arguments.output) as report:
        most, runs = _measure(arguments.runs, arguments.seconds)
        report.update(capacity=most, **print_medians(runs))
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(turns: int, seconds: float) -> tuple[dict[str, float], list[Latency]]:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory, ExitStack() as stack:
        rig = Rig(stack, Path(directory))
        daemon = rig.start_daemon(
            rig.config("limited", limited=True, given=True, upstream=rig.start_nobody())
        )
        hits = Load(port=daemon.port, hosts=rig.hosts)
        flood = Load(port=daemon.port, unknown_share=1.0, window=_FLOOD_WINDOW)
        most_unknown = capacity(flood, rig, seconds)
        runs, capacities = [], []
        for turn in range(1, turns + 1):
            # Anew each time: a virtual machine is faster in one minute than in the next.
            most = capacity(hits, rig, seconds)
            capacities.append(most)
            print(f"capacity: {most:,.0f} hits/s, or {most_unknown:,.0f} unknown hosts/s", file=sys.stderr)
            for share in SHARES:
                floods = {
                    "alone": 0.0,
                    f"flood, {_STEADY_FLOOD:,.0f}/s": _STEADY_FLOOD,
                    "flood, full rate": (_BUSY - share) * most_unknown,
                }
                for scene, unknown_rate in floods.items():
                    run = latency(
                        hits,
                        daemon,
                        rig,
                        seconds,
                        scene=scene,
                        share=share,
                        rate=share * most,
                        unknown_rate=unknown_rate,
                    )
                    print(f"{turn}/{turns} {share:.0%} {scene}: p99 {run.p99} us", file=sys.stderr)
                    runs.append(run)
        return {"hits": median(capacities), "unknown": most_unknown}, runs


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("latency", __doc__)
    add = parser.add_argument
    add("--runs", type=int, default=7, help="of each scene (default: %(default)s)")
    add("--seconds", type=float, default=1.0, help="of one run (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
