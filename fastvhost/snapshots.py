"""Snapshots of the cache of verdicts: one every few minutes, and one at the end that the next start believes.

While others are answered the cache is taken in pieces of some 0.1 ms, with pauses; only the file is waited
for in a thread.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import trio

from fastvhost import config
from fastvhost.cache import VerdictCache
from fastvhost.snapshot import Unusable, may_replace, read_snapshot, write_block, write_end, write_header
from fastvhost.snapshot_blocks import MOST_ENTRY_OCTETS, payloads_of
from fastvhost.snapshot_file import Replacement, Unread, beginning_of, read_own_file

__all__ = ["Snapshots"]

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.002
"""After each piece of the cache, so that a snapshot takes a twentieth of the time."""

_WRITTEN_AT_ONCE = 1_000_000
"""Octets that are kept until there are enough for a thread."""

_LAST_SECONDS = 8.0
"""For the one at the end; a million entries take one or two."""


class Snapshots:
    """Those of one cache, in the file `limits.snapshot`, which must not be empty.

    `circumstances` are those of `fastvhost.snapshot` as they are in force; `wall_clock` has seconds since the
    epoch.
    """

    def __init__(
        self,
        limits: config.Cache,
        cache: VerdictCache,
        *,
        circumstances: Callable[[], bytes],
        wall_clock: Callable[[], float],
    ) -> None:
        self._path = Path(limits.snapshot)
        self._every = limits.snapshot_every
        self._most = limits.hosted_entries + limits.unknown_entries
        self._cache = cache
        self._circumstances = circumstances
        self._wall_clock = wall_clock
        self._last = trio.current_time()
        self._entries = 0
        self._octets = 0
        self._written = 0
        self._failures = 0
        self._restored = 0

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        return {
            "age": int(trio.current_time() - self._last),
            "entries": self._entries,
            "octets": self._octets,
            "written": self._written,
            "failures": self._failures,
            "restored": self._restored,
        }

    def restore(self) -> None:
        """Take back what the last snapshot has, into an empty cache; one that is unusable is a line of log.

        Blocks, for a million entries one or two seconds.
        """
        octets = read_own_file(self._path, self._most * MOST_ENTRY_OCTETS)
        if octets is None:
            if not self._path.parent.is_dir():
                _log.warning("%s: cannot be written: %s is no directory", self._path, self._path.parent)
            return
        if isinstance(octets, Unread):
            self._ignore(octets.why)
            return
        circumstances, now = self._circumstances(), trio.current_time()
        snapshot = read_snapshot(octets, circumstances, now=now, wall=self._wall_clock(), most=self._most)
        if isinstance(snapshot, Unusable):
            self._ignore(snapshot.why)
            return
        for piece in snapshot.pieces:
            self._cache.take_back(piece, now)
        self._restored, self._entries, self._octets = snapshot.entries, snapshot.entries, len(octets)
        _log.info("%s: %d verdicts are back, as of %.0f s ago", self._path, snapshot.entries, snapshot.age)

    async def run(self) -> NoReturn:
        """Write one after each `cache.snapshot_every`, until cancelled."""
        while True:
            await trio.sleep(self._every)
            await self._write(_PAUSE_SECONDS)

    async def write_last(self) -> None:
        """Write one at once, when nobody is answered any more: in 8 s at most, unless the disk hangs."""
        with trio.move_on_after(_LAST_SECONDS) as scope:
            await self._write(0.0)
        if scope.cancelled_caught:
            self._fail(f"over {_LAST_SECONDS:.0f} s")

    def _ignore(self, why: str) -> None:
        _log.warning("%s: ignored, the cache is empty: %s", self._path, why)

    def _fail(self, why: str) -> None:
        self._failures += 1
        _log.error("%s: not written, the one before stays: %s", self._path, why)

    async def _write(self, pause: float) -> None:
        """Write one, or say in the log why not."""
        if not may_replace(await trio.to_thread.run_sync(beginning_of, self._path)):
            self._failures += 1
            _log.error(
                "%s: not written, it is no snapshot of fastvhost: cache.snapshot must name another file",
                self._path,
            )
            return
        try:
            replacement = await trio.to_thread.run_sync(Replacement, self._path)
            try:
                await self._fill(replacement, pause)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(replacement.end)
        except OSError as error:
            self._fail(error.strerror or str(error))
        except Exception:  # noqa: BLE001 - a fault of ours must not take a daemon down that answers
            self._failures += 1
            _log.exception("%s: not written: a fault of fastvhost, please report it", self._path)

    async def _fill(self, replacement: Replacement, pause: float) -> None:
        circumstances = self._circumstances()
        # The wall clock first here, and last in `restore`: what passes between two clocks shortens lives.
        waiting = [write_header(circumstances, self._wall_clock())]
        began = trio.current_time()
        octets = entries = 0
        for piece in self._cache.pieces():
            payloads = payloads_of(piece, began)
            for payload in payloads:
                waiting.append(write_block(payload))
                octets += len(waiting[-1])
                entries += payload.entries
            if octets >= _WRITTEN_AT_ONCE:
                await trio.to_thread.run_sync(replacement.write, b"".join(waiting))
                waiting, octets = [], 0
            await trio.sleep(pause if payloads else 0.0)
        if self._circumstances() != circumstances:
            return  # a reload meanwhile: what was decided before it and after it are not to be mixed
        waiting.append(write_end(entries))
        await trio.to_thread.run_sync(replacement.write, b"".join(waiting))
        await trio.to_thread.run_sync(replacement.commit)
        self._last, self._entries, self._octets = began, entries, replacement.octets
        self._written += 1
