"""The daemon: the service, under signals, with a log on stderr."""

import logging
import resource
import signal
import sys

import trio

from fastvhost.config import Config
from fastvhost.service import Service, open_service

__all__ = ["run_daemon"]

_log = logging.getLogger(__name__)

_OTHER_FILES = 64
"""File descriptors for all but upstream queries."""


def run_daemon(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError, ListenError: nothing has been started.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    _raise_file_limit(config.limits.upstream_inflight + _OTHER_FILES)
    trio.run(_serve, config)


async def _serve(config: Config) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_service(config) as service:
            _log.info("ready: PDB on %s", service.pdb_endpoint or "no address (listen.pdb is empty)")
            async for number in signals:
                _log.info("%s: no more requests; waiting for look-ups under way", signal.Signals(number).name)
                break
        _log.info("stopped: %s", _summary(service))


def _summary(service: Service) -> str:
    """The counters that are not zero, on one line."""
    return ", ".join(f"{name} {count}" for name, count in service.counters().items() if count)


def _raise_file_limit(needed: int) -> None:
    """Each upstream query has a socket of its own; many systems start a process with 1024 descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    within = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
    if within < needed:
        _log.warning(
            "open files: %d of the %d that limits.upstream_inflight may need; raise LimitNOFILE or ulimit -n",
            within,
            needed,
        )
