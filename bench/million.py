"""A million hosts that are not ours in the cache: memory, and whether latencies show garbage collections.

    python -m bench.million --entries 1_000_000 --output bench/results/million.json

Each of them is a walk of one query to the lab server, over PDB. Hits are timed before and after, while 1,000
new hosts are asked for each second, so that verdicts are made and dropped all along.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.command import Report, parse, parser_of, reported
from bench.generator import Load, generate
from bench.open_loop import capacity, latencies, print_medians
from bench.processes import BenchError
from bench.rig import Rig

__all__ = ["main"]

_GOAL_MB = 350
_MB = 1e6
_NEW_HOSTS_PER_SECOND = 1_000.0
_WINDOW = 512
"""Walks under way while the cache fills; below the share of `limits.upstream_inflight` that they may have."""

_MOST_OF_THEM = 0.9
"""The part of the new hosts that must be NOT_HOSTED."""

_SLOWEST = 1_000
"""Walks a second below which the filling is given up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.million --entries {arguments.entries} --runs {arguments.runs}"
    with reported(f"{command} --seconds {arguments.seconds:g}", arguments.output) as report:
        report.update(_measure(arguments.entries, arguments.runs, arguments.seconds))
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(entries: int, turns: int, seconds: float) -> Report:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory, ExitStack() as stack:
        rig = Rig(stack, Path(directory))
        daemon = rig.start_daemon(rig.config("million", given=True, upstream=rig.start_nobody()))
        hits = Load(port=daemon.port, hosts=rig.hosts)
        most = capacity(hits, rig, seconds)
        measure = partial(
            latencies, hits, daemon, rig, seconds, turns=turns, most=most, unknown_rate=_NEW_HOSTS_PER_SECOND
        )
        few = measure(scene="few entries")
        before = daemon.resident_octets()
        started = time.perf_counter()
        fill = Load(port=daemon.port, unknown_share=1.0, window=_WINDOW, count=entries)
        print(f"asking for {entries:,} new hosts, some minutes", file=sys.stderr)
        verdicts = generate(fill, entries / _SLOWEST, rig.other_core)["verdicts"]
        took = time.perf_counter() - started
        # On a busy machine a few are lost or PENDING, which is no reason to throw all away.
        decided = verdicts.get("NOT_HOSTED", 0)
        if decided < _MOST_OF_THEM * entries:
            raise BenchError(f"of {entries:,} new hosts the verdicts are {verdicts}")
        after = daemon.resident_octets()
        many = measure(scene=f"{decided:,} entries")
        figures = {
            "entries": decided,
            "resident_mb_before": before / _MB,
            "resident_mb": after / _MB,
            "octets_an_entry": (after - before) / decided,
            "resident_mb_at_most": daemon.most_resident_octets() / _MB,
            "fill_seconds": took,
            "walks_per_second": decided / took,
        }
    latency = print_medians([*few, *many])
    print(f"\nresident: {after / _MB:,.0f} MB, goal: {_GOAL_MB} for a million; before: {before / _MB:,.0f}")
    print(f"an entry: {figures['octets_an_entry']:,.0f} octets; {decided / took:,.0f} walks/s")
    return {"capacity": most, "memory": figures, **latency}


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("million", __doc__)
    add = parser.add_argument
    add("--entries", type=int, default=1_000_000, metavar="N", help="hosts (default: %(default)s)")
    add("--runs", type=int, default=3, help="of each rate (default: %(default)s)")
    add("--seconds", type=float, default=1.5, help="of one run (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
