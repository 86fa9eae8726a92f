"""The table of domains that are decided without DNS: for now, the operator's word.

A name alone speaks before any suffix, a longer suffix before a shorter one.
"""

from collections.abc import Iterable
from math import inf

from fastvhost.config import Domains
from fastvhost.model import Verdict, VerdictKind

__all__ = ["DomainTable"]


class DomainTable:
    """What the operator listed, by canonical host; frozen once built, to be swapped whole."""

    __slots__ = ("_names", "_suffixes")

    def __init__(self, domains: Domains) -> None:
        listed = (
            *_listed(domains.always, VerdictKind.HOSTED, "domains.always"),
            *_listed(domains.never, VerdictKind.NOT_HOSTED, "domains.never"),
        )
        self._names = {verdict.host: verdict for verdict in listed if not verdict.host.startswith(".")}
        self._suffixes = {verdict.host: verdict for verdict in listed if verdict.host.startswith(".")}

    def __len__(self) -> int:
        return len(self._names) + len(self._suffixes)

    def find(self, host: str) -> Verdict | None:
        """The operator's verdict on a canonical host; cost: one look-up, one more a label with suffixes."""
        verdict = self._names.get(host)
        if verdict is not None:
            return verdict
        suffix = self._suffix_of(host)
        if suffix is None:
            return None
        return Verdict(kind=suffix.kind, host=host, expires=inf, reason=suffix.reason)

    def has_suffix_of(self, text: str) -> bool:
        """Whether a suffix ends `text`, which need not be a host: `_.example.com` ends in `.example.com`."""
        return self._suffix_of(text) is not None

    def _suffix_of(self, text: str) -> Verdict | None:
        """The longest suffix that ends `text`."""
        if not self._suffixes:
            return None
        dot = text.find(".")
        while dot != -1:
            suffix = self._suffixes.get(text[dot:])
            if suffix is not None:
                return suffix
            dot = text.find(".", dot + 1)
        return None


def _listed(entries: Iterable[str], kind: VerdictKind, key: str) -> Iterable[Verdict]:
    return (Verdict(kind=kind, host=entry, expires=inf, reason=f"{key} lists {entry}") for entry in entries)
