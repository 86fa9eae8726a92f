"""A record of a domain as JSON, and its instants in ISO 8601."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite

from fastvhost.domains.record import DomainRecord

__all__ = ["iso_instant", "json_record", "parse_instant"]

# Naive, since all is UTC and only the text says so.
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,400})?Z")


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
