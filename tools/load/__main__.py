"""The load generator as a process; figures on stdout."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path

from fastvhost.errors import ConfigError
from fastvhost.one_line_parser import OneLineParser
from tools.load.errors import LoadError
from tools.load.face import add_face, face_of
from tools.load.names import read_names
from tools.load.plan import MAX_BURST, Plan
from tools.load.run import run_load, run_together

__all__ = ["main"]

_NOTHING_ANSWERED = 1
_SECONDS = 5.0
_BURST_SECONDS = 1e-3

_EPILOG = """\
examples:
  python -m tools.load --hosts hosts.txt --seconds 5             hits, as fast as they are answered
  python -m tools.load --unknown 1 --window 64 --count 10000     hosts that nobody has asked before
  python -m tools.load --hosts hosts.txt --unknown 0.1 --rate 20000 --json
  python -m tools.load --hosts hosts.txt --rate 20000 --flood 5000     hits, while somebody else floods
  python -m tools.load --dns --hosts hosts.txt                      the same hosts by DNS

exit status: 0; 1 when not one reply came; 2 usage, or nothing listens there
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 or 1, and exits 2 on bad usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        plans, batched = _plans(arguments), False if arguments.plain else None
        runs = run_together(plans, batched=batched) if plans[1:] else [run_load(plans[0], batched=batched)]
    except (LoadError, ConfigError) as error:
        parser.error(str(error))
    figures, *of_flood = runs
    if arguments.json:
        said = figures.as_json()
        if of_flood:
            said["flood"] = of_flood[0].as_json()
        print(json.dumps(said))
    else:
        print("\nand of the flood beside it:\n".join(map(str, runs)))
    return 0 if figures.answered else _NOTHING_ANSWERED


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    """What is asked, and the flood beside it."""
    names = () if arguments.hosts is None else read_names(arguments.hosts)
    seconds: float | None = arguments.seconds
    if seconds is None and arguments.count is None:
        seconds = _SECONDS
    server, dialect = face_of(arguments)
    plan = Plan(
        server=server,
        dialect=dialect,
        names=names,
        unknown_share=arguments.unknown,
        under=arguments.under,
        window=arguments.window,
        rate=arguments.rate,
        seconds=seconds,
        count=arguments.count,
        timeout=arguments.timeout,
        rehearse=arguments.rehearse,
    )
    if not arguments.flood:
        return [plan]
    if plan.rate is None:
        raise LoadError("--flood is beside an open loop: --rate")
    lasts = min(inf if seconds is None else seconds, inf if plan.count is None else plan.count / plan.rate)
    flood = Plan(
        server=server,
        dialect=dialect,
        unknown_share=1.0,
        under=arguments.under,
        rate=arguments.flood,
        # A thousand bursts a second: one by one they would keep the generator from the hits.
        burst=max(1, min(round(arguments.flood * _BURST_SECONDS), MAX_BURST)),
        seconds=lasts,
        timeout=arguments.timeout,
    )
    return [plan, flood]


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="load",
        description="Load on a fastvhost, or another DNS server, on this machine: by PDB or by DNS.",
        epilog=_EPILOG,
    )
    add_face(parser)
    add = parser.add_argument
    add("--hosts", type=Path, metavar="FILE", help="one HOST or `HOST SOURCE` a line; # begins a comment")
    add("--unknown", type=float, default=0.0, metavar="SHARE", help="of random hosts, 0 to 1 (default: 0)")
    add("--under", default="invalid", metavar="DOMAIN", help="where random hosts are (default: %(default)s)")
    add("--window", type=int, default=128, metavar="N", help="requests outstanding (default: %(default)s)")
    add("--rate", type=float, metavar="N", help="requests a second, whatever comes back: an open loop")
    add(
        "--flood",
        type=float,
        default=0.0,
        metavar="N",
        help="beside --rate: N random hosts a second, from another socket; their latencies are to 1 ms",
    )
    add("--seconds", type=float, metavar="S", help="end after this time (default: 5, without --count)")
    add("--count", type=int, metavar="N", help="end after this many requests")
    add("--timeout", type=float, default=1.0, metavar="S", help="then one is lost (default: %(default)s)")
    add("--rehearse", action="store_true", help="ask for all once before, and do not measure that")
    add("--plain", action="store_true", help="one system call a datagram")
    add("--json", action="store_true", help="one line of JSON")
    return parser


if __name__ == "__main__":
    gc.disable()  # nothing here makes cycles, and a collection in the midst would be measured as the server's
    sys.exit(main())
