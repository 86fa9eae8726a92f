"""A record of a domain as text for people, as JSON, and its instants in ISO 8601.

Nothing here needs escaping: the store holds printable ASCII only (`fastvhost.domains.rows`).
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite

from fastvhost.domains.record import DomainRecord, DomainState

__all__ = ["TABLE_HEADING", "iso_instant", "json_record", "parse_instant", "record_text", "table_lines"]

_WIDTH = 80
_DOMAIN_WIDTH = 28
_LAYOUT = "{domain:28} {state:8} {verified:10} {due:16} {evidence}"
_EVIDENCE_WIDTH = _WIDTH - len(_LAYOUT.format(domain="", state="", verified="", due=" " * 16, evidence=""))

TABLE_HEADING = _LAYOUT.format(
    domain="DOMAIN", state="STATE", verified="VERIFIED", due="NEXT CHECK (UTC)", evidence="EVIDENCE"
)

# Naive, since all is UTC and only the text says so.
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,400})?Z")
_CHECKED = (DomainState.ACTIVE, DomainState.DISABLED)


def iso_instant(seconds: float) -> str:
    """Seconds since the epoch as `2026-08-01T12:00:00.25Z`, with all the digits that the float has.

    Before 1970 and after 9999 it is the number itself.
    """
    exact = Decimal(repr(seconds))
    try:
        whole = _EPOCH + timedelta(seconds=int(exact))
    except OverflowError:
        return repr(seconds)
    if seconds < 0:
        return repr(seconds)
    _, point, digits = f"{exact:f}".partition(".")
    fraction = f"{point}{digits}".rstrip("0").rstrip(".")
    return f"{whole.isoformat()}{fraction}Z"


def parse_instant(text: str) -> float:
    """The float that `iso_instant` made `text` of, exactly.

    Raises:
        ValueError: it is neither in that form nor a finite number.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        seconds = float(text)
    else:
        since = datetime.fromisoformat(found[1]) - _EPOCH
        whole = since.days * 86_400 + since.seconds
        if whole < 0:
            raise ValueError(f"{text} is before 1970")
        seconds = float(f"{whole}{found[2] or ''}")
    if not isfinite(seconds):
        raise ValueError(f"{text} is not finite")
    return seconds


def table_lines(record: DomainRecord) -> str:
    """The record within 80 columns: one line, or two where the domain is a long one."""
    evidence = record.evidence
    if len(evidence) > _EVIDENCE_WIDTH:
        evidence = f"{evidence[: _EVIDENCE_WIDTH - 3]}..."
    is_long = len(record.domain) > _DOMAIN_WIDTH
    line = _LAYOUT.format(
        domain="" if is_long else record.domain,
        state=record.state.value,
        verified=iso_instant(record.last_verified)[:10] if record.last_verified else "never",
        due=iso_instant(record.next_check)[:16] if record.state in _CHECKED else "-",
        evidence=evidence,
    ).rstrip()
    return f"{record.domain}\n{line}" if is_long else line


def record_text(record: DomainRecord) -> str:
    """All that is known of a domain, a line for each."""
    since = record.negative_since
    lines = [
        record.domain,
        f"  state:         {record.state.value}, decided by {record.decided_by.value}",
        f"  evidence:      {record.evidence or '-'}",
        f"  did:           {record.did or f'{record.domain} (its own)'}",
        f"  first seen:    {_to_the_second(record.first_seen)}",
        f"  last seen:     {_to_the_second(record.last_seen)}",
        f"  last verified: {_to_the_second(record.last_verified) if record.last_verified else 'never'}",
        f"  next check:    {_to_the_second(record.next_check) if record.state in _CHECKED else '-'}",
        f"  failures:      {record.failures} in a row",
        f"  negatives:     {record.negatives} in a row{f', since {_to_the_second(since)}' if since else ''}",
    ]
    if record.disabled_at is not None:
        lines.append(f"  disabled at:   {_to_the_second(record.disabled_at)}")
    lines.append(f"  attributes:    {len(record.attributes) or 'none'}")
    lines += [f"    {one.name} = {one.value} ({one.type.name.lower()})" for one in record.attributes]
    return "\n".join(lines)


def json_record(record: DomainRecord) -> dict[str, object]:
    """All that is known of a domain: instants in ISO 8601, null for what is not there."""
    return {
        "domain": record.domain,
        "state": record.state.value,
        "decided_by": record.decided_by.value,
        "did": record.did,
        "first_seen": iso_instant(record.first_seen),
        "last_seen": iso_instant(record.last_seen),
        "last_verified": iso_instant(record.last_verified) if record.last_verified else None,
        "next_check": iso_instant(record.next_check),
        "failures": record.failures,
        "negatives": record.negatives,
        "negative_since": None if record.negative_since is None else iso_instant(record.negative_since),
        "disabled_at": None if record.disabled_at is None else iso_instant(record.disabled_at),
        "evidence": record.evidence,
        "attributes": [
            {"name": one.name, "type": one.type.name.lower(), "value": one.value} for one in record.attributes
        ],
    }


def _to_the_second(seconds: float) -> str:
    return iso_instant(float(int(seconds)))
