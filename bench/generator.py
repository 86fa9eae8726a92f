"""The load generator as a process of its own, on the core that the server has not got."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import BenchError, on_core

__all__ = ["Load", "generate"]

_GRACE_SECONDS = 30.0
_NOTHING_ANSWERED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent to a port of loopback; see `tools.load`."""

    port: int
    zone: str | None = None
    """None: by PDB. Else by DNS, hosts below this zone, or themselves where it is empty."""
    hosts: Path | None = None
    unknown_share: float = 0.0
    window: int = 128
    rate: float | None = None
    """Requests a second, an open loop; None: a closed loop, `window` of them outstanding."""
    flood: float = 0.0
    """Beside an open loop: random hosts a second, from a socket of their own."""
    count: int | None = None
    """Requests after which it ends, if its time does not end it before."""


def generate(load: Load, seconds: float, core: int | None) -> dict[str, Any]:
    """Run it; return what `tools.load --json` said.

    Raises:
        BenchError: it failed.
    """
    command = _command(load, seconds)
    with on_core(core):
        generator = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    with generator:
        try:
            line, _ = generator.communicate(timeout=seconds + _GRACE_SECONDS)
        finally:
            generator.kill()
    if generator.returncode not in (0, _NOTHING_ANSWERED):
        raise BenchError(f"{shlex.join(command)}: exit status {generator.returncode}")
    figures: dict[str, Any] = json.loads(line)
    return figures


def _command(load: Load, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "tools.load", "--json", "--server", f"127.0.0.1:{load.port}"]
    if not load.unknown_share:
        command.append("--rehearse")
    if load.zone is not None:
        command += ["--dns", load.zone]
    if load.hosts is not None:
        command += ["--hosts", str(load.hosts)]
    if load.rate is not None:
        command += ["--rate", str(load.rate)]
    if load.flood:
        command += ["--flood", str(load.flood)]
    if load.count is not None:
        command += ["--count", str(load.count)]
    return [
        *command,
        "--unknown",
        str(load.unknown_share),
        "--window",
        str(load.window),
        "--seconds",
        str(seconds),
    ]
