"""A busy process on the server's core: what that costs known and unknown hosts.

    python -m bench.neighbour --runs 5 --output bench/results/neighbour.json

Two that want one core have half of it each; what is lost beyond that, the server loses by its ways. Unbound,
where it is installed, shows what a program in C has left.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.command import parse, parser_of, reported
from bench.generator import Load, generate
from bench.open_loop import median_of_known, written
from bench.peers import DNS_PEERS, find_program, start_dns_peer
from bench.processes import pin
from bench.rig import Rig
from tools.table import plain

__all__ = ["main"]

_HITS_RATE = 20_000.0
"""A second, in an open loop."""

_UNKNOWN_WINDOW = 64

_NOT_IN_REAL_TIME = ("setpriv", "--bounding-set=-sys_nice")
"""Without the capability by which root needs no `RLIMIT_RTPRIO`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    name: str
    hits: Load
    unknown: Load | None
    """None: its peer has its own answer for hosts under `.invalid`, and asks nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    server: str
    neighbour: bool
    p50: float | None
    """Of hits, in microseconds, as the others."""
    p99: float | None
    p999: float | None
    lost: int
    unknown_per_second: float | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.neighbour --runs {arguments.runs}"
    with reported(command, arguments.output) as report:
        runs = _measure(arguments.runs)
        report.update(runs=[asdict(run) for run in runs])
        headings = ("server", "neighbour", "hit p50 us", "p99 us", "p99.9 us", "lost", "unknown hosts/s")
        print(plain([headings, *_rows(runs)]))
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(turns: int) -> list[_Run]:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory, ExitStack() as stack:
        rig = Rig(stack, Path(directory))
        servers = list(_servers(rig, stack, Path(directory)))
        runs = []
        for turn in range(1, turns + 1):
            for neighbour in (False, True):
                with _busy_process(rig.server_core) if neighbour else nullcontext():
                    runs += [_run(asked, rig, neighbour=neighbour) for asked in servers]
            print(f"turn {turn} of {turns}", file=sys.stderr)
        return runs


def _servers(rig: Rig, stack: ExitStack, directory: Path) -> Iterator[_Asked]:
    config = rig.config("unlimited", upstream=rig.start_nobody(), given=True)
    forms = {"fastvhost": (), "fastvhost, not in real time": _NOT_IN_REAL_TIME}
    for name, prefix in forms.items():
        if prefix and find_program(prefix[0]) is None:
            continue
        port = rig.start_daemon(config, prefix=prefix).port
        hits = Load(port=port, hosts=rig.hosts, rate=_HITS_RATE)
        unknown = Load(port=port, unknown_share=1.0, window=_UNKNOWN_WINDOW)
        yield _Asked(name=name, hits=hits, unknown=unknown)
    unbound = next(peer for peer in DNS_PEERS if peer.program == "unbound")
    if program := find_program(unbound.program):
        port = start_dns_peer(unbound, program, rig, stack, directory / "unbound").port
        hits = Load(port=port, zone="", hosts=rig.hosts, rate=_HITS_RATE)
        yield _Asked(name=unbound.name, hits=hits, unknown=None)


@contextmanager
def _busy_process(core: int | None) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            pin(process.pid, core)
            yield
        finally:
            process.kill()


def _run(asked: _Asked, rig: Rig, *, neighbour: bool) -> _Run:
    hits: dict[str, Any] = generate(asked.hits, 1.0, rig.other_core)
    latencies = hits["latency_of_known_us"]
    unknown = generate(asked.unknown, 1.0, rig.other_core)["answers_per_second"] if asked.unknown else None
    return _Run(
        server=asked.name,
        neighbour=neighbour,
        p50=latencies["p50"],
        p99=latencies["p99"],
        p999=latencies["p99.9"],
        lost=hits["lost"],
        unknown_per_second=unknown,
    )


def _rows(runs: Sequence[_Run]) -> Iterator[tuple[str, ...]]:
    scenes = dict.fromkeys((run.server, run.neighbour) for run in runs)
    for server, neighbour in scenes:
        of_scene = [run for run in runs if (run.server, run.neighbour) == (server, neighbour)]
        yield (
            server,
            "a busy process" if neighbour else "none",
            *(
                written(median_of_known(getattr(run, figure) for run in of_scene))
                for figure in ("p50", "p99", "p999", "lost", "unknown_per_second")
            ),
        )


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("neighbour", __doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each scene (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
