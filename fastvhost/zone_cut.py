"""The registrable domain of a host: whose budget a walk spends.

The Public Suffix List comes with the `publicsuffixlist` package, so nothing is fetched. Only its ICANN
part counts: under a private suffix (a provider's own domain) names are free for anybody to make, and one
budget for all of them is what bounds such a flood.
"""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path

from publicsuffixlist import PSLFILE, PublicSuffixList

__all__ = ["registrable_domain_reader"]

_REMEMBERED = 4_096
"""Hosts whose registrable domain is remembered: a look-up wants it more than once."""


def registrable_domain_reader() -> Callable[[str], str]:
    """Load the list (8 ms) and return the function from canonical host to registrable domain.

    A host that is itself a public suffix stands for itself. About 3 us a call,
    a fraction of that for a host that was asked about lately.
    """
    rules = _icann_rules()
    suffixes = _suffixes([rule for rule in rules if rule.isascii()])

    @cache
    def suffixes_with_a_labels() -> PublicSuffixList:
        # Few hosts need these, and to make them is 5 ms of each start.
        return _suffixes(".".join(map(_a_label, rule.split("."))) for rule in rules)

    @lru_cache(maxsize=_REMEMBERED)
    def registrable_domain(host: str) -> str:
        its_suffixes = suffixes_with_a_labels() if "xn--" in host else suffixes
        return its_suffixes.privatesuffix(host) or host

    return registrable_domain


def _suffixes(rules: Iterable[str]) -> PublicSuffixList:
    return PublicSuffixList(rules, accept_encoded_idn=False)


def _icann_rules() -> list[str]:
    """The rules of the list's ICANN part.

    The package would read all lines of the other part, and run nameprep on every rule: 20 ms of each start.
    """
    published = Path(PSLFILE).read_text(encoding="utf-8")
    _, _, icann = published.partition("// ===BEGIN ICANN DOMAINS===")
    icann, _, _ = icann.partition("// ===END ICANN DOMAINS===")
    return [line for line in icann.splitlines() if line and not line.startswith("//")]


def _a_label(label: str) -> str:
    """One label by RFC 3492; the list's are in lower case and normal form C already."""
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
