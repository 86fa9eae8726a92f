"""Compiled code beside the sources: found, described to ctypes, and of the version that is wanted."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["NotCompiledError", "Signatures", "load_library"]

Signatures = Mapping[str, tuple[Any, Sequence[Any]]]
"""Of each function what it returns and takes, as ctypes has it."""


class NotCompiledError(Exception):
    """There is no compiled form here that fits."""


def load_library(path: Path, signatures: Signatures, *, version: str, wanted: int) -> ctypes.PyDLL:
    """The library at `path`, whose function `version` returns `wanted`.

    Raises:
        NotCompiledError: it is not there, or is another.
    """
    try:
        # PyDLL keeps the interpreter's lock: no call here waits, and to give it away may cost 5 ms.
        library = ctypes.PyDLL(str(path))
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NotCompiledError(str(error)) from error
    if getattr(library, version)() != wanted:
        raise NotCompiledError(f"{path} is of another version: compile it again")
    return library
