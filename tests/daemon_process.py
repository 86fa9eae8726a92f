"""`fastvhost serve` as a process of its own, for as long as a block lasts."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from fastvhost.query import ask
from tests.support import free_port

__all__ = ["Daemon", "DaemonError", "running_daemon"]

_READY = re.compile(r" ready: PDB on ")
_ANY_PORT = 'pdb = "127.0.0.1:0"'
_SUMMARY = re.compile(r" stopped: (.+)")

_STOP_SECONDS = 15.0

_POLLS = 1_500
_POLL_SECONDS = 0.02


class DaemonError(Exception):
    """The daemon did not get ready, or did not say what it was asked for; carries its log."""


class Daemon:
    """One configuration; the process that runs it may be killed and started again."""

    def __init__(self, folder: Path, config: str, before: Sequence[str] = ()) -> None:
        self._before = before
        self._log = folder / "log"
        self._config = folder / "fastvhost.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.pdb = Endpoint("127.0.0.1", free_port())
        self._config.write_text(config.replace(_ANY_PORT, f'pdb = "{self.pdb}"'))

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What it has said since it was started."""
        return self._log.read_text()

    def start(self) -> None:
        """Start the process, and block until it is ready; each time on the same port.

        Raises:
            DaemonError: it ended, or was not ready within half a minute.
        """
        self.launch()
        process = self._process
        assert process is not None
        for _ in range(_POLLS):
            if _READY.search(self.log()):
                return
            if process.poll() is not None:
                break
            time.sleep(_POLL_SECONDS)
        self.kill()
        raise DaemonError(self.log())

    def launch(self) -> None:
        """Start the process, which is not ready yet."""
        serve = [sys.executable, "-W", "error", "-m", "fastvhost", "serve", "--config", str(self._config)]
        command = [*self._before, *serve]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def reload(self) -> None:
        """Have it read its configuration again, and block until it has.

        Raises:
            DaemonError: it has not within half a minute, or refused.
        """
        assert self._process is not None
        before = self.log().count(" reloaded: ")
        self._process.send_signal(signal.SIGHUP)
        for _ in range(_POLLS):
            if self.log().count(" reloaded: ") > before:
                return
            time.sleep(_POLL_SECONDS)
        raise DaemonError(self.log())

    def kill(self) -> None:
        """SIGKILL: it has no chance to say or save anything. Nothing where none runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def wait(self) -> int:
        """Block until it has ended by itself; its exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs after 15 seconds.
        """
        assert self._process is not None
        return self._process.wait(_STOP_SECONDS)

    def stop(self) -> dict[str, int]:
        """End it in order; its counters that are not zero.

        Raises:
            DaemonError: it did not end, or said no counters.
        """
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        said = _SUMMARY.search(self.log())
        if said is None:
            raise DaemonError(self.log())
        return {name: int(count) for name, count in (each.rsplit(" ", 1) for each in said[1].split(", "))}

    def warm_up(self, hosts: Sequence[str], expected: VerdictKind) -> None:
        """Ask for each of the hosts, without naming a source, until the verdict on it is `expected`.

        Raises:
            DaemonError: one of them still has another verdict after half a minute.
        """
        waiting = list(hosts)
        for _ in range(_POLLS):
            while waiting and ask(self.pdb, waiting[-1].encode(), timeout=2.0)[0] is expected:
                waiting.pop()
            if not waiting:
                return
            time.sleep(_POLL_SECONDS)
        raise DaemonError(f"{waiting[-1]} is not {expected.name}")


@contextmanager
def running_daemon(config: str, *, before: Sequence[str] = ()) -> Iterator[Daemon]:
    """A daemon with this configuration, whose `listen.pdb` is `127.0.0.1:0`: a free port.

    `before` is a program, with its arguments, that becomes the daemon's command line.

    Entering blocks until it is ready; leaving kills it, where it still runs.

    Raises:
        DaemonError: it did not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="fastvhost-daemon-") as name:
        daemon = Daemon(Path(name), config, before)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()
