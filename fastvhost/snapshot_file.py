"""The file of a snapshot: replaced as a whole or not at all, and read where nobody else can have written it.

Everything here blocks.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Replacement", "Unread", "beginning_of", "read_own_file"]

_BEGINNING = 64
"""Octets: as many as say what a file is."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that is there and not to be read: `why`, in a few words for an operator."""

    why: str


class Replacement:
    """What a file is to be from `commit` on; until then it stands beside it, as `NAME.new`.

    Nobody else can read it. What a killed process left there is replaced, and no link is followed.
    """

    def __init__(self, path: Path) -> None:
        """Begin it.

        Raises:
            OSError: it cannot be made; so all that follow.
        """
        self._path = path
        self._beside = path.with_name(f"{path.name}.new")
        self._beside.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._beside, flags, 0o600)
        self._committed = False
        self.octets = 0
        """Written so far."""

    def write(self, octets: bytes) -> None:
        """Add octets at the end."""
        self.octets += len(octets)
        left = memoryview(octets)
        while left:
            left = left[os.write(self._file, left) :]

    def commit(self) -> None:
        """Put it in the place of the file; also after a loss of power one of both is there, and whole."""
        os.fsync(self._file)
        self._beside.replace(self._path)
        self._committed = True
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def end(self) -> None:
        """Close it; where it was not committed, nothing of it stays. Never raises."""
        with suppress(OSError):
            os.close(self._file)
        if not self._committed:
            with suppress(OSError):
                self._beside.unlink(missing_ok=True)


def beginning_of(path: Path) -> bytes:
    """The first octets of a regular file; none where there is no such file, or it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, _BEGINNING) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(file)


def read_own_file(path: Path, most: int) -> bytes | Unread | None:
    """The octets of a file; None where there is none.

    Not those of a link, a device or a pipe, of a file that somebody else owns or may write, or one of more
    than `most` octets.
    """
    try:
        # O_NONBLOCK: to open a pipe would else wait for a writer.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unread(f"it cannot be read: {error.strerror}")
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return Unread("it is no regular file")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & _OTHERS_MAY_WRITE:
            return Unread("others than we can write it")
        if found.st_size > most:
            return Unread(f"it is too large: {found.st_size:,} octets")
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(found.st_size)
    except OSError as error:
        return Unread(f"it cannot be read: {error.strerror}")
    finally:
        os.close(file)
