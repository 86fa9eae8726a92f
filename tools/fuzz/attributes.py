"""Attributes: whatever a domain publishes becomes rows that the proxy can load, or reasons.

An input is one octet of circumstances, then character-strings as in a TXT record's octets.
"""

from typing import TYPE_CHECKING

from fastvhost.config import Attributes, AttributeType
from fastvhost.domains.attributes import Published, read_attributes
from fastvhost.host import DomainName, parse_host

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check"]

_AUTHENTIC = 1
_TRUSTED = 2
_ALLOWED = 4
_OF_THE_SECOND = 8
"""The circumstances: bits, and above them how many strings stand in a record of their own."""


def check(octets: bytes) -> None:
    """Read the records under the rules that the first octet tells."""
    circumstances = octets[0] if octets else 0
    authentic = bool(circumstances & _AUTHENTIC)
    allow = {"plan": AttributeType.STRING, "level": AttributeType.INTEGER}
    rules = Attributes(
        allow=allow if circumstances & _ALLOWED else {}, trust_auth=bool(circumstances & _TRUSTED)
    )
    strings = _character_strings(octets[1:])
    second = circumstances // _OF_THE_SECOND
    records = [strings[second:], strings[:second]]
    published = read_attributes(records, rules, authentic=authentic)
    _check_rows(published, auth_counts=authentic and rules.trust_auth)
    _check_names(published)
    _check_reasons(published)
    if not any(record and record[0].lower() == b"v=vhost1" for record in records):
        assert published == Published()
    assert read_attributes(records[::-1], rules, authentic=authentic) == published, "the order is chance"


def _character_strings(octets: bytes) -> list[bytes]:
    strings = []
    at = 0
    while at < len(octets):
        end = at + 1 + octets[at]
        strings.append(octets[at + 1 : end])
        at = end
    return strings


def _check_rows(published: Published, *, auth_counts: bool) -> None:
    names = [one.name for one in published.attributes]
    assert len(names) == len(set(names)) <= 63
    for one in published.attributes:
        assert one.name.startswith("dns.")
        assert len(one.name) <= 32
        assert 1 <= len(one.value) <= 255
        assert (one.name + one.value).isascii()
        assert (one.name + one.value).isprintable()
        assert auth_counts or not one.name.startswith("dns.auth.")
        if one.type is AttributeType.INTEGER:
            assert str(int(one.value)) == one.value
            assert -(2**31) <= int(one.value) < 2**31


def _check_names(published: Published) -> None:
    names: Sequence[str] = (*published.aliases, *([] if published.did is None else [published.did]))
    assert len(set(published.aliases)) == len(published.aliases) <= 50
    for name in names:
        assert parse_host(name) == DomainName(name)
        assert len(name) <= 64


def _check_reasons(published: Published) -> None:
    for skipped in published.skipped:
        assert len(skipped.key) <= 64
        assert skipped.key.isascii()
        assert (skipped.key + skipped.why).isprintable()
