"""The daemon: the service, under signals, with a log on stderr."""

import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import trio

from fastvhost.config import Config
from fastvhost.errors import FastvhostError, ListenError
from fastvhost.faces.dns_tcp import MOST_CONNECTIONS
from fastvhost.faces.tcp import MOST_HTTP_CONNECTIONS
from fastvhost.log import LimitedHandler, open_log
from fastvhost.pid_file import PidFile
from fastvhost.service import Service, open_service
from fastvhost.systemd import Supervisor, take_passed_sockets

__all__ = ["run_daemon"]

_log = logging.getLogger(__name__)

_OTHER_FILES = 64 + MOST_CONNECTIONS + MOST_HTTP_CONNECTIONS
"""File descriptors for all but upstream queries."""


def run_daemon(read_config: Callable[[], Config], *, pid_file: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP has the configuration read again.

    Garbage is collected from when the service is ready on, whether or not it was before.

    Raises:
        ConfigError, ListenError, PidFileError: nothing has been started.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is listened to, there is nothing to read again
    config = read_config()
    with ExitStack() as resources:
        log = resources.enter_context(open_log(config.log, sys.stderr))
        config = _within_open_files(config)
        _tame_garbage_collection()
        passed = take_passed_sockets(os.environ, os.getpid())
        for sockets in passed.values():
            for sock in sockets:
                resources.enter_context(closing(sock))
        held = None if pid_file is None else resources.enter_context(PidFile(pid_file))
        supervisor = Supervisor(os.environ, os.getpid())
        daemon = _Daemon(lambda: _within_open_files(read_config()), supervisor, held, log)
        trio.run(daemon.serve, config, passed)


class _Daemon:
    """The service under signals: the first that ends it does so in order, the second at once."""

    def __init__(
        self,
        read_config: Callable[[], Config],
        supervisor: Supervisor,
        pid_file: PidFile | None,
        log: LimitedHandler,
    ) -> None:
        self._log = log
        self._read_config = read_config
        self._supervisor = supervisor
        self._pid_file = pid_file
        self._stop = trio.Event()
        self._ready = trio.Event()
        self._service: Service | None = None
        self._failure: FastvhostError | None = None

    async def serve(self, config: Config, passed: Mapping[str, Sequence[socket.socket]]) -> None:
        """Run the service until a signal ends it."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, config, passed, nursery.cancel_scope)
                nursery.start_soon(self._supervisor.keep_watchdog)
                async for number in signals:
                    if number == signal.SIGHUP:
                        nursery.start_soon(self._reload_when_ready)
                    else:
                        self._end(signal.Signals(number).name, nursery.cancel_scope)
        if self._failure is not None:
            raise self._failure

    async def _run(
        self, config: Config, passed: Mapping[str, Sequence[socket.socket]], whole: trio.CancelScope
    ) -> None:
        try:
            async with open_service(config, passed=passed) as service:
                gc.freeze()
                gc.enable()
                self._service = service
                self._tell_ready("ready")
                self._ready.set()
                await self._stop.wait()
            _log.info("stopped: %s", _summary(service) or "nothing was counted")
        except FastvhostError as error:
            self._failure = error
        whole.cancel()

    def _end(self, name: str, whole: trio.CancelScope) -> None:
        if self._stop.is_set():
            _log.info("%s again: not waiting any longer", name)
            whole.cancel()
        else:
            _log.info("%s: no more requests; waiting for look-ups under way", name)
            self._supervisor.tell("STOPPING=1")
            self._stop.set()

    async def _reload_when_ready(self) -> None:
        await self._ready.wait()
        if self._service is None or self._stop.is_set():
            return
        self._supervisor.tell_reloading(time.clock_gettime(time.CLOCK_MONOTONIC))
        try:
            config = self._read_config()
            outcome = self._service.reload(config)
        except FastvhostError as error:
            _log.error("not reloaded, going on as before: %s", error)
            self._note_reload(refused=True, why=f"not reloaded, going on as before: {error}")
        except Exception:  # noqa: BLE001 - a fault of ours must not take a daemon down that answers
            _log.exception("not reloaded: a fault of fastvhost, please report it")
            self._note_reload(refused=True, why="not reloaded: a fault of fastvhost: see its log")
        else:
            self._log.configure(config.log)
            _log.info("reloaded: %s", outcome)
            self._note_reload(refused=False, why=f"reloaded: {outcome}")
        self._tell_ready("listening")

    def _note_reload(self, *, refused: bool, why: str) -> None:
        if self._pid_file is None:
            return
        try:
            self._pid_file.note_reload(refused=refused, why=why)
        except OSError as error:  # the disk is full: a daemon that answers goes on
            _log.error("the PID file cannot be written: %s", error.strerror)

    def _tell_ready(self, verb: str) -> None:
        assert self._service is not None  # noqa: S101 - told only of a service
        faces = [f"{name.upper()} on {endpoint}" for name, endpoint in self._service.endpoints().items()]
        where = ", ".join(faces) or "no face (listen.pdb, listen.dns and listen.admin are empty)"
        form = self._service.datagram_form()
        if form is not None:
            where += f"; datagrams: {form}"
        _log.info("%s: %s", verb, where)
        self._supervisor.tell("READY=1", f"STATUS={where}")


def _summary(service: Service) -> str:
    """The counters that are not zero, on one line."""
    return ", ".join(f"{name} {count}" for name, count in service.counters().items() if count)


def _tame_garbage_collection() -> None:
    """No full collection: with a million verdicts it takes half a second, in which nobody is answered.

    Verdicts have no cycles, so they are freed when they leave the cache; the cycles of a task that has
    ended are young, and found by the collections of the young.
    """
    gc.set_threshold(10_000, 20, 1_000_000_000)


def _within_open_files(config: Config) -> Config:
    """No more upstream queries at a time than there may be files."""
    limits = config.limits
    in_flight = min(
        limits.upstream_inflight, _open_files(limits.upstream_inflight + _OTHER_FILES) - _OTHER_FILES
    )
    return replace(config, limits=replace(limits, upstream_inflight=in_flight))


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
