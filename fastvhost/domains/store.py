"""The store of learned domains: what we know in a table of ours, what the proxy is to serve in its own.

Synchronous: every call waits for the database, so it belongs in a worker thread. A `Store` may be used from
several threads, and several daemons may use one database. Writers queue at one row, `fastvhost_revision`,
so that whoever has seen revision N has seen all before it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, select, update

from fastvhost.domains.batch import accepted_records, write_batch
from fastvhost.domains.engine import CHANNEL, database_errors, open_engine, writing
from fastvhost.domains.housekeeping import Census
from fastvhost.domains.operator_rows import operator_dids, operator_names
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.schema import folds_case, prepare_schema
from fastvhost.domains.side_row import NO_ATTRIBUTES, attributes_of, record_of
from fastvhost.domains.stored import Changes, Loaded, OperatorDids, PutResult, Refusal
from fastvhost.domains.tables import DOMAIN, REVISION, ProxyKind, proxy_tables

__all__ = ["MAX_BATCH", "Changes", "Loaded", "PutResult", "Refusal", "Store"]

MAX_BATCH = 5_000
"""Records of one `put`; each takes a variable of a statement, and SQLite has 32,766 of these."""

_STREAMED = 10_000
"""Rows fetched at a time where a million may come."""

_CHECKED = (DomainState.ACTIVE, DomainState.DISABLED)
_SOME_ATTRIBUTES = func.nullif(DOMAIN.c.attributes, NO_ATTRIBUTES).label("some")
_ACTIVE, _REMOVED = DomainState.ACTIVE.value, DomainState.REMOVED.value


class Store:
    """Learned domains in SQL, and the proxy's tables kept to match.

    Every method but `close` raises StoreUnavailableError when the database is away, busy or full (the same
    call may succeed later, and left nothing half-written), and StoreError when the operator must act.
    """

    def __init__(self, url: str, *, proxy: ProxyKind) -> None:
        """Nothing is opened yet.

        Args:
            url: `sqlite:///FILE`, `postgresql+psycopg://…` or `mysql+pymysql://…`.
            proxy: whose tables they are: Kamailio's `domain` v2 and `domain_attrs` v1, or OpenSIPS's
                `domain` v4.

        Raises:
            StoreError: another form of URL, or the driver is not installed.
        """
        self._engine = open_engine(url)
        self._tables = proxy_tables(proxy)
        self._folds_case = False

    def prepare(self) -> None:
        """Make the tables that are absent, check the versions of the others; to be called before all else."""
        prepare_schema(self._engine, self._tables)
        with database_errors(), self._engine.connect() as connection:
            self._folds_case = folds_case(connection)

    def close(self) -> None:
        """Give back the connections; no other method may be called after it."""
        self._engine.dispose()

    # Reading

    def load(self) -> Loaded:
        """Read what a daemon needs at start; a million domains take some seconds."""
        with database_errors(), self._engine.connect() as connection:
            # First, so that whatever is committed meanwhile is read twice rather than never.
            revision = connection.execute(select(REVISION.c.revision)).scalar_one()
            # One pass in the order of the table: along the index each name would be a step aside.
            states = select(DOMAIN.c.domain, DOMAIN.c.state, _SOME_ATTRIBUTES)
            states = states.where(DOMAIN.c.state != _REMOVED)
            active = []
            others = {}
            attributes = {}
            for name, state, some in connection.execute(states, execution_options={"yield_per": _STREAMED}):
                if state == _ACTIVE:
                    active.append(name)
                    if some is not None:
                        attributes[name] = attributes_of(some)
                else:
                    others[name] = DomainState(state)
            operator = operator_names(connection, self._tables)
        return Loaded(
            active=active, operator=operator, others=others, attributes=attributes, revision=revision
        )

    def get(self, domain: str) -> DomainRecord | None:
        """What is known of a canonical host; None: it was never learned."""
        with database_errors(), self._engine.connect() as connection:
            row = connection.execute(select(DOMAIN).where(DOMAIN.c.domain == domain)).first()
        return None if row is None else record_of(row)

    def find(self, state: DomainState | None = None, after: str = "", *, limit: int) -> list[DomainRecord]:
        """Up to `limit` records by name, from behind `after`, which is the last name of the page before."""
        statement = select(DOMAIN).where(DOMAIN.c.domain > after).order_by(DOMAIN.c.domain).limit(limit)
        if state is not None:
            statement = statement.where(DOMAIN.c.state == state.value)
        with database_errors(), self._engine.connect() as connection:
            return [record_of(row) for row in connection.execute(statement)]

    def changes_since(self, revision: int) -> Changes:
        """What was written after `revision`, by any daemon."""
        columns = DOMAIN.c
        with database_errors(), self._engine.connect() as connection:
            rows = connection.execute(
                select(columns.domain, columns.state, columns.revision, _SOME_ATTRIBUTES).where(
                    columns.revision > revision
                )
            ).all()
            # Last, so that a tombstone taken away meanwhile is noticed.
            forgotten = connection.execute(select(REVISION.c.forgotten)).scalar_one()
        return Changes(
            states={row.domain: DomainState(row.state) for row in rows},
            attributes={
                row.domain: attributes_of(row.some)
                for row in rows
                if row.state == _ACTIVE and row.some is not None
            },
            revision=max((row.revision for row in rows), default=revision),
            complete=forgotten <= revision,
        )

    def operator_rows(self) -> set[str]:
        """Names in the proxy's table that we did not write, in lower case."""
        with database_errors(), self._engine.connect() as connection:
            return operator_names(connection, self._tables)

    def operator_dids(self) -> OperatorDids:
        """Dids that rows not ours use. Reads all rows.

        Empty for OpenSIPS, which has no dids.
        """
        with database_errors(), self._engine.connect() as connection:
            return operator_dids(connection, self._tables)

    # Writing

    def put(self, records: Sequence[DomainRecord]) -> PutResult:
        """Write `records` and make the proxy's rows match, all of them or none.

        An ACTIVE domain gets its row, unless the operator has one of that name; any other state takes our row
        away. `first_seen` stays as first written, and what the operator decided to serve or to bar stays so
        against records that DNS decided. Of two records of one domain the later counts. Records and
        attributes that would stop the proxy are left out and returned as refused. A record that is as written
        already costs nothing and makes no revision; one whose state, did and attributes are, makes none.

        Args:
            records: at most `MAX_BATCH`.

        Raises:
            ValueError: more than that.
            StoreError: see `Store`; nothing is written.
        """
        if len(records) > MAX_BATCH:
            raise ValueError(f"{len(records)} records; at most {MAX_BATCH} are written at once")
        accepted, refused = accepted_records(records, self._tables)
        with writing(self._engine) as connection:
            before = _lock(connection)
            # Wall time: rows outlive the process. Read behind the lock, to follow the order of writing.
            now = datetime.now(UTC)
            batch = write_batch(connection, self._tables, accepted, self._folds_case, before + 1, now)
            revision = max(before, batch.revision)
            if revision != before:
                _advance(connection, revision)
        return PutResult(
            changed=batch.changed,
            added=sorted(batch.added),
            removed=sorted(batch.removed),
            refused=refused,
            revision=revision,
        )

    def census(self) -> Census:
        """Count the ACTIVE domains, and those of them that DNS said last are not ours."""
        # No WHERE: one pass in the order of the table, where along the index each row is a step aside.
        is_active = DOMAIN.c.state == DomainState.ACTIVE.value
        statement = select(_how_many(is_active), _how_many(is_active & (DOMAIN.c.negatives > 0)))
        with database_errors(), self._engine.connect() as connection:
            active, negatives = connection.execute(statement).one()
        return Census(active=int(active), negative=int(negatives))

    def due(
        self, now: float, limit: int, lease_seconds: float, *, horizon: float = inf
    ) -> list[DomainRecord]:
        """Claim up to `limit` ACTIVE and DISABLED domains whose `next_check` is at most `now`, oldest first.

        One that is planned beyond `horizon` is due as well: a clock that was ahead planned it.

        Each is returned to one caller only: its `next_check` is moved to `now + lease_seconds`, so that it
        is due again when the caller dies. The records returned still have the instant they were due at.
        """
        columns = DOMAIN.c
        with writing(self._engine) as connection:
            _lock(connection)
            found: list[Row[Any]] = []
            spans = [columns.next_check <= now]
            if horizon != inf:
                spans.append(columns.next_check > horizon)
            for state, span in product(_CHECKED, spans):  # each by itself runs along the index
                statement = select(DOMAIN).where(columns.state == state.value, span)
                found += connection.execute(
                    statement.order_by(columns.next_check, columns.domain).limit(limit)
                ).all()
            found = sorted(found, key=lambda row: (row.next_check, row.domain))[:limit]
            for start in range(0, len(found), MAX_BATCH):
                names = [row.domain for row in found[start : start + MAX_BATCH]]
                connection.execute(
                    update(DOMAIN).where(columns.domain.in_(names)).values(next_check=now + lease_seconds)
                )
        return [record_of(row) for row in found]

    def remove_tombstones(self, before: float) -> int:
        """Forget REMOVED domains that were written before `before`, wall-clock seconds; returns how many."""
        old = (DOMAIN.c.state == DomainState.REMOVED.value, DOMAIN.c.written_at < before)
        with writing(self._engine) as connection:
            _lock(connection)
            forgotten = connection.execute(select(func.max(DOMAIN.c.revision)).where(*old)).scalar()
            if forgotten is None:
                return 0
            connection.execute(
                update(REVISION).where(REVISION.c.forgotten < forgotten).values(forgotten=forgotten)
            )
            return connection.execute(delete(DOMAIN).where(*old)).rowcount


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _lock(connection: Connection) -> int:
    """Wait until no other writer is at it; returns the revision. Released when the transaction ends."""
    revision: int = connection.execute(select(REVISION.c.revision).with_for_update()).scalar_one()
    return revision


def _advance(connection: Connection, revision: int) -> None:
    connection.execute(update(REVISION).values(revision=revision))
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, str(revision))))
