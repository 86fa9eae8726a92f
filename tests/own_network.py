"""Tests that need port 53 and an /etc/resolv.conf: run again, alone, in a network that nobody else sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["in_own_network", "run_in_own_network"]

_INSIDE = "FASTVHOST_OWN_NETWORK"
_ROOT = Path(__file__).parents[1]
_ENTER = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def in_own_network() -> bool:
    """Whether this process is the one that `run_in_own_network` started."""
    return _INSIDE in os.environ


def run_in_own_network(test: str, *, folder: Path, resolver: str) -> None:
    """Run one test, by its id, where there is only loopback, and `resolver` is the one DNS server.

    Skips the test where namespaces are not to be had, and fails as the one inside does.
    """
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {resolver}\n")
    unshare = ["unshare", "--net", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a network namespace takes root")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    inside = subprocess.run(
        [*unshare, "sh", "-c", _ENTER, "sh", str(resolv_conf), *command],
        cwd=_ROOT,
        env={**os.environ, _INSIDE: "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert inside.returncode == 0, inside.stdout + inside.stderr
