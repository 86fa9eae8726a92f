"""A script, played on a lab while it serves."""

from collections.abc import Callable, Iterable

import trio

from tools.dnslab.lab import Lab
from tools.dnslab.script import Change

__all__ = ["play"]


async def play(lab: Lab, script: Iterable[Change], announce: Callable[[Change], None]) -> None:
    """Make each change when its time from now has come, and announce it; the last holds on after return."""
    start = trio.current_time()
    for change in script:
        await trio.sleep_until(start + change.at)
        lab.faults[:] = change.faults
        announce(change)
