"""A row of `fastvhost_domain` as a record and back."""

import json
from typing import Any

from sqlalchemy import Row

from fastvhost.domains.proxy_rows import OurRow
from fastvhost.domains.record import Attribute, AttributeType, DecidedBy, DomainRecord, DomainState

__all__ = ["NO_ATTRIBUTES", "attributes_of", "columns_of", "our_row_of", "record_of"]

NO_ATTRIBUTES = "[]"
"""The column of most domains, so that it need not be read."""


def record_of(row: Row[Any]) -> DomainRecord:
    """The record that a row holds."""
    return DomainRecord(
        domain=row.domain,
        state=DomainState(row.state),
        decided_by=DecidedBy(row.decided_by),
        did=row.did,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        last_verified=row.last_verified,
        next_check=row.next_check,
        failures=row.failures,
        negatives=row.negatives,
        negative_since=row.negative_since,
        disabled_at=row.disabled_at,
        evidence=row.evidence,
        attributes=attributes_of(row.attributes),
    )


def attributes_of(column: str) -> tuple[Attribute, ...]:
    """The attributes that a column holds."""
    return tuple(
        Attribute(name=name, type=AttributeType(type_), value=value)
        for name, type_, value in json.loads(column)
    )


def our_row_of(row: Row[Any] | None) -> OurRow | None:
    """The row of the proxy's table that is noted as ours."""
    if row is None or row.row_id is None:
        return None
    return OurRow(id=row.row_id, beside=row.row_beside, modified=row.row_modified)


def columns_of(record: DomainRecord, ours: OurRow | None, revision: int, now: float) -> dict[str, Any]:
    """All columns of the row; `now` is when it is written, in wall-clock seconds."""
    return {
        "domain": record.domain,
        "state": record.state.value,
        "decided_by": record.decided_by.value,
        "did": record.did,
        "first_seen": record.first_seen,
        "last_seen": record.last_seen,
        "last_verified": record.last_verified,
        "next_check": record.next_check,
        "failures": record.failures,
        "negatives": record.negatives,
        "negative_since": record.negative_since,
        "disabled_at": record.disabled_at,
        "evidence": record.evidence,
        "attributes": json.dumps([[one.name, int(one.type), one.value] for one in record.attributes]),
        "revision": revision,
        "written_at": now,
        "row_id": None if ours is None else ours.id,
        "row_beside": None if ours is None else ours.beside,
        "row_modified": None if ours is None else ours.modified,
    }
