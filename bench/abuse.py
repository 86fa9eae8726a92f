"""Every attack of docs/abuse.md in one run: what it costs DNS and memory, and whether known hosts feel it.

    python -m bench.abuse --seconds 4 --output bench/results/abuse.json

Exit status: 0; 1 when a verdict was wrong or a cap passed; 2 when a part did not come up.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import trio

from bench.abuse_attacks import ATTACKS, Attack
from bench.abuse_rig import PEERS, RESOLVERS, Measured, Resolver, measure
from bench.abuse_unbound import has_unbound
from bench.command import parse, parser_of, reported
from bench.fan_out import cost_rows
from bench.scan import scan_rows
from bench.sources import source_rows
from fastvhost.resolve.account import MAX_OCTETS, MAX_QUERIES

__all__ = ["holds", "main", "table"]

_SPOOFED = 200_000
_SCANNED = (0, 10)
_HEADINGS = (
    "attack", "asked of", "attack/s", "DNS/s", "cap", "p99 ms", "lost", "core", "waited", "MiB", "wrong"
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; one table on stdout, JSON in a file."""
    arguments = parse(_parser(), argv)
    rows = []
    command = f"python -m bench.abuse --seconds {arguments.seconds:g}"
    with reported(command, arguments.output) as report:
        for attack, resolver in _runs(arguments.only):
            rows.append(measure(attack, resolver, arguments.seconds))
            print(f"{resolver}: {attack.name}", file=sys.stderr)
        report["runs"] = [asdict(row) | {"holds": row.holds} for row in rows]
        print(table(rows))
        if arguments.only is None:
            report["parts"] = parts = _parts()
            print(*parts, sep="\n")
    print(f"\nevery figure: {arguments.output}")
    return 0 if holds(rows) else 1


def _runs(only: str | None) -> Iterator[tuple[Attack, Resolver]]:
    """Each attack on each resolver that can be attacked so."""
    resolvers = [resolver for resolver in RESOLVERS if has_unbound() or not resolver.startswith("Unbound")]
    for resolver in resolvers:
        for attack in ATTACKS:
            if (attack.peers or resolver not in PEERS) and only in (None, attack.name):
                yield attack, resolver


def holds(rows: Sequence[Measured]) -> bool:
    """Whether fastvhost held in every row; its peers may do as they like."""
    return all(row.holds for row in rows if row.resolver.startswith("fastvhost"))


def table(rows: Sequence[Measured]) -> str:
    """One line a run."""
    cells = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cells(row: Measured) -> tuple[str, ...]:
    return (
        row.attack,
        row.resolver,
        f"{row.rate:,.0f}",
        f"{row.queries:,.0f}",
        "none" if row.allowed is None else f"{row.allowed:,.0f}",
        "-" if row.p99_ms is None else f"{row.p99_ms:,.1f}",
        f"{row.lost:,}",
        f"{row.core_used:.2f}",
        f"{row.waited:.2f}",
        f"{row.memory / 2**20:,.0f}",
        f"{row.wrong:,}",
    )


def _parts() -> list[str]:
    """What other figures say of the same attacks, a line each."""
    costs = trio.run(cost_rows)
    queries, octets = max(cost.queries for cost in costs), max(cost.octets for cost in costs)
    dearest = (
        f"fan-out: the dearest of {len(costs)} hostile zones cost {queries} queries of {MAX_QUERIES} and "
        f"{octets:,} octets of {MAX_OCTETS:,} a walk"
    )
    lines = [dearest]
    lines += [
        f"sources: {row.kind}: {row.walks:,} walks of {row.asked:,} asked for"
        for row in source_rows(sources=_SPOOFED)
    ]
    lines += [
        f"scan: {row.scanned_per_honest} names an honest look-up: {row.scan_resistant:.3f} of these from the "
        f"cache, {row.lru:.3f} with a plain LRU"
        for row in scan_rows(scanned_per_honest=_SCANNED)
    ]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("abuse", __doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=4.0, help="of the good caller in each run (default: %(default)s)")
    add("--only", choices=[attack.name for attack in ATTACKS], metavar="ATTACK", help="run this one alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
