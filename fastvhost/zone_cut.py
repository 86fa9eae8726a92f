"""The registrable domain of a host: whose budget a walk spends.

The Public Suffix List comes with the `publicsuffixlist` package, so nothing is fetched. Only its ICANN
part counts: under a private suffix (a provider's own domain) names are free for anybody to make, and one
budget for all of them is what bounds such a flood.
"""

from collections.abc import Callable

from publicsuffixlist import PublicSuffixList

__all__ = ["registrable_domain_reader"]


def registrable_domain_reader() -> Callable[[str], str]:
    """Load the list (36 ms) and return the function from canonical host to registrable domain.

    A host that is itself a public suffix stands for itself. About 2 us a call.
    """
    suffixes = PublicSuffixList(only_icann=True)

    def registrable_domain(host: str) -> str:
        return suffixes.privatesuffix(host) or host

    return registrable_domain
