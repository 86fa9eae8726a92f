"""A real Kamailio that asks fastvhost, beside one that asks DNS itself: the same calls, the same DNS.

    python -m bench.proxies --runs 3 --seconds 10 --output bench/results/proxies.json

Kamailio asks only the servers of /etc/resolv.conf, on port 53. So all of it runs in a network and a mount
namespace of its own, with its own resolv.conf; that takes root, or a system that lets users make namespaces.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict

from bench.command import parse, parser_of, reported
from bench.proxies_plot import draw
from bench.proxies_rig import CHILDREN, PROXIES, RATE, SCENES, Measured, measure
from tests.kamailio_server import KamailioError
from tests.sipp import SippError

__all__ = ["main"]

_INSIDE = "FASTVHOST_BENCH_NAMESPACE"
"""Set in the environment of the process that is in the namespaces."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON and a plot in files. Exit 2 and a line where a part does not start."""
    arguments = parse(_parser(), argv)
    if _INSIDE not in os.environ:
        return _in_namespaces(sys.argv[1:] if argv is None else list(argv))
    command = f"python -m bench.proxies --runs {arguments.runs} --seconds {arguments.seconds}"
    with reported(command, arguments.output, KamailioError, SippError) as report:
        _set_up_namespaces()
        measured = [
            measure(scene, proxy, arguments.seconds, turn)
            for turn in range(1, arguments.runs + 1)
            for scene in SCENES
            for proxy in PROXIES
        ]
        report.update(kamailio=_kamailio_version(), children=CHILDREN, calls_per_second=RATE)
        report["runs"] = [asdict(run) for run in measured]
        print(_table(measured))
    draw(measured, arguments.output.with_suffix(".svg"))
    print(f"\nevery run: {arguments.output}; plot: {arguments.output.with_suffix('.svg')}")
    return 0


def _in_namespaces(arguments: list[str]) -> int:
    unshare = shutil.which("unshare")
    if unshare is None:
        print("bench.proxies: unshare is not installed (Debian: util-linux)", file=sys.stderr)
        return 2
    command = [unshare, "-n", "-m", *(["-r"] if os.geteuid() else []), "--"]
    command += [sys.executable, "-m", "bench.proxies", *arguments]
    return subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode


def _set_up_namespaces() -> None:
    """Loopback up, and a resolv.conf that nobody outside sees."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ExitStack() as stack:
        # A bind mount outlives the name of the file, and ends with the namespace.
        resolv = stack.enter_context(tempfile.NamedTemporaryFile("w"))
        resolv.write("nameserver 127.0.0.1\n")
        resolv.flush()
        subprocess.run(["mount", "--bind", resolv.name, "/etc/resolv.conf"], check=True)


def _kamailio_version() -> str:
    said = subprocess.run(["kamailio", "-v"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].removeprefix("version: ")


def _table(measured: Sequence[Measured]) -> str:
    rows = [("scene", "proxy", "run", "hosted", "200", "other", "lost", "p50 ms", "p99 ms", "in time/s")]
    rows += [
        (
            run.scene,
            run.proxy,
            str(run.turn),
            f"{run.sent:,}",
            f"{run.served:,}",
            f"{run.refused:,}",
            f"{run.lost:,}",
            _milliseconds(run.p50),
            _milliseconds(run.p99),
            f"{run.in_time_per_second:.0f}",
        )
        for run in sorted(measured, key=lambda run: (SCENES.index(run.scene), run.proxy, run.turn))
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _milliseconds(value: int | None) -> str:
    return "lost" if value is None else f"{value:,}"


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("proxies", __doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of calls in a run (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
