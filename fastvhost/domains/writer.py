"""The way into the store: records queue here, a worker thread writes them in batches.

Nobody waits for SQL. What stands in the queue is kept while the database is away; at the bound nothing
more is taken in, and whoever offered it knows.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import trio

from fastvhost.domains.record import DomainRecord
from fastvhost.domains.store import PutResult, Store
from fastvhost.errors import StoreError

__all__ = ["StoreWriter"]

_log = logging.getLogger(__name__)

_MOST_QUEUED = 100_000
"""Records; some 60 MB."""

_BATCH = 500
"""Records of one transaction."""

_RETRY_SECONDS = (0.5, 30.0)
"""Wait after a first failure, doubled by each after it, and the most."""

_T = TypeVar("_T")


class StoreWriter:
    """Owns a service's access to its `Store`, one call at a time."""

    def __init__(self, store: Store, *, written: Callable[[PutResult], None]) -> None:
        self._store = store
        self._written = written
        self._turn = trio.Lock()
        self._queue: dict[str, DomainRecord] = {}
        self._some = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self.batches = 0
        self.failures = 0
        self.refused = 0
        """Records that were not taken in because the queue was full."""

    @property
    def queued(self) -> int:
        """Records that are not written yet."""
        return len(self._queue)

    def put(self, record: DomainRecord) -> bool:
        """Write `record` soon, in place of an earlier one of its domain; False: there is no room."""
        if len(self._queue) >= _MOST_QUEUED and record.domain not in self._queue:
            self.refused += 1
            return False
        self._queue[record.domain] = record
        self._some.set()
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        return True

    async def call(self, read: Callable[[Store], _T]) -> _T:
        """Run `read` on the store in a worker thread, when it is its turn.

        Raises:
            StoreError: what `read` raises.
        """
        async with self._turn:
            return await trio.to_thread.run_sync(read, self._store)

    async def flushed(self) -> None:
        """Wait until nothing is queued."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Write what is queued, until cancelled. A database that is away is tried again for ever."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            while self._queue:
                batch = list(self._queue.values())[:_BATCH]
                result = await self._write(batch)
                for record in batch:
                    # One that was put again meanwhile stays for the next batch.
                    if self._queue.get(record.domain) is record:
                        del self._queue[record.domain]
                self.batches += 1
                for refused in result.refused:
                    _log.warning("not stored: %s: %s", refused.domain, refused.why)
                self._written(result)
            self._idle.set()

    async def _write(self, batch: Sequence[DomainRecord]) -> PutResult:
        first, most = _RETRY_SECONDS
        wait = first
        while True:
            try:
                result = await self.call(lambda store: store.put(batch))
            except StoreError as error:
                self.failures += 1
                if wait == first:
                    _log.error("%s; %d records wait, and it is tried again", error, len(self._queue))
                await trio.sleep(wait)
                wait = min(2.0 * wait, most)
            else:
                if wait != first:
                    _log.info("the database is back; %d records to write", len(self._queue))
                return result
