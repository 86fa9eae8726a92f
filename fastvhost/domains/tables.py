"""The tables: the proxy's, which operators write too, and ours, which tell our rows from theirs.

Source: Kamailio 5.6, {standard,domain}-create.sql of kamctl; OpenSIPS 3, the same two of opensips-cli.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import (
    CHAR,
    TIMESTAMP,
    BigInteger,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler

__all__ = [
    "ATTRIBUTE",
    "DOMAIN",
    "OWN_METADATA",
    "OWN_VERSIONS",
    "REVISION",
    "ProxyKind",
    "ProxyTables",
    "proxy_tables",
]

ProxyKind = Literal["kamailio", "opensips"]

OWN_METADATA = MetaData()
_MYSQL = "of MySQL"
_PROXYS = {_MYSQL: "ENGINE=InnoDB"}
# Our names are compared octet for octet; MariaDB's default collation would take B for b.
_OURS = {_MYSQL: "ENGINE=InnoDB CHARSET=utf8mb4 COLLATE=utf8mb4_bin"}

DOMAIN = Table(
    "fastvhost_domain",
    OWN_METADATA,
    Column("domain", String(64), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("decided_by", String(8), nullable=False),
    Column("did", String(64)),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("last_verified", Double, nullable=False),
    Column("next_check", Double, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("negatives", Integer, nullable=False),
    Column("negative_since", Double),
    Column("disabled_at", Double),
    Column("evidence", String(255), nullable=False),
    Column("attributes", Text, nullable=False),  # JSON: [[name, type, value], …]
    Column("revision", BigInteger, nullable=False),
    Column("written_at", Double, nullable=False),  # when this row was written, by the writer's wall clock
    # The row of the proxy's table that we wrote, as we wrote it. An id alone does not prove it ours: SQLite
    # gives the id of a deleted row to the next one.
    Column("row_id", BigInteger),  # NULL: none is ours
    Column("row_beside", String(255)),  # its did, or with OpenSIPS its attrs
    Column("row_modified", String(32)),
    Index("fastvhost_domain_due", "state", "next_check"),
    Index("fastvhost_domain_revision", "revision"),
    Index("fastvhost_domain_row", "row_id", unique=True),
    info=_OURS,
)
"""What we know of learned domains; the columns of `DomainRecord`, then our bookkeeping."""

ATTRIBUTE = Table(
    "fastvhost_attribute",
    OWN_METADATA,
    Column("row_id", BigInteger, primary_key=True, autoincrement=False),
    Column("domain", String(64), nullable=False, index=True),
    Column("did", String(64), nullable=False),
    Column("name", String(32), nullable=False),
    Column("type", Integer, nullable=False),
    Column("value", String(255), nullable=False),
    Column("row_modified", String(32), nullable=False),
    info=_OURS,
)
"""The rows of `domain_attrs` that we wrote, as we wrote them, and for which domain."""

REVISION = Table(
    "fastvhost_revision",
    OWN_METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),  # the highest revision of a tombstone taken away
    info=_OURS,
)
"""One row. Whoever writes holds its lock, so revisions are committed in their order."""

OWN_VERSIONS = {"fastvhost_domain": 1, "fastvhost_attribute": 1, "fastvhost_revision": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTables:
    """The proxy's tables in one variant, and the versions that the proxy asks for."""

    metadata: MetaData
    version: Table
    domain: Table
    beside: Column[str]
    """The column of `domain` that we fill beside the name: `did`, or with OpenSIPS `attrs`."""
    attributes: Table | None
    """`domain_attrs`; OpenSIPS has none."""
    versions: Mapping[str, int]


def proxy_tables(proxy: ProxyKind) -> ProxyTables:
    """The tables of `proxy`, with the column types of its own scripts."""
    metadata = MetaData()
    version = Table(
        "version",
        metadata,
        _id(),
        Column("table_name", String(32), nullable=False),
        Column("table_version", _Unsigned(), nullable=False, server_default=text("0")),
        UniqueConstraint("table_name", name="version_table_name_idx"),
        implicit_returning=False,  # older scripts give `version` no id
    )
    match proxy:
        case "kamailio":
            beside = Column("did", String(64))
            name = Column("domain", String(64), nullable=False)
            domain = _domain_table(metadata, name, beside, modified="2000-01-01 00:00:01")
            attributes: Table | None = Table(
                "domain_attrs",
                metadata,
                _id(),
                Column("did", String(64), nullable=False),
                Column("name", String(32), nullable=False),
                Column("type", _Unsigned(), nullable=False),
                Column("value", String(255), nullable=False),
                _modified("2000-01-01 00:00:01"),
                Index("domain_attrs_domain_attrs_idx", "did", "name"),
                info=_PROXYS,
            )
            versions = {"domain": 2, "domain_attrs": 1}
        case "opensips":
            beside = Column("attrs", CHAR(255))
            name = Column("domain", CHAR(64), nullable=False, server_default="")
            subdomain = Column("accept_subdomain", _Unsigned(), nullable=False, server_default=text("0"))
            domain = _domain_table(metadata, name, beside, subdomain, modified="1900-01-01 00:00:01")
            attributes = None
            versions = {"domain": 4}
    return ProxyTables(
        metadata=metadata,
        version=version,
        domain=domain,
        beside=beside,
        attributes=attributes,
        versions=versions,
    )


def _domain_table(
    metadata: MetaData, name: Column[str], *columns: Column[str] | Column[int], modified: str
) -> Table:
    return Table(
        "domain",
        metadata,
        _id(),
        name,
        *columns,
        _modified(modified),
        UniqueConstraint("domain", name="domain_domain_idx"),
        info=_PROXYS,
    )


def _id() -> Column[int]:
    return Column("id", _Unsigned(), primary_key=True)


# SQLAlchemy's own variants and options for MySQL would load that dialect at each start with another: 10 ms.


@compiles(CreateTable, "mysql")
def _create_on_mysql(create: CreateTable, compiler: DDLCompiler, **arguments: object) -> str:
    made = str(compiler.visit_create_table(create, **arguments))  # type: ignore[no-untyped-call]
    options = create.element.info.get(_MYSQL)  # none: a table of the program that fastvhost is a part of
    return made if options is None else f"{made.rstrip()} {options}"


class _Unsigned(Integer):
    """An integer, with MySQL and MariaDB an unsigned one."""


@compiles(_Unsigned, "mysql")
def _unsigned_of_mysql(_type: _Unsigned, _compiler: object, **_: object) -> str:
    return "INTEGER UNSIGNED"


class _SqliteTimestamp(sqlite.DATETIME):
    __visit_name__ = "TIMESTAMP"


def _modified(default: str) -> Column[object]:
    # Whole seconds, so that its text is the same in all three databases.
    kind = (
        TIMESTAMP()
        .with_variant(DateTime(), "mysql")
        .with_variant(_SqliteTimestamp(truncate_microseconds=True), "sqlite")  # type: ignore[no-untyped-call]
    )
    return Column("last_modified", kind, nullable=False, server_default=default)
