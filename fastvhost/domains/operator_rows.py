"""The operator's rows in the proxy's tables: those that we did not write, or that he has changed since."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, func, or_, select

from fastvhost.domains.proxy_rows import modified_text
from fastvhost.domains.stored import OperatorDids
from fastvhost.domains.tables import ATTRIBUTE, DOMAIN, ProxyTables

__all__ = ["operator_dids", "operator_names"]

_STREAMED = {"yield_per": 10_000}
"""Rows fetched at a time: there may be a million, most of them ours."""


def operator_names(connection: Connection, tables: ProxyTables) -> set[str]:
    """Names of the operator's rows in `domain`, in lower case."""
    rows = connection.execute(_operator_domains(tables), execution_options=_STREAMED)
    return {domain.rstrip(" ").lower() for domain, _ in rows}


def operator_dids(connection: Connection, tables: ProxyTables) -> OperatorDids:
    """Dids that the operator's rows use."""
    if tables.attributes is None:
        return OperatorDids()
    rows = connection.execute(_operator_domains(tables), execution_options=_STREAMED)
    of_domains = frozenset((domain if did is None else did).lower() for domain, did in rows)
    columns = tables.attributes.c
    attributes = connection.execute(
        _not_ours(tables.attributes, ATTRIBUTE, columns.did)
        .where(
            or_(
                ATTRIBUTE.c.row_id.is_(None),
                ATTRIBUTE.c.row_modified != modified_text(columns.last_modified),
                *(_differ(ATTRIBUTE.c[name], columns[name]) for name in ("did", "name", "value")),
                ATTRIBUTE.c.type != columns.type,
            )
        )
        .distinct(),
        execution_options=_STREAMED,
    )
    of_attributes = frozenset(did.lower() for (did,) in attributes)
    return OperatorDids(of_domains=of_domains, of_attributes=of_attributes)


def _operator_domains(tables: ProxyTables) -> Select[Any]:
    """Name, and did or attrs, of the rows that are not ours."""
    columns = tables.domain.c
    return _not_ours(tables.domain, DOMAIN, columns.domain, tables.beside).where(
        or_(
            DOMAIN.c.row_id.is_(None),
            DOMAIN.c.row_modified != modified_text(columns.last_modified),
            _differ(DOMAIN.c.domain, columns.domain),
            _differ(DOMAIN.c.row_beside, tables.beside),
        )
    )


def _not_ours(table: Table, notes: Table, *columns: Column[Any]) -> Select[Any]:
    return select(*columns).select_from(table.outerjoin(notes, notes.c.row_id == table.c.id))


def _differ(noted: Column[str], found: Column[str]) -> ColumnElement[bool]:
    # rtrim: a CHAR is padded. NULL differs from "" in no way that matters here: neither is a did.
    return func.rtrim(func.coalesce(noted, "")) != func.rtrim(func.coalesce(found, ""))
