"""The processes of a load figure: each on a core of its own where there are two, each ended by its id."""

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "BenchError",
    "Server",
    "free_port",
    "on_core",
    "pin",
    "running",
    "server_and_other_core",
    "serving",
]

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


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


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started within the block is on `core` with all its threads; None: wherever it likes."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A UDP port of 127.0.0.1 that nobody has at this moment, for a server that takes none by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """A process that listens on `ports`; `port` is the first of them."""

    def __init__(self, pid: int, *ports: int) -> None:
        self._pid = pid
        self.port = ports[0]
        self.ports = ports

    def cpu_seconds(self) -> float:
        """Processor time that it has used, user and system (proc(5)); 0.0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        utime, stime = fields[11:13]
        return (int(utime) + int(stime)) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self, thread: str = "") -> float:
        """Time that it was ready to run and had no core (schedstat of Linux); 0.0 if untold.

        Of the threads with this name together; of the first thread where there is none.
        """
        process = Path(f"/proc/{self._pid}")
        try:
            named = [task for task in (process / "task").iterdir() if _first_line(task / "comm") == thread]
            nanoseconds = sum(int(_first_line(task / "schedstat").split()[1]) for task in named or [process])
        except (OSError, IndexError):
            return 0.0
        return nanoseconds / 1e9

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
def running(
    command: Sequence[str], *, ready: str, core: int | None, directory: Path | None = None
) -> Iterator[Server]:
    """Run a server for the length of the block.

    Args:
        ready: a regular expression; its groups in the line that tells of readiness are the ports.
            After that line the server must write little, since nobody reads it.
        core: where to pin it.
        directory: where it runs; None: here.

    Raises:
        BenchError: it did not get ready within a minute.
    """
    with subprocess.Popen(
        command, text=True, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            pin(process.pid, core)
            yield Server(process.pid, *_ports(process, ready))
        finally:
            _end(process)


@contextmanager
def serving(
    command: Sequence[str], *, port: int, answers: Callable[[int], bool], core: int | None, directory: Path
) -> Iterator[Server]:
    """Run a server that does not say when it is ready; its output is a log in `directory`.

    Args:
        answers: whether it does, on this port; asked for up to a minute.

    Raises:
        BenchError: it ended, or never answered.
    """
    log = directory / "log"
    with log.open("wb") as output, on_core(core):
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    with process:
        try:
            too_late = time.perf_counter() + _START_SECONDS
            while not answers(port):
                if process.poll() is not None or time.perf_counter() > too_late:
                    said = log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise BenchError(f"not ready: {command[0]}: {''.join(said) or 'it said nothing'}")
                time.sleep(_POLL_SECONDS)
            yield Server(process.pid, port)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _ports(process: subprocess.Popen[str], ready: str) -> list[int]:
    assert process.stdout is not None
    said = "it said nothing"
    too_late = threading.Timer(_START_SECONDS, process.kill)
    too_late.start()
    try:
        for line in process.stdout:
            found = re.search(ready, line)
            if found:
                return [int(port) for port in found.groups()]
            said = line.strip()
    finally:
        too_late.cancel()
    raise BenchError(f"not ready: {process.args!r}: {said}")


def _first_line(path: Path) -> str:
    return path.read_text().partition("\n")[0]
