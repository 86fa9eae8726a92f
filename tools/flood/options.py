"""What load a command line asks for, and where its report goes."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path

from fastvhost.config import Endpoint
from tools.flood.errors import FloodError
from tools.flood.hosts import by_popularity, hosts_of, sources_in
from tools.flood.page import page_of
from tools.flood.plot import draw
from tools.flood.report import Report
from tools.flood.zone_names import names_by_nsec, names_by_transfer, names_in_file
from tools.load import Dialect, Plan
from tools.load.names import read_names

__all__ = [
    "add_load",
    "add_reports",
    "check_reports",
    "hosts_named",
    "names_hosts",
    "plan_of",
    "write_reports",
]

_MOST_SECONDS = 3_600.0
_MOST_REQUESTS = 20_000_000
_DRAWN = 65_536
"""Names that stand for a popularity; then they come again."""


def add_load(parser: argparse.ArgumentParser, *, rate: float, seconds: float) -> None:
    """The options that say who asks for what, and how fast."""
    add = parser.add_argument_group("load").add_argument
    add("--hosts", type=Path, metavar="FILE", help="one HOST, or `HOST SOURCE`, a line; # begins a comment")
    add("--zone-file", type=Path, metavar="FILE", help="the names of a zone file")
    add("--axfr", metavar="ZONE@ADDR", help="the names of a zone, by zone transfer")
    add("--nsec-walk", metavar="ZONE@ADDR", help="the names of a signed zone, along its NSEC records")
    add("--zipf", type=float, metavar="S", help="the first host most, number n by n^-S (default: all alike)")
    add("--random", type=float, default=0.0, metavar="SHARE", help="of hosts never asked before, 0 to 1")
    add("--under", default="invalid", metavar="DOMAIN", help="where these are (default: %(default)s)")
    add("--sources", metavar="NETWORK", help="SIP sources that requests name, by chance")
    add("--rate", type=float, default=rate, metavar="N", help="requests a second (default: %(default)g)")
    add("--even", action="store_true", help="evenly, not as independent callers come (Poisson)")
    add("--seconds", type=float, default=seconds, metavar="S", help="default: %(default)g")
    add("--timeout", type=float, default=1.0, metavar="S", help="then one is lost (default: %(default)g)")


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Where the report goes besides stdout, and whether progress is shown."""
    add = parser.add_argument_group("report").add_argument
    add(
        "--report",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="also .txt, .json, .html, .svg or .png; repeat for more",
    )
    add("--quiet", action="store_true", help="no progress on stderr")


def names_hosts(arguments: argparse.Namespace) -> bool:
    """Whether an option says where hosts are to be taken from, though there may be none."""
    given = (arguments.hosts, arguments.zone_file, arguments.axfr, arguments.nsec_walk)
    return any(one is not None for one in given)


def hosts_named(arguments: argparse.Namespace) -> tuple[bytes, ...]:
    """All hosts of the options, in order; none when none is given.

    Raises:
        FloodError, LoadError: they cannot be read.
    """
    names: list[bytes] = []
    if arguments.hosts is not None:
        names += read_names(arguments.hosts)
    readers: tuple[tuple[object, Callable[[], list[str]]], ...] = (
        (arguments.zone_file, lambda: names_in_file(arguments.zone_file)),
        (arguments.axfr, lambda: names_by_transfer(arguments.axfr)),
        (arguments.nsec_walk, lambda: names_by_nsec(arguments.nsec_walk)),
    )
    for given, read in readers:
        if given is not None:
            names += hosts_of(read())
    return tuple(names)


def plan_of(
    arguments: argparse.Namespace,
    names: tuple[bytes, ...],
    server: Endpoint,
    dialect: Dialect,
    *,
    beyond_loopback: bool = False,
) -> Plan:
    """The plan for `names`.

    Raises:
        FloodError, LoadError: it asks for what cannot be, or for too much.
    """
    rate, seconds = arguments.rate, arguments.seconds
    if not 0.0 < seconds <= _MOST_SECONDS:
        raise FloodError(f"--seconds {seconds:g}: over 0, at most {_MOST_SECONDS:,.0f}")
    if not 0.0 < rate * seconds <= _MOST_REQUESTS:
        raise FloodError(f"--rate {rate:g} for {seconds:g} s: over 0 and at most {_MOST_REQUESTS:,} requests")
    if arguments.sources is not None and any(b" " in name for name in names):
        raise FloodError("--sources: some of the hosts have a source already")
    if arguments.zipf is not None:
        names = by_popularity(names, arguments.zipf, _DRAWN)
    return Plan(
        server=server,
        beyond_loopback=beyond_loopback,
        dialect=dialect,
        names=names,
        unknown_share=arguments.random,
        under=arguments.under,
        sources=() if arguments.sources is None else sources_in(arguments.sources),
        rate=rate,
        poisson=not arguments.even,
        seconds=None,
        count=ceil(rate * seconds),
        timeout=arguments.timeout,
    )


def check_reports(paths: list[Path]) -> None:
    """Before load is sent: can these be written?

    Raises:
        FloodError: a suffix is none of those that there are, or a folder does not exist.
    """
    for path in paths:
        if path.suffix not in _WRITERS:
            raise FloodError(f"--report {path}: the suffix is one of {', '.join(_WRITERS)}")
        if not path.parent.is_dir():
            raise FloodError(f"--report {path}: no such folder")


def write_reports(report: Report, paths: list[Path]) -> None:
    """Text on stdout, and each file.

    Raises:
        FloodError: one cannot be written.
    """
    print(report)
    for path in paths:
        try:
            _WRITERS[path.suffix](report, path)
        except OSError as error:
            raise FloodError(f"--report {path}: {error.strerror or error}") from error
        print(f"{path} written", file=sys.stderr)


_WRITERS: Mapping[str, Callable[[Report, Path], object]] = {
    ".txt": lambda report, path: path.write_text(f"{report}\n"),
    ".json": lambda report, path: path.write_text(json.dumps(report.as_json(), indent=1) + "\n"),
    ".html": lambda report, path: path.write_text(page_of(report)),
    ".svg": draw,
    ".png": draw,
}
