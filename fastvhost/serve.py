"""The daemon: the service, under signals, with a log on stderr."""

import gc
import logging
import resource
import signal
import sys
from dataclasses import replace

import trio

from fastvhost.config import Config
from fastvhost.errors import FastvhostError, ListenError
from fastvhost.faces.dns_tcp import MOST_CONNECTIONS
from fastvhost.faces.http import MOST_HTTP_CONNECTIONS
from fastvhost.service import Service, open_service

__all__ = ["run_daemon"]

_log = logging.getLogger(__name__)

_OTHER_FILES = 64 + MOST_CONNECTIONS + MOST_HTTP_CONNECTIONS
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
    limits = config.limits
    in_flight = min(
        limits.upstream_inflight, _open_files(limits.upstream_inflight + _OTHER_FILES) - _OTHER_FILES
    )
    _tame_garbage_collection()
    trio.run(_serve, replace(config, limits=replace(limits, upstream_inflight=in_flight)))


async def _serve(config: Config) -> None:
    """Run the service; the first signal ends it in order, the second at once."""
    stop = trio.Event()
    failure: FastvhostError | None = None

    async def run(whole: trio.CancelScope) -> None:
        nonlocal failure
        try:
            async with open_service(config) as service:
                gc.freeze()
                faces = [f"{name.upper()} on {endpoint}" for name, endpoint in service.endpoints().items()]
                _log.info(
                    "ready: %s",
                    ", ".join(faces) or "no face (listen.pdb, listen.dns and listen.admin are empty)",
                )
                await stop.wait()
            _log.info("stopped: %s", _summary(service))
        except FastvhostError as error:
            failure = error
        whole.cancel()

    # Nothing can be reloaded yet, and a closed terminal is no reason to end a daemon.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, nursery.cancel_scope)
            async for number in signals:
                name = signal.Signals(number).name
                if stop.is_set():
                    _log.info("%s again: not waiting any longer", name)
                    nursery.cancel_scope.cancel()
                else:
                    _log.info("%s: no more requests; waiting for look-ups under way", name)
                    stop.set()
    if failure is not None:
        raise failure


def _summary(service: Service) -> str:
    """The counters that are not zero, on one line."""
    return ", ".join(f"{name} {count}" for name, count in service.counters().items() if count)


def _tame_garbage_collection() -> None:
    """No full collection: with a million verdicts it takes half a second, in which nobody is answered.

    Verdicts have no cycles, so they are freed when they leave the cache; the cycles of a task that has
    ended are young, and found by the collections of the young.
    """
    gc.set_threshold(10_000, 20, 1_000_000_000)


def _open_files(wanted: int) -> int:
    """Each upstream query has a socket of its own; many systems start a process with 1024 descriptors.

    Returns the descriptors that there may be, at most `wanted`.

    Raises:
        ListenError: they are too few to run at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft <= _OTHER_FILES:
            least = _OTHER_FILES + 1
            raise ListenError(
                f"{soft} open files are allowed, and {least} are the least: raise LimitNOFILE or ulimit -n"
            )
        if soft < wanted:
            _log.warning(
                "%d open files are allowed, so %d DNS queries may be under way at a time: "
                "raise LimitNOFILE or ulimit -n",
                soft,
                soft - _OTHER_FILES,
            )
    return wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
