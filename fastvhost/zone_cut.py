"""The registrable domain of a host: whose budget a walk spends.

The Public Suffix List comes with the `publicsuffixlist` package, so nothing is fetched. Only its ICANN
part counts: under a private suffix (a provider's own domain) names are free for anybody to make, and one
budget for all of them is what bounds such a flood.
"""

from collections.abc import Callable
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

__all__ = ["registrable_domain_reader"]

_REMEMBERED = 4_096
"""Hosts whose registrable domain is remembered: a look-up wants it more than once."""


def registrable_domain_reader() -> Callable[[str], str]:
    """Load the list (36 ms) and return the function from canonical host to registrable domain.

    A host that is itself a public suffix stands for itself. About 3 us a call,
    a fraction of that for a host that was asked about lately.
    """
    suffixes = PublicSuffixList(only_icann=True)

    @lru_cache(maxsize=_REMEMBERED)
    def registrable_domain(host: str) -> str:
        return suffixes.privatesuffix(host) or host

    return registrable_domain
