"""Compile fastvhost/faces/batch.c, where there is a C compiler; without one nothing is missing but speed.

    python tools/compile_batch.py       beside its source, for a checkout

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

SOURCE = Path(__file__).parents[1] / "fastvhost" / "faces" / "batch.c"
LIBRARY = SOURCE.with_name("libbatch.so")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread")


def compile_batch(library: Path = LIBRARY, more: Sequence[str] = ()) -> str | None:
    """Make the library, with `more` flags; or return in one line why there is none, and leave none."""
    made = library.with_suffix(f".{os.getpid()}")
    command = [*shlex.split(os.environ.get("CC", "cc")), *_FLAGS, *more, "-o", str(made), str(SOURCE)]
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
    """Hatch's: a wheel that has the library is for this platform, one without it for all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together."""
        why = compile_batch()
        if why is not None:
            self.app.display_warning(f"not compiled, which costs speed only: {why}")
            return
        if version != "editable":
            build_data["force_include"][str(LIBRARY)] = "fastvhost/faces/libbatch.so"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"


if __name__ == "__main__":
    problem = compile_batch()
    if problem is not None:
        print(f"not compiled, which costs speed only: {problem}", file=sys.stderr)
