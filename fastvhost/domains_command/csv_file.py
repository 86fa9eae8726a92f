"""Domains as CSV (RFC 4180) and back: what is written reads as the very same record.

The header names the columns, in any order; `domain` must be there. Without the others a line is an ACTIVE
domain by the operator's word.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO, TypeVar

from fastvhost.domains.record import Attribute, AttributeType, DecidedBy, DomainRecord, DomainState
from fastvhost.domains.record_json import iso_instant, parse_instant
from fastvhost.domains.rows import opensips_attrs_fault, record_fault, split_attributes
from fastvhost.domains_command.access import RefusedError, canonical_domain

__all__ = ["COLUMNS", "csv_row", "read_records"]

COLUMNS = (
    "domain",
    "state",
    "did",
    "first_seen",
    "last_seen",
    "last_verified",
    "next_check",
    "decided_by",
    "failures",
    "negatives",
    "negative_since",
    "disabled_at",
    "evidence",
    "attributes",
)

_MAX_COUNT = 2**31 - 1
"""The columns of the store are SQL's INTEGER."""

_MAX_RECORD = 131_072
"""Characters of one domain, over all its lines: what the `csv` module takes in one field. The largest record,
64 attributes of nothing but quotes, has under 60,000."""

_INSTANT = "an instant like 2026-08-01T12:00:00Z"
_ATTRIBUTES = 'a JSON list like [["dns.max-calls", "integer", "5"]], of type integer or string'

_T = TypeVar("_T")


def csv_row(record: DomainRecord) -> list[str]:
    """The fields of a record, in the order of `COLUMNS`; empty for None."""
    instants = ("first_seen", "last_seen", "last_verified", "next_check", "negative_since", "disabled_at")
    fields = {name: _optional_instant(getattr(record, name)) for name in instants} | {
        "domain": record.domain,
        "state": record.state.value,
        "did": record.did or "",
        "decided_by": record.decided_by.value,
        "failures": str(record.failures),
        "negatives": str(record.negatives),
        "evidence": record.evidence,
        "attributes": json.dumps([[one.name, one.type.name.lower(), one.value] for one in record.attributes])
        if record.attributes
        else "",
    }
    return [fields[name] for name in COLUMNS]


def read_records(
    file: TextIO, name: str, *, now: float, next_check: Callable[[str], float], for_opensips: bool
) -> Iterator[DomainRecord]:
    """The records of a CSV file, each one that the store will take.

    Args:
        file: opened with `newline=""`.
        name: what errors call it.
        now: wall-clock seconds, for what `first_seen` and `last_seen` do not say.
        next_check: when a domain is due of which the file does not say it.
        for_opensips: whether the attributes must fit the one column of OpenSIPS.

    Raises:
        RefusedError: with file, line, what is wrong and what is allowed.
    """
    # One record at a time, and of all only the names: a million are 100 MB.
    seen: set[str] = set()
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        _check_header(header)
        lines.begin_record()
        for row in reader:
            lines.begin_record()
            if not row:
                continue
            fields = _fields(header, row)
            record = _record(fields, now, next_check)
            _check(record, for_opensips=for_opensips)
            _note_once(record.domain, seen)
            yield record
    except (_FieldError, csv.Error, RefusedError) as error:
        raise RefusedError(f"{name}:{max(lines.number, 1)}: {error}") from None


class _FieldError(Exception):
    """A line that cannot be taken; turned into a RefusedError with its place."""


class _Lines:
    """The lines of a file, counted; those of one record are bounded together, as the file may have no end."""

    def __init__(self, file: TextIO) -> None:
        self.number = 0
        self._file = file
        self._room = _MAX_RECORD

    def begin_record(self) -> None:
        """What was read until now is done with."""
        self._room = _MAX_RECORD

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._room + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._room -= len(line)
        if self._room < 0:
            raise _FieldError(
                f"a line of over {_MAX_RECORD:,} characters; allowed are at most that many for one domain"
            )
        return line


def _check_header(header: list[str]) -> None:
    if "domain" not in header or len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
        raise _FieldError(f"the header must have domain, and of these each at most once: {','.join(COLUMNS)}")


def _fields(header: list[str], row: list[str]) -> dict[str, str]:
    """Those that are not empty, by column."""
    if len(row) != len(header):
        raise _FieldError(f"{len(row)} fields; the header has {len(header)}")
    return {column: text for column, text in zip(header, row, strict=True) if text != ""}


def _note_once(domain: str, seen: set[str]) -> None:
    if domain in seen:
        raise _FieldError(f"{domain} stands in the file twice; allowed is once")
    seen.add(domain)


def _record(fields: Mapping[str, str], now: float, next_check: Callable[[str], float]) -> DomainRecord:
    def instant(column: str, default: float) -> float:
        return _read(fields, column, parse_instant, _INSTANT) if column in fields else default

    def count(column: str) -> int:
        return _read(fields, column, _count, f"0 to {_MAX_COUNT}") if column in fields else 0

    if "domain" not in fields:
        raise _FieldError("domain: empty; a host is needed")
    domain = canonical_domain(fields["domain"])
    return DomainRecord(
        domain=domain,
        state=_read(fields, "state", DomainState, _words(DomainState))
        if "state" in fields
        else DomainState.ACTIVE,
        decided_by=_read(fields, "decided_by", DecidedBy, _words(DecidedBy))
        if "decided_by" in fields
        else DecidedBy.OPERATOR,
        did=fields.get("did"),
        first_seen=instant("first_seen", now),
        last_seen=instant("last_seen", now),
        last_verified=instant("last_verified", 0.0),
        next_check=instant("next_check", next_check(domain)),
        failures=count("failures"),
        negatives=count("negatives"),
        negative_since=instant("negative_since", 0.0) if "negative_since" in fields else None,
        disabled_at=instant("disabled_at", 0.0) if "disabled_at" in fields else None,
        evidence=fields.get("evidence", ""),
        attributes=_read(fields, "attributes", _attributes, _ATTRIBUTES) if "attributes" in fields else (),
    )


def _read(fields: Mapping[str, str], column: str, read: Callable[[str], _T], allowed: str) -> _T:
    try:
        return read(fields[column])
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise _FieldError(f"{column}: {fields[column][:80]!r}; allowed is {allowed}") from None


def _words(kind: type[DomainState] | type[DecidedBy]) -> str:
    return ", ".join(one.value for one in kind)


def _count(text: str) -> int:
    if not (
        text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_COUNT)) and int(text) <= _MAX_COUNT
    ):
        raise ValueError(text)
    return int(text)


def _attributes(text: str) -> tuple[Attribute, ...]:
    read = []
    for name, kind, value in json.loads(text):
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(text)
        read.append(Attribute(name=name, type=AttributeType[kind.upper()], value=value))
    return tuple(read)


def _check(record: DomainRecord, *, for_opensips: bool) -> None:
    """Refuse here what the store would: it must not find out in the middle of a file."""
    fault = record_fault(record)
    if fault is not None:
        raise _FieldError(f"{record.domain}: {fault}")
    for name, why in split_attributes(record)[1]:
        raise _FieldError(f"{record.domain}: attribute {name!r}: {why}")
    if for_opensips and (fault := opensips_attrs_fault(record.attributes)) is not None:
        raise _FieldError(f"{record.domain}: its attributes: {fault}")


def _optional_instant(seconds: float | None) -> str:
    return "" if seconds is None else iso_instant(seconds)
