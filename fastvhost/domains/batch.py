"""One batch of records: which can be written, and writing them inside a transaction."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from fastvhost.domains.proxy_rows import AttributeRow, DomainRows, OurRow, match_attributes, match_domains
from fastvhost.domains.record import DecidedBy, DomainRecord, DomainState
from fastvhost.domains.rows import opensips_attrs, opensips_attrs_fault, record_fault, split_attributes
from fastvhost.domains.side_row import columns_of, our_row_of, record_of
from fastvhost.domains.stored import Refusal
from fastvhost.domains.tables import DOMAIN, ProxyTables

__all__ = ["WrittenBatch", "accepted_records", "write_batch"]

_OPERATORS_WORD = (DomainState.ACTIVE, DomainState.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBatch:
    """What writing a batch changed."""

    changed: bool
    """Whether any row of the proxy's differs."""
    added: Set[str]
    removed: Set[str]
    revision: int
    """The highest that a record was written with; 0 when none was."""


def accepted_records(
    records: Sequence[DomainRecord], tables: ProxyTables
) -> tuple[Mapping[str, DomainRecord], Sequence[Refusal]]:
    """The records that can be written, by domain in order of name, and what of them cannot."""
    accepted = {}
    refused = []
    for record in {record.domain: record for record in records}.values():
        fault = record_fault(record)
        if fault is not None:
            refused.append(Refusal(domain=record.domain, why=fault))
            continue
        fine, faults = split_attributes(record)
        refused += [Refusal(domain=record.domain, why=f"attribute {name!r}: {why}") for name, why in faults]
        if tables.attributes is None and (why := opensips_attrs_fault(fine.attributes)) is not None:
            refused.append(Refusal(domain=record.domain, why=f"its attributes: {why}"))
        accepted[record.domain] = fine
    return dict(sorted(accepted.items())), refused


def write_batch(
    connection: Connection,
    tables: ProxyTables,
    accepted: Mapping[str, DomainRecord],
    folds_case: bool,
    following: int,
    now: datetime,
) -> WrittenBatch:
    """Write records, by domain, and make the proxy's rows match.

    Args:
        connection: in a transaction that holds the lock of `fastvhost_revision`.
        tables: the proxy's.
        accepted: what `accepted_records` let through.
        folds_case: see `schema.folds_case`.
        following: the revision of what others must hear of.
        now: UTC.
    """
    rows = connection.execute(select(DOMAIN).where(DOMAIN.c.domain.in_(accepted)))
    known = {row.domain: row for row in rows}
    records = {
        domain: _beside(record_of(known[domain]), record) if domain in known else record
        for domain, record in accepted.items()
    }
    # Whoever wrote against the operator's word believes otherwise: he has to hear of it.
    overruled = {domain for domain, record in records.items() if record.state is not accepted[domain].state}
    modified = now.replace(microsecond=0, tzinfo=None)
    matched = match_domains(
        connection,
        tables,
        noted={domain: our_row_of(known.get(domain)) for domain in records},
        wanted={
            domain: opensips_attrs(record.attributes) if tables.attributes is None else record.did
            for domain, record in records.items()
            if record.state is DomainState.ACTIVE
        },
        folds_case=folds_case,
        now=modified,
    )
    changed = matched.changed
    if tables.attributes is not None:
        wanted = {domain: _attribute_rows(record, matched) for domain, record in records.items()}
        changed |= match_attributes(connection, tables.attributes, wanted=wanted, now=modified)
    written = []
    for domain, record in records.items():
        ours = matched.ours[domain]
        # A row put back may equal in all the one that the operator took out.
        is_moved = domain in matched.added or domain in matched.removed or domain in overruled
        revision = (
            following if is_moved else _revision_of(known.get(domain), record, ours, following=following)
        )
        if revision is not None:
            written.append(columns_of(record, ours, revision, now.timestamp()))
    if written:
        names = [columns["domain"] for columns in written]
        connection.execute(delete(DOMAIN).where(DOMAIN.c.domain.in_(names)))
        connection.execute(insert(DOMAIN), written)
    return WrittenBatch(
        changed=changed,
        added=matched.added,
        removed=matched.removed,
        revision=max((columns["revision"] for columns in written), default=0),
    )


def _beside(before: DomainRecord, record: DomainRecord) -> DomainRecord:
    """What is written of `record` where `before` stands.

    What the operator has served or barred stays so, whatever DNS says, or said before he did: a record may
    have waited in a queue meanwhile. What checks found is noted all the same.
    """
    record = replace(record, first_seen=before.first_seen)
    operators = before.decided_by is DecidedBy.OPERATOR and before.state in _OPERATORS_WORD
    if operators and record.decided_by is DecidedBy.DNS:
        return replace(
            record, state=before.state, decided_by=before.decided_by, disabled_at=before.disabled_at
        )
    return record


def _revision_of(
    row: Row[Any] | None, record: DomainRecord, ours: OurRow | None, *, following: int
) -> int | None:
    """The revision that a record is written with; None: it stands written already.

    It keeps the one it has where nothing changed that other daemons hear of.
    """
    if row is None or our_row_of(row) != ours:
        return following
    before = record_of(row)
    if before == record:
        return None
    told = (before.state, before.did, before.attributes) == (record.state, record.did, record.attributes)
    kept: int = row.revision
    return kept if told else following


def _attribute_rows(record: DomainRecord, rows: DomainRows) -> list[AttributeRow]:
    """What `domain_attrs` is to hold for a domain: nothing, unless its row is ours."""
    if rows.ours[record.domain] is None:
        return []
    did = record.domain if record.did is None else record.did
    return [(did, one.name, int(one.type), one.value) for one in record.attributes]
