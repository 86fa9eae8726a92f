"""What known domains publish, in memory, as character-strings."""

import pytest

from fastvhost.config import AttributeType
from fastvhost.domains.record import Attribute
from fastvhost.domains.texts import DomainTexts


def attribute(name: str, value: str) -> Attribute:
    return Attribute(name=name, type=AttributeType.STRING, value=value)


PEERING = attribute("dns.peering", "open")
CALLS = attribute("dns.max-calls", "7")


def test_text_is_key_and_value_without_the_prefix_in_the_order_of_the_attributes() -> None:
    texts = DomainTexts("dns.", {"a.example": [PEERING, CALLS]})
    assert texts.find("a.example") == (b"peering=open", b"max-calls=7")
    assert texts.find("b.example") == ()


def test_text_of_a_name_under_another_prefix_is_shown_whole() -> None:
    assert DomainTexts("x.", {"a.example": [PEERING]}).find("a.example") == (b"dns.peering=open",)


def test_text_put_again_unchanged_is_the_same_object_and_changed_another() -> None:
    texts = DomainTexts("dns.", {"a.example": [PEERING]})
    before = texts.find("a.example")
    texts.put("a.example", [attribute("dns.peering", "open")])
    assert texts.find("a.example") is before
    texts.put("a.example", [CALLS])
    assert texts.find("a.example") == (b"max-calls=7",)


def test_text_of_a_domain_without_attributes_takes_no_room() -> None:
    texts = DomainTexts("dns.", {"a.example": [PEERING], "b.example": []})
    assert len(texts) == 1
    texts.put("a.example", ())
    texts.put("c.example", ())
    assert len(texts) == 0
    assert texts.find("a.example") == ()


@pytest.mark.parametrize(("octets", "kept"), [(254, True), (255, True), (256, False)])
def test_text_that_no_character_string_holds_is_left_out(octets: int, kept: bool) -> None:
    long = attribute("dns.k", "v" * (octets - 2))
    found = DomainTexts("dns.", {"a.example": [long, CALLS]}).find("a.example")
    assert found == ((b"k=" + b"v" * (octets - 2),) if kept else ()) + (b"max-calls=7",)


@pytest.mark.parametrize(("count", "kept"), [(63, 63), (64, 64), (65, 64)])
def test_texts_of_one_domain_are_64_at_most(count: int, kept: int) -> None:
    many = [attribute(f"dns.k{number}", "v") for number in range(count)]
    assert len(DomainTexts("dns.", {"a.example": many}).find("a.example")) == kept
