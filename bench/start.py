"""The time from exec to the first right answer, without a store and with SQLite.

    python -m bench.start --runs 10 --output bench/results/start.json

The answer is HOSTED, over PDB, for a host that the daemon has to look up; it is asked for all along. The
byte code is there, as where pip has installed the program.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

from bench.command import parse, parser_of, reported
from bench.processes import BenchError, free_port, on_core
from bench.rig import Rig
from fastvhost.faces.pdb_codec import read_reply, write_request
from fastvhost.model import VerdictKind
from tools.table import plain

__all__ = ["first_answer", "main", "with_byte_code"]

_GOAL_SECONDS = 0.4
_GIVE_UP_SECONDS = 30.0
_ASK_EVERY_SECONDS = 0.002
_REQUEST = write_request(b"h10000.hosted.example", 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.start --runs {arguments.runs}"
    with reported(command, arguments.output) as report:
        measured = _measure(arguments.runs)
        report.update(goal_seconds=_GOAL_SECONDS, seconds=measured)
        rows = [
            (store, *(f"{1e3 * value:,.0f}" for value in (median(took), min(took), max(took))))
            for store, took in measured.items()
        ]
        print(plain([("store", "ms to the first answer", "lowest", "highest"), *rows]))
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(runs: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        rig = Rig(stack, directory)
        environment = with_byte_code(directory / "byte-code")
        stores = {"none": "", "SQLite": f"sqlite:///{directory}/fastvhost.db"}
        measured: dict[str, list[float]] = {store: [] for store in stores}
        # The first start of each makes the database and the byte code, and does not count.
        for turn in range(runs + 1):
            for store, url in stores.items():
                port = free_port()
                config = rig.config(f"start-{store}", store=url, pdb_port=port)
                took = first_answer(config, port, rig, environment)
                if turn:
                    measured[store].append(took)
        return measured


def with_byte_code(directory: Path) -> dict[str, str]:
    """An environment in which Python keeps it in `directory`, whatever ours says of it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": str(directory)}


def first_answer(config: Path, port: int, rig: Rig, environment: dict[str, str]) -> float:
    """Seconds from exec to the first right answer on a PDB port of loopback.

    Raises:
        BenchError: no right answer came.
    """
    command = [sys.executable, "-m", "fastvhost", "serve", "--config", str(config)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Whoever asks all along leaves the server's core to it.
        with on_core(rig.server_core):
            started = time.perf_counter()
            process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        with process, on_core(rig.other_core):
            try:
                sock.connect(("127.0.0.1", port))
                sock.settimeout(_ASK_EVERY_SECONDS)
                while (took := time.perf_counter() - started) < _GIVE_UP_SECONDS:
                    # Refused as long as nothing listens, and then it is too early or too slow to answer.
                    with suppress(ConnectionRefusedError, TimeoutError):
                        sock.send(_REQUEST)
                        if read_reply(sock.recv(512), _REQUEST) is VerdictKind.HOSTED:
                            return time.perf_counter() - started
                    if process.poll() is not None:
                        break
                    time.sleep(_ASK_EVERY_SECONDS)
            finally:
                process.terminate()
    raise BenchError(f"no right answer within {took:.1f} s of the start")


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("start", __doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
