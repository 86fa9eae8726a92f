"""The registrable domain: whose budget a host spends."""

from collections.abc import Callable
from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from fastvhost.zone_cut import registrable_domain_reader


@pytest.fixture(scope="module")
def registrable_domain() -> Callable[[str], str]:
    return registrable_domain_reader()


@pytest.mark.parametrize(
    ("host", "zone"),
    [
        ("example.com", "example.com"),
        ("a.b.c.example.com", "example.com"),
        ("sip.example.co.uk", "example.co.uk"),
        ("www.city.kawasaki.jp", "city.kawasaki.jp"),  # an exception to *.kawasaki.jp
        ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
        ("a.b.example.test", "example.test"),  # no such top-level domain: its first label is the suffix
        ("a.xn--bcher-kva.xn--p1ai", "xn--bcher-kva.xn--p1ai"),
        ("a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ("b.a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
    ],
)
def test_registrable_domain_of_a_host_is_one_label_below_the_public_suffix(
    host: str, zone: str, registrable_domain: Callable[[str], str]
) -> None:
    assert registrable_domain(host) == zone


@pytest.mark.parametrize("host", ["com", "co.uk", "localhost", "x.kawasaki.jp"])
def test_registrable_domain_of_a_public_suffix_is_itself(
    host: str, registrable_domain: Callable[[str], str]
) -> None:
    assert registrable_domain(host) == host


@pytest.mark.parametrize("provider", ["github.io", "blogspot.com", "dyndns.org", "herokuapp.com"])
def test_registrable_domain_below_a_private_suffix_is_the_providers(
    provider: str, registrable_domain: Callable[[str], str]
) -> None:
    assert registrable_domain(f"a.anybody.{provider}") == provider


def test_registrable_domain_of_the_longest_host_is_found(registrable_domain: Callable[[str], str]) -> None:
    longest = "a." * 121 + "example.com"
    assert len(longest) == 253
    assert registrable_domain(longest) == "example.com"


def test_registrable_domain_below_every_public_suffix_is_as_the_package_has_it(
    registrable_domain: Callable[[str], str],
) -> None:
    published = PublicSuffixList(only_icann=True)
    icann, _, _ = Path(PSLFILE).read_text(encoding="utf-8").partition("// ===END ICANN DOMAINS===")
    rules = [line.lstrip("!*.") for line in icann.splitlines() if line and not line.startswith("//")]
    hosts = [f"a.b.{rule.encode('idna').decode()}" for rule in rules]
    assert len(hosts) > 5_000
    assert [registrable_domain(host) for host in hosts] == [published.privatesuffix(host) for host in hosts]
