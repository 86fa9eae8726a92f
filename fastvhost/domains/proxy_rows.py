"""Making the proxy's rows match what is known, without touching a row that we did not write.

A row is ours when we noted its id and it still is what we wrote, `last_modified` included: one that the
operator edited, or took out and put in again, is his. All of this runs inside a transaction that holds
the lock of `fastvhost_revision`, so only the operator's tools can interfere.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    Table,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from fastvhost.domains.tables import ATTRIBUTE, DOMAIN, ProxyTables

__all__ = ["AttributeRow", "DomainRows", "OurRow", "match_attributes", "match_domains", "modified_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OurRow:
    """A row of `domain` that we wrote, as we wrote it."""

    id: int
    beside: str | None
    """Its did, or with OpenSIPS its attrs."""
    modified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRows:
    """How the proxy's rows stand, and what was done to them."""

    ours: Mapping[str, OurRow | None]
    """By domain, all that were asked about."""
    added: Set[str]
    removed: Set[str]
    changed: bool
    """Whether any row differs, the did of one that stays included."""


AttributeRow = tuple[str, str, int, str]
"""did, name, type, value."""


def modified_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """`last_modified` as text, which is the same in all databases for what we wrote."""
    return cast(column, String(32))


def match_domains(
    connection: Connection,
    tables: ProxyTables,
    *,
    noted: Mapping[str, OurRow | None],
    wanted: Mapping[str, str | None],
    folds_case: bool,
    now: datetime,
) -> DomainRows:
    """Make our rows of `domain` those of `wanted`, but where the operator has the name.

    Args:
        connection: in a transaction that writes.
        tables: the proxy's.
        noted: the domains that this is about, and the rows that we noted as ours.
        wanted: what `did` or `attrs` is to be, by domain; those of `noted` that lack here get no row.
        folds_case: see `schema.folds_case`.
        now: UTC, whole seconds; becomes `last_modified`.
    """
    columns = tables.domain.c
    name = columns.domain if folds_case else func.lower(columns.domain)
    rows = connection.execute(_rows_of(tables).where(name.in_(noted)).with_for_update())
    standing: dict[str, OurRow] = {}
    theirs = set()
    for row_id, domain, beside, modified in rows:
        domain, beside = domain.rstrip(" "), beside and beside.rstrip(" ")  # CHAR is padded
        row = OurRow(id=row_id, beside=beside, modified=modified)
        if noted.get(domain) == row:
            standing[domain] = row
        else:
            theirs.add(domain.lower())
    ours = {
        domain: row
        for domain, row in standing.items()
        if domain in wanted and domain not in theirs and row.beside == wanted[domain]
    }
    _delete(connection, tables.domain, [row.id for domain, row in standing.items() if domain not in ours])
    missing = [
        {"domain": domain, tables.beside.name: beside, "last_modified": now}
        for domain, beside in wanted.items()
        if domain not in ours and domain not in theirs
    ]
    inserted = _insert_uncontested(
        connection,
        tables.domain,
        missing,
        lambda row: connection.scalar(select(columns.id).where(columns.domain == row["domain"])) is not None,
    )
    if inserted:
        ours |= _noted_new(connection, tables, [row["domain"] for row in inserted])
    return DomainRows(
        ours={domain: ours.get(domain) for domain in noted},
        added=ours.keys() - standing.keys(),
        removed=standing.keys() - ours.keys(),
        changed=bool(inserted) or len(standing.keys() & ours.keys()) < len(standing),
    )


def match_attributes(
    connection: Connection,
    table: Table,
    *,
    wanted: Mapping[str, Collection[AttributeRow]],
    now: datetime,
) -> bool:
    """Make our rows of `domain_attrs` for the domains of `wanted` those given; returns whether any changed.

    Where the operator has a row of the same did and name, his word stands alone.
    """
    noted = connection.execute(select(ATTRIBUTE).where(ATTRIBUTE.c.domain.in_(wanted))).all()
    dids = {row.did for row in noted} | {row[0] for rows in wanted.values() for row in rows}
    if not dids:
        return False
    there = {row[0]: tuple(row) for row in connection.execute(_attributes_of(table, dids).with_for_update())}
    ours = _standing_attributes(connection, there)
    said = {(did.lower(), name.lower()) for id_, did, name, *_ in there.values() if id_ not in ours}
    gone = []
    missing: list[tuple[str, AttributeRow]] = []
    for domain, rows in wanted.items():
        right = {row for row in rows if (row[0].lower(), row[1].lower()) not in said}
        kept = {content for owner, content in ours.values() if owner == domain} & right
        gone += [id_ for id_, (owner, content) in ours.items() if owner == domain and content not in right]
        missing += [(domain, row) for row in sorted(right - kept)]
    _delete(connection, table, gone)
    stale = {row.row_id for row in noted} - {id_ for id_ in ours if id_ not in gone}
    _delete(connection, ATTRIBUTE, stale, key=ATTRIBUTE.c.row_id)
    inserted = _insert_uncontested(
        connection,
        table,
        [{**_named(row), "last_modified": now, "_domain": domain} for domain, row in missing],
        lambda _: True,  # older scripts of Kamailio have did, name and value unique
    )
    if inserted:
        _note_attributes(connection, table, inserted, known=there.keys() - set(gone))
    return bool(gone or inserted)


