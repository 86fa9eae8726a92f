"""Lab and daemon as processes of their own, for as long as a block lasts."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastvhost.config import Endpoint
from tools.dnslab.__main__ import SCRIPT_BEGINS
from tools.dnslab.marks import Mark, read_marks
from tools.flood.errors import FloodError

__all__ = ["Rig", "open_rig"]

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LAB_READY = r"listening on (\S+):(\d+)"
_DAEMON_READY = r"ready: PDB on (\S+):(\d+)(?:, DNS on [^,]+)?, ADMIN on (\S+):(\d+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What runs."""

    pdb: Endpoint
    admin: Endpoint
    _lab: subprocess.Popen[str]
    _lab_log: Path

    def start_script(self) -> None:
        """From now on the lab's changes come; blocks until it has begun.

        Raises:
            FloodError: it has ended.
        """
        self._lab.send_signal(signal.SIGUSR1)
        _wait_until_said(self._lab, SCRIPT_BEGINS, self._lab_log)

    def marks(self) -> tuple[Mark, ...]:
        """The changes that have come."""
        return read_marks(self._lab_log.read_text(errors="replace"))


@contextmanager
def open_rig(config: Path, zone: Path, script: str, folder: Path, *, store: str) -> Iterator[Rig]:
    """Start the lab with `zone`, its script held, and the daemon with `config` on it; they log in `folder`.

    Raises:
        FloodError: one of them did not get ready within a minute; with the last that it said.
    """
    lab_log = folder / "lab.log"
    lab_command = ["tools.dnslab", "--zone", str(zone), "--unknown", "nxdomain", "--hold", "--script", script]
    with _running(lab_command, _LAB_READY, lab_log) as (lab, found):
        server = f"{found[0]}:{found[1]}"
        command = ["tools.whatif.daemon", str(config.absolute()), server, store]
        with _running(command, _DAEMON_READY, folder / "daemon.log") as (_, ports):
            yield Rig(
                pdb=Endpoint(ports[0], int(ports[1])),
                admin=Endpoint(ports[2], int(ports[3])),
                _lab=lab,
                _lab_log=lab_log,
            )


@contextmanager
def _running(
    command: Sequence[str], ready: str, log: Path
) -> Iterator[tuple[subprocess.Popen[str], Sequence[str]]]:
    """A Python module as a process, and the groups of `ready` in what it writes when it is."""
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield process, _wait_until_said(process, ready, log)
        finally:
            _end(process)


def _wait_until_said(process: subprocess.Popen[str], pattern: str, log: Path) -> Sequence[str]:
    pause = threading.Event()
    for _ in range(int(_START_SECONDS / 0.05)):
        ended = process.poll() is not None
        text = log.read_text(errors="replace")
        found = re.search(pattern, text)
        if found is not None:
            return found.groups()
        if ended:
            break
        pause.wait(0.05)
    last = "".join(text.strip().splitlines()[-1:]) or "it said nothing"
    raise FloodError(f"not ready: {log.stem}: {last}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
