"""Hosts to ask for, from a file."""

from pathlib import Path

from tools.load.errors import LoadError

__all__ = ["read_names"]


def read_names(path: Path) -> tuple[bytes, ...]:
    """One `HOST` or `HOST SOURCE` a line; empty lines, and those that begin with `#`, are passed over.

    Raises:
        LoadError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from error
    return tuple(name for line in lines if (name := line.strip()) and not name.startswith(b"#"))
