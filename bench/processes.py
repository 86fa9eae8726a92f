"""The processes of a load figure: each on a core of its own where there are two, each ended by its id."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BenchError", "Server", "pin", "running", "server_and_other_core"]

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class BenchError(Exception):
    """A part of the benchmark did not come up, or did not do what the figure supposes; in one line."""


def server_and_other_core() -> tuple[int | None, int | None]:
    """A core for the server under test and one for all else; None, None where there is only one to use."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pin(pid: int, core: int | None) -> None:
    """Keep a process that has just been started on `core`; None leaves it where it is."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


class Server:
    """A process that has said on which port it listens."""

    def __init__(self, pid: int, port: int) -> None:
        self._pid = pid
        self.port = port

    def cpu_seconds(self) -> float:
        """Processor time that it has used, user and system (proc(5)); 0.0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        utime, stime = fields[11:13]
        return (int(utime) + int(stime)) / os.sysconf("SC_CLK_TCK")

    def resident_octets(self) -> int:
        """Memory that it has now (VmRSS of proc(5))."""
        return self._memory("VmRSS")

    def most_resident_octets(self) -> int:
        """The most that it ever had (VmHWM)."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        """One line of its status in octets.

        Raises:
            OSError: the system does not tell.
        """
        status = Path(f"/proc/{self._pid}/status").read_text()
        kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
        return 1_024 * int(kibibytes)


@contextmanager
def running(command: Sequence[str], *, ready: str, core: int | None) -> Iterator[Server]:
    """Run a server for the length of the block.

    Args:
        ready: a regular expression; its first group in the line that tells of readiness is the port.
            After that line the server must write little, since nobody reads it.
        core: where to pin it.

    Raises:
        BenchError: it did not get ready within a minute.
    """
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            pin(process.pid, core)
            yield Server(process.pid, _port(process, ready))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(process: subprocess.Popen[str], ready: str) -> int:
    assert process.stdout is not None
    said = "it said nothing"
    too_late = threading.Timer(_START_SECONDS, process.kill)
    too_late.start()
    try:
        for line in process.stdout:
            found = re.search(ready, line)
            if found:
                return int(found[1])
            said = line.strip()
    finally:
        too_late.cancel()
    raise BenchError(f"not ready: {process.args!r}: {said}")
