"""The operator's word: which entry speaks for a host."""

from math import inf

import pytest

from fastvhost.config import Domains
from fastvhost.domains.table import DomainTable
from fastvhost.model import Verdict, VerdictKind

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED


def kind_of(table: DomainTable, host: str) -> VerdictKind | None:
    verdict = table.find(host)
    return None if verdict is None else verdict.kind


def test_find_listed_name_holds_for_ever_and_says_where_it_is_listed() -> None:
    table = DomainTable(Domains(always=("example.com",), never=("example.net",)))
    assert table.find("example.com") == Verdict(
        kind=HOSTED, host="example.com", expires=inf, reason="domains.always lists example.com"
    )
    assert table.find("example.net") == Verdict(
        kind=NOT_HOSTED, host="example.net", expires=inf, reason="domains.never lists example.net"
    )


def test_find_below_a_suffix_names_the_host_and_the_suffix() -> None:
    table = DomainTable(Domains(never=(".example.com",)))
    assert table.find("a.b.example.com") == Verdict(
        kind=NOT_HOSTED, host="a.b.example.com", expires=inf, reason="domains.never lists .example.com"
    )


@pytest.mark.parametrize(
    "host", ["example.com", "wwwexample.com", "example.com.net", "com", "a.com", "example.net"]
)
def test_find_beside_a_suffix_is_none(host: str) -> None:
    assert DomainTable(Domains(always=(".example.com",))).find(host) is None


@pytest.mark.parametrize("host", ["www.example.com", "com", "xexample.com"])
def test_find_beside_a_name_is_none(host: str) -> None:
    assert DomainTable(Domains(always=("example.com",))).find(host) is None


def test_find_in_an_empty_table_is_none() -> None:
    table = DomainTable(Domains())
    assert table.find("example.com") is None
    assert len(table) == 0


@pytest.mark.parametrize("swapped", [False, True])
def test_find_name_speaks_before_longer_suffix_before_shorter_suffix(swapped: bool) -> None:
    ours, others = ("a.b.example.com", ".example.com"), (".b.example.com", ".com")
    table = DomainTable(Domains(always=others if swapped else ours, never=ours if swapped else others))
    kinds = [
        kind_of(table, host) for host in ("a.b.example.com", "c.b.example.com", "c.example.com", "c.com")
    ]
    expected = [HOSTED, NOT_HOSTED, HOSTED, NOT_HOSTED]
    assert kinds == ([NOT_HOSTED, HOSTED, NOT_HOSTED, HOSTED] if swapped else expected)


def test_find_listed_in_both_is_not_hosted() -> None:
    table = DomainTable(
        Domains(always=("example.com", ".example.com"), never=("example.com", ".example.com"))
    )
    assert kind_of(table, "example.com") is NOT_HOSTED
    assert kind_of(table, "a.example.com") is NOT_HOSTED


def test_find_name_and_suffix_of_one_domain_speak_apart() -> None:
    table = DomainTable(Domains(always=("example.com",), never=(".example.com",)))
    assert kind_of(table, "example.com") is HOSTED
    assert kind_of(table, "a.example.com") is NOT_HOSTED
    assert len(table) == 2


@pytest.mark.parametrize(("octets", "found"), [(252, True), (253, True), (254, False), (4_000, False)])
def test_has_suffix_of_text_longer_than_any_host_is_false(octets: int, found: bool) -> None:
    table = DomainTable(Domains(always=(".example.com",)))
    text = ".example.com".rjust(octets, ".")
    assert table.has_suffix_of(text) == found
    assert (table.find(text) is not None) == found


def test_has_suffix_of_text_that_is_no_host_is_true() -> None:
    table = DomainTable(Domains(always=("example.net", ".example.com")))
    assert [table.has_suffix_of(text) for text in ("_.example.com", ".example.com", "a..example.com")] == [
        True
    ] * 3
    assert not table.has_suffix_of("example.com")
    assert not table.has_suffix_of("a.example.net")
    assert not DomainTable(Domains(always=("example.com",))).has_suffix_of("a.example.com")
