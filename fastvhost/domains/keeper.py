"""The keeper of known domains: joins table, store, learner, housekeeping and proxies for a running service.

Everything that changes goes one way: into the store; from there, whoever wrote it, back into memory and on
to the proxies. So several daemons on one store, and the command line, all see the same.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from itertools import chain
from typing import NoReturn, TypeVar, assert_never

import trio

from fastvhost.config import Config, LearnMode
from fastvhost.domains.consent import read_secret
from fastvhost.domains.engine import notifications_connection
from fastvhost.domains.housekeeping import Brake, Braking, first_check, longest_wait
from fastvhost.domains.learner import Learner
from fastvhost.domains.proxy_links import ProxyLinks
from fastvhost.domains.recent import RecentChanges
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.store import Changes, Loaded, PutResult, Store
from fastvhost.domains.stored import OperatorDids
from fastvhost.domains.sweep import sweep
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.domains.text import AskText
from fastvhost.domains.texts import DomainTexts
from fastvhost.domains.writer import StoreWriter
from fastvhost.errors import StoreError
from fastvhost.model import Finding

__all__ = ["Keeper", "checks_at_once"]

_log = logging.getLogger(__name__)

_LEASE_SECONDS = 300.0
"""How long a check that a daemon took on is left to it."""

_ROWS_SECONDS = 60.0
"""Between two looks at the proxy's own rows, which nobody announces."""
_LISTEN_AGAIN_SECONDS = 30.0
"""Until PostgreSQL is listened to again after that connection failed; polling goes on meanwhile."""

_CHECKS_AT_ONCE = 128
"""Most checks under way. Fewer where housekeeping's tenth of `limits.upstream_qps` would not let all of them
end within `dns.walk_timeout`: they would all spend a part of what they need, and none would ever end."""

_CHECK_QUERIES = 12
"""Upstream queries of one check: up to six (NAPTR, three SRV, A and AAAA), as many again for retries."""

_TOMBSTONE_SECONDS = 7 * 86_400.0
"""How long a removed domain is remembered: any daemon looks more often."""

_FLUSH_SECONDS = 2.0
"""For what is left to write when the service ends."""

_T = TypeVar("_T")


