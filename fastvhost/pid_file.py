"""The PID file: which process is the daemon, and what came of the reloads that it was told to do.

A lock on the file, not its content, says that the daemon lives: what a killed one left misleads nobody.
First line: its PID. Second: how many reloads it has tried, `ok` or `refused`, and why.
"""

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Self

from fastvhost.errors import PidFileError

__all__ = ["PidFile", "reload_daemon"]

_MOST_OCTETS = 4_096

_POLLS = 500
_POLL_SECONDS = 0.02


class PidFile:
    """Held by the daemon while the block lasts, and gone after it."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self._path = path
        self._file = -1
        self._reloads = 0

    def __enter__(self) -> Self:
        """Lock it and write our PID.

        Raises:
            PidFileError: it cannot be written, or another daemon holds it.
        """
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(f"{os.getpid()}\n0 ok\n")
        except BlockingIOError as error:
            os.close(self._file)
            raise PidFileError(f"{self._path}: a daemon that runs holds it") from error
        except OSError as error:
            raise PidFileError(f"{self._path}: cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def note_reload(self, *, refused: bool, why: str) -> None:
        """Note what came of a reload, for whoever waits for it."""
        self._reloads += 1
        line = " ".join(why.split())
        self._write(f"{os.getpid()}\n{self._reloads} {'refused' if refused else 'ok'} {line}\n")

    def _write(self, text: str) -> None:
        octets = text.encode(errors="backslashreplace")[: _MOST_OCTETS - 1]
        octets = octets if octets.endswith(b"\n") else octets + b"\n"
        # In this order, whoever reads meanwhile finds two whole lines.
        os.pwrite(self._file, octets, 0)
        os.ftruncate(self._file, len(octets))


def reload_daemon(path: Path, *, sleep: Callable[[float], object]) -> str:
    """Tell the daemon of a PID file to read its configuration again, and wait for what comes of it.

    Returns what changed, in one line. Waits 10 seconds at most, in steps by `sleep`.

    Raises:
        PidFileError: there is no daemon, it may not be told, refuses its configuration or does not answer.
    """
    pid, before, _, _ = _read(path)
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise PidFileError(f"process {pid} of {path} cannot be told: {error.strerror}") from error
    for _ in range(_POLLS):
        _, count, outcome, why = _read(path)
        if count != before:
            if outcome != "ok":
                raise PidFileError(why)
            return why
        sleep(_POLL_SECONDS)
    raise PidFileError(
        f"process {pid} of {path} has not answered in {_POLLS * _POLL_SECONDS:.0f} s: see its log"
    )


def _read(path: Path) -> tuple[int, int, str, str]:
    """PID, reloads, outcome and reason of the last one."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                octets = file.read(_MOST_OCTETS)
            else:
                raise PidFileError(f"{path}: no daemon runs that holds it")
    except OSError as error:
        raise PidFileError(
            f"{path}: cannot be read: {error.strerror}; does the daemon run, with this --pid-file?"
        ) from error
    return _parsed(octets, path)


def _parsed(octets: bytes, path: Path) -> tuple[int, int, str, str]:
    lines = octets.decode(errors="backslashreplace").split("\n")
    try:
        count, outcome, *why = lines[1].split(" ", 2)
        return int(lines[0]), int(count), outcome, " ".join(why)
    except (IndexError, ValueError) as error:
        raise PidFileError(f"{path}: not a PID file of fastvhost") from error
