"""What a row of the proxy's tables may hold: one bad row fails a whole reload, and stops the proxy at start.

Everything is printable ASCII, so that octets and characters are the same in any character set of a database.

Source: Kamailio 5.6, modules/domain (`reload_tables` in domain.c, domain-create.sql), core/ut.h (`str2sint`).
"""

import re
from dataclasses import replace
from ipaddress import IPv6Address
from math import isfinite

from fastvhost.domains.record import Attribute, AttributeType, DomainRecord
from fastvhost.host import DomainName, Malformed, parse_host

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_ATTRIBUTE_NAME",
    "MAX_DOMAIN",
    "attribute_fault",
    "did_fault",
    "domain_fault",
    "opensips_attrs",
    "opensips_attrs_fault",
    "record_fault",
    "split_attributes",
]

MAX_DOMAIN = 64
"""Octets of a domain, and of a did."""
MAX_ATTRIBUTE_NAME = 32
_MAX_VALUE = 255
"""Octets of the columns, in Kamailio's `domain` v2 and `domain_attrs` v1 and OpenSIPS's `domain` v4 alike."""

_MAX_EVIDENCE = 255

MAX_ATTRIBUTES = 64
"""Attributes of one domain. Ours: a record then fits the 64 kB of MariaDB's TEXT."""

_PRINTABLE = re.compile(r"[ -~]*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT32 = range(-(2**31), 2**31)


def domain_fault(domain: str) -> str | None:
    """What keeps `domain` out of the proxy's table, in words; None when nothing does.

    Kamailio compares the text of the host, so only the one canonical spelling is let in.
    """
    if len(domain) > MAX_DOMAIN:
        return f"over {MAX_DOMAIN} octets"
    match parse_host(domain):
        case Malformed(why=why):
            return f"not a host: {why}"
        case DomainName(name=canonical):
            pass
        case IPv6Address() as address:
            canonical = f"[{address}]"
        case address:
            canonical = str(address)
    return None if canonical == domain else f"not the canonical spelling, which is {canonical}"


def did_fault(did: str) -> str | None:
    """What keeps `did` out of either table, in words; None when nothing does."""
    return _text_fault(did, "did", least=1, most=MAX_DOMAIN)


def attribute_fault(attribute: Attribute) -> str | None:
    """What keeps `attribute` out of `domain_attrs`, in words; None when nothing does."""
    fault = _text_fault(attribute.name, "name", least=1, most=MAX_ATTRIBUTE_NAME)
    fault = fault or _text_fault(attribute.value, "value", least=0, most=_MAX_VALUE)
    if fault is not None:
        return fault
    match attribute.type:
        case AttributeType.STRING:
            return None
        case AttributeType.INTEGER:
            return _integer_fault(attribute.value)
    return f"type {attribute.type} is neither 0 nor 2"  # type: ignore[unreachable]  # an int may stand in


def record_fault(record: DomainRecord) -> str | None:
    """What keeps the whole of `record` out of the store, in words; its attributes are asked about apart."""
    fault = domain_fault(record.domain)
    if fault is None and record.did is not None:
        fault = did_fault(record.did)
    if fault is None:
        fault = _text_fault(record.evidence, "evidence", least=0, most=_MAX_EVIDENCE)
    instants = (record.first_seen, record.last_seen, record.last_verified, record.next_check)
    maybe = (record.negative_since or 0.0, record.disabled_at or 0.0)
    if fault is None and not all(map(isfinite, instants + maybe)):
        fault = "an instant that is no finite number"
    return fault


def split_attributes(record: DomainRecord) -> tuple[DomainRecord, tuple[tuple[str, str], ...]]:
    """The record with those attributes that can be written, sorted, each once; the others' names and why."""
    faults = []
    fine: set[Attribute] = set()
    for attribute in record.attributes:
        fault = attribute_fault(attribute)
        if fault is None and attribute not in fine and len(fine) == MAX_ATTRIBUTES:
            fault = f"over {MAX_ATTRIBUTES} attributes"
        if fault is None:
            fine.add(attribute)
        else:
            faults.append((attribute.name, fault))
    return replace(record, attributes=tuple(sorted(fine))), tuple(faults)


def opensips_attrs(attributes: tuple[Attribute, ...]) -> str | None:
    """The column `attrs` of OpenSIPS, `name=value;…`; None without attributes, or when there is a fault."""
    if not attributes or opensips_attrs_fault(attributes) is not None:
        return None
    return _joined(attributes)


def opensips_attrs_fault(attributes: tuple[Attribute, ...]) -> str | None:
    """What keeps the attributes out of OpenSIPS's one column, in words; None when nothing does."""
    if len(_joined(attributes)) > _MAX_VALUE:
        return f"together over {_MAX_VALUE} octets"
    if any(";" in one.value or ";" in one.name or "=" in one.name for one in attributes):
        return 'a ";" or a "=" where it would end the name or the value'
    return None


def _joined(attributes: tuple[Attribute, ...]) -> str:
    # A CHAR column does not tell trailing spaces from its own padding.
    return ";".join(f"{one.name}={one.value}" for one in attributes).rstrip(" ")


def _text_fault(text: str, what: str, *, least: int, most: int) -> str | None:
    if len(text) < least:
        return f"an empty {what}"
    if len(text) > most:
        return f"a {what} over {most} octets"
    if not _PRINTABLE.fullmatch(text):
        return f"a {what} with a character that is not printable ASCII"
    return None


def _integer_fault(value: str) -> str | None:
    # str2sint lets 2**32 wrap around and the reload pass: the proxy would then hold another number.
    if not _INTEGER.fullmatch(value) or int(value) not in _INT32:
        return "type 0 and the value is no 32-bit integer"
    return None
