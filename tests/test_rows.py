"""What a row may hold, by the rules of the proxy's module: nothing that passes here may stop a proxy."""

from dataclasses import replace
from math import inf, nan

import pytest

from fastvhost.domains.record import Attribute, AttributeType, DomainRecord, DomainState
from fastvhost.domains.rows import (
    MAX_ATTRIBUTES,
    attribute_fault,
    did_fault,
    domain_fault,
    opensips_attrs,
    opensips_attrs_fault,
    record_fault,
    split_attributes,
)

LABEL = "a" * 60
RECORD = DomainRecord(
    domain="a.example",
    state=DomainState.ACTIVE,
    first_seen=1.0,
    last_seen=1.0,
    last_verified=1.0,
    next_check=1.0,
)


def integer(value: str, name: str = "max") -> Attribute:
    return Attribute(name=name, type=AttributeType.INTEGER, value=value)


def string(value: str, name: str = "realm") -> Attribute:
    return Attribute(name=name, type=AttributeType.STRING, value=value)


@pytest.mark.parametrize(
    "domain",
    ["a", "a.example", f"{LABEL}.com", "xn--bcher-kva.example", "203.0.113.10", "[2001:db8::10]"],
)
def test_domain_in_canonical_spelling_is_fine(domain: str) -> None:
    assert domain_fault(domain) is None


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        ("", "not a host: empty"),
        (f"{LABEL}.info", "over 64 octets"),
        ("Example.com", "not the canonical spelling, which is example.com"),
        ("example.com.", "not the canonical spelling, which is example.com"),
        ("bücher.example", "not the canonical spelling, which is xn--bcher-kva.example"),
        ("[2001:DB8::10]", "not the canonical spelling, which is [2001:db8::10]"),
        ("*.example.com", "not a host: a character that no host may have"),
        ("a b.com", "not a host: a character that no host may have"),
        ("a.example\0", "not a host: a character that no host may have"),
        ("a.example\n", "not a host: a character that no host may have"),
    ],
)
def test_domain_that_the_proxy_would_not_match_is_refused(domain: str, fault: str) -> None:
    assert domain_fault(domain) == fault


@pytest.mark.parametrize(
    ("did", "fault"),
    [
        ("", "an empty did"),
        ("d", None),
        ("d" * 64, None),
        ("d" * 65, "a did over 64 octets"),
        ("a\0b", "a did with a character that is not printable ASCII"),
        ("a\n", "a did with a character that is not printable ASCII"),
        ("é", "a did with a character that is not printable ASCII"),
        ("\udc80", "a did with a character that is not printable ASCII"),
    ],
)
def test_did_is_one_to_64_printable_octets(did: str, fault: str | None) -> None:
    assert did_fault(did) == fault


@pytest.mark.parametrize(
    "attribute",
    [
        string("v", "n"),
        string("v", "n" * 32),
        string(""),
        string("v" * 255),
        *(integer(value) for value in ("0", "007", "+5", "-5", "2147483647", "-2147483648")),
    ],
)
def test_attribute_that_a_reload_accepts_is_fine(attribute: Attribute) -> None:
    assert attribute_fault(attribute) is None


@pytest.mark.parametrize(
    "attribute",
    [
        string("v", ""),
        string("v", "n" * 33),
        string("v", "n\0"),
        string("v" * 256),
        string("a\0b"),
        string("tab\t"),
        string("ü"),
        integer("1" * 256),
        *(integer(value) for value in ("", "+", "-", "x", "1.5", " 1", "1 ", "0x10", "--1", "٣")),
        *(integer(value) for value in ("2147483648", "-2147483649", "4294967297", "9" * 255)),
        Attribute(name="n", type=1, value="v"),  # type: ignore[arg-type]
    ],
)
def test_attribute_that_fails_a_reload_or_reads_as_another_is_refused(attribute: Attribute) -> None:
    assert attribute_fault(attribute) is not None


def test_attributes_are_split_into_those_that_are_fine_and_why_the_others_are_not() -> None:
    given = (string("v"), integer("many"), integer("5"), string("v"))
    record, faults = split_attributes(replace(RECORD, attributes=given))
    assert record.attributes == (integer("5"), string("v"))
    assert faults == (("max", "type 0 and the value is no 32-bit integer"),)


@pytest.mark.parametrize(("given", "refused"), [(MAX_ATTRIBUTES, 0), (MAX_ATTRIBUTES + 1, 1)])
def test_attributes_over_the_bound_are_refused(given: int, refused: int) -> None:
    attributes = tuple(string(f"{number}") for number in range(given))
    record, faults = split_attributes(replace(RECORD, attributes=attributes))
    assert (len(record.attributes), len(faults)) == (MAX_ATTRIBUTES, refused)


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, domain="A.example"),
        replace(RECORD, did=""),
        replace(RECORD, evidence="two\nlines"),
        replace(RECORD, evidence="e" * 256),
        replace(RECORD, next_check=inf),
        replace(RECORD, negative_since=nan),
        replace(RECORD, disabled_at=-inf),
    ],
)
def test_record_that_a_database_cannot_hold_is_refused(record: DomainRecord) -> None:
    assert record_fault(RECORD) is None
    assert record_fault(record) is not None


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ((), None),
        ((integer("5"), string("a b=c")), "max=5;realm=a b=c"),
        ((string("padded  "),), "realm=padded"),
        ((string("v" * 249),), f"realm={'v' * 249}"),
    ],
)
def test_opensips_attrs_joins_attributes(attributes: tuple[Attribute, ...], text: str | None) -> None:
    assert opensips_attrs_fault(attributes) is None
    assert opensips_attrs(attributes) == text


@pytest.mark.parametrize(
    "attribute", [string("v" * 250), string("a;b"), string("v", "a=b"), string("v", "a;b")]
)
def test_opensips_attrs_that_would_be_cut_or_read_as_others_are_left_out(attribute: Attribute) -> None:
    assert opensips_attrs_fault((attribute,)) is not None
    assert opensips_attrs((attribute,)) is None