def _rows_of(tables: ProxyTables) -> Select[Any]:
    columns = tables.domain.c
    return select(columns.id, columns.domain, tables.beside, modified_text(columns.last_modified))


def _noted_new(connection: Connection, tables: ProxyTables, domains: Sequence[str]) -> dict[str, OurRow]:
    """The rows that we just wrote, with the ids that they got."""
    found = connection.execute(_rows_of(tables).where(tables.domain.c.domain.in_(domains))).all()
    # The id may have been that of a row of ours which the operator deleted.
    stale = DOMAIN.c.row_id.in_([row[0] for row in found])
    connection.execute(update(DOMAIN).where(stale).values(row_id=None, row_beside=None, row_modified=None))
    return {
        row[1].rstrip(" "): OurRow(id=row[0], beside=row[2] and row[2].rstrip(" "), modified=row[3])
        for row in found
    }


def _attributes_of(table: Table, dids: Collection[str]) -> Select[Any]:
    columns = table.c
    modified = modified_text(columns.last_modified)
    return select(
        columns.id, columns.did, columns.name, columns.type, columns.value, modified.label("modified")
    ).where(columns.did.in_(dids))


def _standing_attributes(
    connection: Connection, there: Mapping[int, tuple[Any, ...]]
) -> dict[int, tuple[str, AttributeRow]]:
    """Those rows of `domain_attrs` that are ours, by id: their domain and content."""
    noted: Sequence[Row[Any]] = connection.execute(
        select(ATTRIBUTE).where(ATTRIBUTE.c.row_id.in_(there))
    ).all()
    ours = {}
    for row in noted:
        content: AttributeRow = (row.did, row.name, row.type, row.value)
        if there[row.row_id] == (row.row_id, *content, row.row_modified):
            ours[row.row_id] = (row.domain, content)
    return ours


def _note_attributes(
    connection: Connection, table: Table, inserted: Sequence[Mapping[str, Any]], *, known: Collection[int]
) -> None:
    """Note the rows just inserted as ours, with the ids that they got."""
    owners: defaultdict[AttributeRow, list[str]] = defaultdict(list)
    for row in inserted:
        owners[row["did"], row["name"], row["type"], row["value"]].append(row["_domain"])
    now = str(inserted[0]["last_modified"])
    found = connection.execute(_attributes_of(table, {row["did"] for row in inserted})).all()
    notes = []
    for row_id, did, name, type_, value, modified in found:
        domains = owners.get((did, name, type_, value))
        if row_id not in known and modified == now and domains:
            note = {**_named((did, name, type_, value)), "row_id": row_id, "row_modified": modified}
            notes.append({**note, "domain": domains.pop()})
    _delete(connection, ATTRIBUTE, [note["row_id"] for note in notes], key=ATTRIBUTE.c.row_id)
    connection.execute(insert(ATTRIBUTE), notes)


def _named(row: AttributeRow) -> dict[str, Any]:
    return dict(zip(("did", "name", "type", "value"), row, strict=True))


def _delete(
    connection: Connection, table: Table, ids: Collection[int], *, key: ColumnElement[int] | None = None
) -> None:
    if ids:
        connection.execute(delete(table).where((table.c.id if key is None else key).in_(ids)))


def _insert_uncontested(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    is_there: Callable[[Mapping[str, Any]], bool],
) -> Sequence[Mapping[str, Any]]:
    """Insert `rows` and return those that went in; one whose place the operator took meanwhile does not.

    Raises:
        IntegrityError: the table refuses a row, and not because its place is taken.
    """
    values = [{key: value for key, value in row.items() if key in table.c} for row in rows]
    if not rows:
        return rows
    try:
        with connection.begin_nested():
            connection.execute(insert(table), values)
    except IntegrityError:
        inserted = []
        for row, value in zip(rows, values, strict=True):
            try:
                with connection.begin_nested():
                    connection.execute(insert(table).inline(), value)
            except IntegrityError:
                if not is_there(row):
                    raise
            else:
                inserted.append(row)
        return inserted
    return rows
