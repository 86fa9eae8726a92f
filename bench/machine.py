"""Where and of what a figure was measured: without it a figure says nothing."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import fastvhost

__all__ = ["circumstances"]

_PACKAGES = ("trio", "dnspython", "cachetools", "publicsuffixlist")
_ROOT = Path(__file__).parent.parent


def circumstances(command: str) -> dict[str, object]:
    """Machine, versions, commit, time and the exact command, for `json.dumps`."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "fastvhost": fastvhost.__version__,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            **{package: version(package) for package in _PACKAGES},
        },
        "load_average": os.getloadavg(),
    }


def _commit() -> str:
    """The commit of this checkout, `+changes` where the package differs from it; `unknown` outside of git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit}+changes" if _git("status", "--porcelain", "--", "fastvhost") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    git = ("git", "-C", str(_ROOT))
    return subprocess.run((*git, *arguments), check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
