"""Compile what is in C, where there is a C compiler; without one nothing is missing but speed.

    python tools/compile_batch.py       beside the sources, for a checkout

Hatch runs the same when it builds a wheel or an editable installation.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # type: ignore[import-not-found]
except ImportError:  # run by hand
    BuildHookInterface = object

_PACKAGE = Path(__file__).parents[1] / "fastvhost"
SOURCE = _PACKAGE / "faces" / "batch.c"
LIBRARY = SOURCE.with_name("libbatch.so")
QUERIES = _PACKAGE / "resolve" / "queries.c"
_LIBRARIES = {LIBRARY: SOURCE, QUERIES.with_name("libqueries.so"): QUERIES}
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread")


def compile_all() -> str | None:
    """Make every library; or return in one line why one is missing."""
    problems = [compile_batch(library, source=source) for library, source in _LIBRARIES.items()]
    return next((problem for problem in problems if problem is not None), None)


def compile_batch(library: Path = LIBRARY, more: Sequence[str] = (), *, source: Path = SOURCE) -> str | None:
    """Make a library, with `more` flags; or return in one line why there is none, and leave none."""
    made = library.with_suffix(f".{os.getpid()}")
    command = [*shlex.split(os.environ.get("CC", "cc")), *_FLAGS, *more, "-o", str(made), str(source)]
    library.unlink(missing_ok=True)
    if not sys.platform.startswith("linux"):
        return "the compiled form is for Linux only"
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    except subprocess.CalledProcessError as error:
        made.unlink(missing_ok=True)
        return f"{shlex.join(command)}: exit status {error.returncode}: {error.stderr.strip()[-300:]}"
    made.replace(library)  # whoever has the old one loaded keeps it
    return None


class CompileBatchHook(BuildHookInterface):  # type: ignore[misc]
    """Hatch's: a wheel that has libraries is for this platform, one without it for all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together."""
        why = compile_all()
        if why is not None:
            self.app.display_warning(f"not compiled, which costs speed only: {why}")
            return
        if version != "editable":
            for library in _LIBRARIES:
                build_data["force_include"][str(library)] = str(library.relative_to(_PACKAGE.parent))
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"


if __name__ == "__main__":
    problem = compile_all()
    if problem is not None:
        print(f"not compiled, which costs speed only: {problem}", file=sys.stderr)