class Keeper:
    """Known domains of one running service, kept while `open` lasts."""

    def __init__(
        self,
        config: Config,
        *,
        table: DomainTable,
        registrable_domain: Callable[[str], str],
        check: Callable[[str], Awaitable[Finding]],
        confirm: Callable[[str], Awaitable[Finding]],
        ask_text: AskText,
        forget: Callable[[str], None],
        wall_clock: Callable[[], float],
    ) -> None:
        """Nothing is opened yet.

        Args:
            table: what the rest of the service reads.
            check: asks DNS about a domain at the cost of housekeeping.
            confirm: the same once more, in a way that is harder to forge.
            ask_text: asks for TXT at a name, likewise.
            forget: called with each domain that is known no more.
            wall_clock: seconds since the epoch.

        Raises:
            ConfigError: `domains.secret_file` cannot be used.
            StoreError: the URL of the store is none, or its driver is not installed.
        """
        self._config = config
        self._store = Store(config.domains.store, proxy=config.domains.schema.value)
        self._table = table
        self._check = check
        self._confirm = confirm
        self._forget = forget
        self._wall_clock = wall_clock
        self._look = trio.Event()
        self._revision = 0
        self._asked: set[str] = set()
        self._checks = 0
        self.recent = RecentChanges()
        self._brake = Brake(config.housekeeping)
        self._writer = StoreWriter(self._store, written=self._written)
        self.proxies = ProxyLinks(
            config.proxies, known=table.hosted_names, ttl=config.housekeeping.check_ceiling
        )
        self._texts = DomainTexts(config.attributes.prefix, {})
        self._learner = Learner(
            config.domains,
            config.attributes,
            secret=read_secret(config.domains) if config.domains.learn is LearnMode.TOKEN else None,
            table=table,
            registrable_domain=registrable_domain,
            first_record=self._first_record,
            keep=self._writer.put,
            ask_text=ask_text,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the known domains while the block runs; the table has them from its first line on.

        Raises:
            StoreError: the store cannot be used.
            ListenError: a proxy cannot be linked with.
        """
        try:
            await trio.to_thread.run_sync(self._store.prepare)
            await self.load()
            async with self.proxies.open(), trio.open_nursery() as nursery:
                nursery.start_soon(self.run)
                try:
                    yield
                    await self.flush()
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            self._store.close()

    def found(self, host: str, finding: Finding) -> None:
        """DNS says that `host`, which is not known yet, is ours. Cheap; never raises."""
        self._learner.found(host, finding)

    def text(self, host: str) -> Sequence[bytes]:
        """What a learned domain publishes, as character-strings; nothing for the operator's own rows."""
        return self._texts.find(host) if self._table.standing(host) is Standing.LEARNED else ()

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        writer = self._writer
        return {
            "known": len(self._table),
            "queued": writer.queued,
            "batches": writer.batches,
            "store_failures": writer.failures,
            "store_refused": writer.refused,
            "checks": self._checks,
            "braked": int(self._brake.braking is not None),
            **asdict(self._learner.counters),
            **self.proxies.counts(),
        }

    async def ask(self, read: Callable[[Store], _T]) -> _T:
        """What `read` returns of the store; may raise StoreError."""
        return await self._writer.call(read)

    async def load(self) -> None:
        """Take everything in from the store: what is known before the first answer.

        Raises:
            StoreError: the store cannot be used.
        """

        def read(
            store: Store,
        ) -> tuple[int, dict[str, Standing], DomainTexts, Counter[str], OperatorDids, list[str]]:
            # All that takes a while with a million domains, while others are answered.
            loaded = store.load()
            pending = [host for host, state in loaded.others.items() if state is DomainState.PENDING]
            zones = self._learner.zones_of(chain(loaded.active, pending))
            texts = DomainTexts(self._config.attributes.prefix, loaded.attributes)
            gone = [host for host, state in loaded.others.items() if state is not DomainState.PENDING]
            return loaded.revision, _standing_of(loaded), texts, zones, store.operator_dids(), gone

        self._revision, standing, self._texts, zones, dids, gone = await self._writer.call(read)
        self._table.replace_all(standing)
        for host in gone:
            self._forget(host)  # a snapshot of the cache may be older than what became of them
        self._learner.count_known(zones)
        self._learner.operator_dids = dids

    async def run(self) -> NoReturn:
        """Learn, write, look, check and tell, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._writer.run)
            nursery.start_soon(self._learner.run)
            nursery.start_soon(self._follow_changes)
            nursery.start_soon(self._follow_rows)
            nursery.start_soon(self._sweep)
            if self._config.domains.store.startswith("postgresql"):
                nursery.start_soon(self._listen)
        raise AssertionError("these tasks end only when cancelled")

    async def flush(self) -> None:
        """Write what is queued, as far as a short time allows."""
        with trio.move_on_after(_FLUSH_SECONDS) as scope:
            await self._writer.flushed()
        if scope.cancelled_caught:
            _log.warning("%d learned domains could not be stored", self._writer.queued)

    def _first_record(self, host: str, finding: Finding) -> DomainRecord:
        now = self._wall_clock()
        return DomainRecord(
            domain=host,
            state=DomainState.ACTIVE,
            first_seen=now,
            last_seen=now,
            last_verified=now,
            next_check=first_check(host, finding.ttl, now, self._config.housekeeping),
            evidence=_printable(finding.reason),
        )

    def _written(self, result: PutResult) -> None:
        if result.changed:
            self.proxies.rows_changed()
        if result.revision > self._revision:
            self._look.set()

    async def _follow_changes(self) -> NoReturn:
        """Take over what was written, by us or anybody else: when told so, and every `domains.poll`."""
        while True:
            with trio.move_on_after(self._config.domains.poll):
                await self._look.wait()
            self._look = trio.Event()
            with suppress(StoreError):  # the writer says in the log that the database is away
                changes = await self._writer.call(lambda store: store.changes_since(self._revision))
                if not changes.complete:
                    before = frozenset(self._table.hosted_names())
                    await self.load()
                    for host in before:
                        self._is_gone(host)
                    self.proxies.rows_changed()
                else:
                    self._take_over(changes)

    def _take_over(self, changes: Changes) -> None:
        self._revision = max(self._revision, changes.revision)
        for host, state in changes.states.items():
            self.recent.note(host, state, self._wall_clock())
            self._texts.put(host, changes.attributes.get(host, ()))
            match state:
                case DomainState.ACTIVE:
                    self._learner.enter(host)
                    self.proxies.hosted(host)
                    continue
                case DomainState.PENDING:
                    self._learner.enter(host, Standing.PENDING)
                case DomainState.REJECTED:
                    self._learner.reject(host)
                case DomainState.DISABLED | DomainState.REMOVED:
                    self._learner.leave(host)
                case never:
                    assert_never(never)
            self._is_gone(host)
        if changes.states:
            self.proxies.rows_changed()

    def _is_gone(self, host: str) -> None:
        """Nothing is to be believed of `host` any more but what DNS says, unless the table still has it."""
        if self._table.standing(host) in (Standing.PROXY_ROW, Standing.LEARNED):
            return
        self._forget(host)
        self.proxies.gone(host)

    async def _follow_rows(self) -> NoReturn:
        while True:
            await trio.sleep(_ROWS_SECONDS)
            self._asked |= self._table.take_asked()
            with suppress(StoreError):
                rows, dids = await self._writer.call(
                    lambda store: (store.operator_rows(), store.operator_dids())
                )
                gone = self._table.replace_proxy_rows(rows)
                self._learner.operator_dids = dids
                if gone:
                    await self.load()  # what was learned under these names counts again
                    for host in gone:
                        self._is_gone(host)
                await self._writer.call(self._remove_tombstones)

    def _remove_tombstones(self, store: Store) -> int:
        return store.remove_tombstones(self._wall_clock() - _TOMBSTONE_SECONDS)

    async def _listen(self) -> NoReturn:
        """On PostgreSQL changes announce themselves; polling goes on beside it."""
        import psycopg  # an extra of ours: there when the store is PostgreSQL's

        url = self._config.domains.store
        while True:
            with suppress(StoreError, OSError, psycopg.Error):
                connection = await trio.to_thread.run_sync(notifications_connection, url)
                try:
                    self._look.set()  # nobody told us of what was written before we listened
                    while True:
                        await trio.lowlevel.wait_readable(connection.fileno())
                        for _ in connection.notifies(timeout=0):
                            self._look.set()
                        if connection.closed:
                            break
                finally:
                    connection.close()
            await trio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _sweep(self) -> NoReturn:
        rules = self._config.housekeeping
        horizon = longest_wait(rules)
        await sweep(
            census=lambda: self._writer.call(lambda store: store.census()),
            due=lambda now, limit: self._writer.call(
                lambda store: store.due(now, limit, _LEASE_SECONDS, horizon=now + horizon)
            ),
            check=self._check,
            confirm=self._confirm,
            save=self._save_checked,
            wall_clock=self._wall_clock,
            rules=rules,
            brake=self._brake,
            on_alarm=_alarm,
            in_flight=checks_at_once(self._config),
            poll=self._config.domains.poll,
        )

    async def _save_checked(self, records: list[DomainRecord]) -> None:
        """Keep what checks found, with what the domains publish now, unless somebody decided otherwise."""
        self._asked |= self._table.take_asked()
        asked = self._asked.intersection(record.domain for record in records)
        now = self._wall_clock()
        dressed: list[DomainRecord] = []

        async def dress(record: DomainRecord) -> None:
            if _is_verified(record):
                record = await self._learner.with_attributes(record)
            dressed.append(replace(record, last_seen=now) if record.domain in asked else record)

        # Side by side: one whose name servers are silent holds up no other.
        async with trio.open_nursery() as nursery:
            for record in records:
                nursery.start_soon(dress, record)

        def save(store: Store) -> PutResult:
            # A check takes seconds, in which the operator may have had his word.
            stands = [record for record in dressed if _is_still_checked(store.get(record.domain))]
            return store.put(stands)

        self._written(await self._writer.call(save))
        self._checks += len(records)
        self._asked -= asked
        for record in dressed:
            # Such a check makes no revision, and what a proxy was told ends.
            if _is_verified(record) and self._table.standing(record.domain) is Standing.LEARNED:
                self.proxies.hosted(record.domain)


def _is_verified(record: DomainRecord) -> bool:
    return record.state is DomainState.ACTIVE and not record.negatives and not record.failures


def _standing_of(loaded: Loaded) -> dict[str, Standing]:
    """Why each name is known: a row of the proxy's goes before what we know of its name."""
    standing = dict.fromkeys(loaded.operator, Standing.PROXY_ROW)
    for host, state in loaded.others.items():
        if state is DomainState.REJECTED:
            standing.setdefault(host, Standing.REJECTED)
        elif state is DomainState.PENDING:
            standing.setdefault(host, Standing.PENDING)
    for host in loaded.active:
        standing.setdefault(host, Standing.LEARNED)
    return standing


def checks_at_once(config: Config) -> int:
    """How many domains to check side by side, at least 1, so that housekeeping's budget lets them end."""
    queries = config.limits.upstream_qps / 10.0 * config.dns.walk_timeout
    return max(1, min(_CHECKS_AT_ONCE, int(queries / _CHECK_QUERIES)))


def _is_still_checked(record: DomainRecord | None) -> bool:
    return record is not None and record.state in (DomainState.ACTIVE, DomainState.DISABLED)


def _alarm(braking: Braking | None) -> None:
    if braking is None:
        _log.info("housekeeping: the brake is off")
    else:
        _log.error(
            "housekeeping: %d of %d domains turned negative at once: none is disabled any more; "
            "see `fastvhost domains list`, then `fastvhost domains confirm` if they have really left",
            braking.negative,
            braking.of,
        )


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:255]
