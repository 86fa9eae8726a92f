"""The play as a command: lab, daemon, hosts made known, load with the script, report."""

import argparse
import gc
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fastvhost.config import Endpoint
from fastvhost.config_file import load_config
from fastvhost.errors import ConfigError
from fastvhost.model import VerdictKind
from fastvhost.one_line_parser import OneLineParser
from tools.dnslab import LabError, read_script
from tools.flood.errors import FloodError
from tools.flood.options import (
    add_load,
    add_reports,
    check_reports,
    hosts_named,
    names_hosts,
    plan_of,
    write_reports,
)
from tools.flood.report import Report
from tools.flood.running import flood
from tools.load import LoadError, Pdb, Plan, run_load
from tools.whatif.rig import open_rig
from tools.whatif.zone import hosted_zone, made_up_hosts

__all__ = ["main"]

_SCRIPT = "15 s: silent; 45 s: normal"
_HOSTS = 500
_TTL = 30
_WARM_UP_RATE = 100.0
"""Walks a second that the default of `limits.upstream_qps` has room for."""
_WARM_UP_ROUNDS = 10
_MOST_TTL = 86_400
_UNSET = Endpoint("127.0.0.1", 0)
"""Until the daemon has a port."""
_INTERRUPTED = 130
_TERMINATED = 143
"""What a shell makes of SIGINT and SIGTERM."""

_EPILOG = """\
example:
  python -m tools.whatif --config fastvhost.toml --script '10 s: slow 2 s; 20 s: silent; 40 s: normal' \\
      --random 0.2 --seconds 60 --report outage.html

The daemon has your configuration, but asks the lab, listens on free ports of loopback, tells no proxy, and
has no store of yours. The lab says that the hosts are yours, for --ttl seconds, and that no others exist;
with --zone-file it serves that zone instead. Once all hosts have been asked for, load and script begin.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, and exits 2 on bad usage or where a part does not start.

    SIGTERM exits 143 as SIGINT returns 130: once lab and daemon have ended and their files are gone.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        check_reports(arguments.report)
        with _unwound_by_sigterm():
            report = _play(arguments)
        write_reports(report, arguments.report)
    except (FloodError, LoadError, LabError, ConfigError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Within, SIGTERM raises SystemExit, once: by itself it would end us without leaving any block."""

    def unwind(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the clean-up short
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _play(arguments: argparse.Namespace) -> Report:
    config = load_config(arguments.config)
    read_script(arguments.script)
    if not 0 <= arguments.ttl <= _MOST_TTL:
        raise FloodError(f"--ttl {arguments.ttl}: 0 to {_MOST_TTL:,}")
    names = hosts_named(arguments) if names_hosts(arguments) else made_up_hosts(_HOSTS)
    plan = plan_of(arguments, names, _UNSET, Pdb())
    with tempfile.TemporaryDirectory(prefix="fastvhost-whatif-") as name:
        folder = Path(name)
        zone: Path | None = arguments.zone_file
        if zone is None:
            zone = folder / "zone"
            zone.write_text(hosted_zone(config.own, names, ttl=arguments.ttl))
        store = f"sqlite:///{folder}/store.db" if arguments.learn else ""
        with open_rig(arguments.config, zone, arguments.script, folder, store=store) as rig:
            plan = replace(plan, server=rig.pdb)
            hosted, asked = _warm_up(plan)
            print(f"{hosted:,} of {asked:,} hosts are HOSTED; load and script begin", file=sys.stderr)
            return flood(
                plan,
                title=f"{arguments.config.name} on a DNS that fails",
                admin=rig.admin,
                begin=rig.start_script,
                marks=rig.marks,
                progress=None if arguments.quiet else sys.stderr,
            )


def _warm_up(plan: Plan) -> tuple[int, int]:
    """Ask for each host, again until all are HOSTED, ten times at most; return how many are, of how many."""
    names = tuple({name.partition(b" ")[0]: None for name in plan.names})
    if not names:
        return 0, 0
    calm = Plan(server=plan.server, names=names, rate=_WARM_UP_RATE, seconds=None, count=len(names))
    for _ in range(_WARM_UP_ROUNDS):
        hosted = run_load(calm).verdicts[VerdictKind.HOSTED]
        if hosted == len(names):
            break
    return hosted, len(names)


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="whatif", description="What if DNS fails at peak? Your configuration, tried.", epilog=_EPILOG
    )
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="what fastvhost serve would be given",
    )
    add("--script", default=_SCRIPT, metavar="SCRIPT", help="of tools.dnslab (default: '%(default)s')")
    add("--ttl", type=int, default=_TTL, metavar="S", help="of the lab's records (default: %(default)s)")
    add("--learn", action="store_true", help="with a store, new and empty, for domains that are learned")
    add_load(parser, rate=500.0, seconds=60.0)
    add_reports(parser)
    return parser


if __name__ == "__main__":
    gc.disable()  # nothing here makes cycles, and a collection in the midst would be measured as the server's
    sys.exit(main())
