"""The process itself: versions, when it began, what it has used.

Source: the metrics that Prometheus wants of every process.
"""

import os
import platform
import resource
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Process", "build"]

_STARTED = 19
"""The field of /proc/self/stat with the start in clock ticks since boot, counted from behind the name."""


def build() -> Mapping[str, str]:
    """Versions of fastvhost, as it is installed, and of Python."""
    try:
        ours = version("fastvhost")
    except PackageNotFoundError:
        ours = "unknown"
    return {"version": ours, "python": platform.python_version()}


class Process:
    """This process, on Linux."""

    def __init__(self) -> None:
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[_STARTED])
        booted = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
        self._started = booted + ticks / os.sysconf("SC_CLK_TCK")

    def figures(self) -> Mapping[str, float]:
        """Start in seconds since the epoch, processor time in seconds, resident memory in octets."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "process.start": self._started,
            "process.cpu": used.ru_utime + used.ru_stime,
            "process.resident": resident * os.sysconf("SC_PAGE_SIZE"),
        }
