"""Running the probes that `fastvhost.wildcards` asks for."""

import logging
from collections.abc import Awaitable, Callable

import trio

from fastvhost.model import Finding, VerdictKind
from fastvhost.wildcards import Probe, Settle

__all__ = ["probing_in"]

_log = logging.getLogger(__name__)


def probing_in(nursery: trio.Nursery, check: Callable[[str], Awaitable[Finding]]) -> Probe:
    """Return the function that starts a probe as a task of `nursery`, which must be open when it is called.

    `check` asks DNS about a host at the cost of housekeeping. A probe that is cancelled settles nothing.
    """

    async def probe(name: str, settle: Settle) -> None:
        try:
            finding = await check(name)
        except Exception:  # noqa: BLE001 - a fault of ours in one probe must not take the daemon down
            _log.exception("probe of %s: a fault of fastvhost, please report it", name)
            finding = Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason="internal fault; see the log")
        settle(finding, trio.current_time())

    def start(name: str, settle: Settle) -> None:
        nursery.start_soon(probe, name, settle)

    return start
