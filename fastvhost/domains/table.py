"""The domains that are decided without DNS: listed by the operator, rows of the proxy's table, learned.

In memory, two dict look-ups at most. What the operator listed goes before the proxy's rows, these before
what was learned; a name speaks before any suffix, a longer suffix before a shorter one.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from math import inf

from fastvhost.config import Domains
from fastvhost.host import MAX_NAME
from fastvhost.model import Verdict, VerdictKind
from fastvhost.retractions import Retractions

__all__ = ["DomainTable", "Standing"]


class Standing(Enum):
    """Why a name that the operator did not list is in the table."""

    PROXY_ROW = "a row of the proxy's own table"
    LEARNED = "learned from DNS"
    PENDING = "found in DNS, waits for the operator"
    REJECTED = "rejected by the operator"

    @property
    def kind(self) -> VerdictKind | None:
        """The verdict that follows; None: DNS has the word."""
        match self:
            case Standing.PROXY_ROW | Standing.LEARNED:
                return VerdictKind.HOSTED
            case Standing.PENDING:
                return None
            case Standing.REJECTED:
                return VerdictKind.NOT_HOSTED


class DomainTable:
    """Names by canonical host; a million of them take some 150 MB."""

    __slots__ = ("_listed", "_made", "_proxy_rows", "_retractions", "_standing", "_suffixes")

    def __init__(self, domains: Domains, retractions: Retractions | None = None) -> None:
        self._retractions = retractions or Retractions()
        self._standing: dict[str, Standing] = {}
        self._proxy_rows: set[str] = set()  # apart, or each look at the rows would pass over all names
        # Most of a million names are never asked for: a verdict is made for the first asker, and so these
        # are also the names that were asked for since `take_asked`.
        self._made: dict[str, Verdict] = {}
        self._take_listed(domains)

    def list_names(self, domains: Domains) -> None:
        """The operator lists these from now on, and nothing else."""
        self._take_listed(domains)
        self._retractions.retract_everything()

    def _take_listed(self, domains: Domains) -> None:
        listed = (
            *_listed(domains.always, VerdictKind.HOSTED, "domains.always"),
            *_listed(domains.never, VerdictKind.NOT_HOSTED, "domains.never"),
        )
        self._listed = {verdict.host: verdict for verdict in listed if not verdict.host.startswith(".")}
        self._suffixes = {verdict.host: verdict for verdict in listed if verdict.host.startswith(".")}
        self._made = dict(self._listed)

    def __len__(self) -> int:
        return len(self._listed) + len(self._suffixes) + len(self._standing)

    def find(self, host: str) -> Verdict | None:
        """The verdict on a canonical host; with suffixes one look-up more for each label."""
        verdict = self._made.get(host)
        if verdict is not None:
            return verdict
        verdict = self._of_standing(host)
        if verdict is not None:
            self._made[host] = verdict
            return verdict
        return self._of_suffix(host)

    def peek(self, host: str) -> Verdict | None:
        """What `find` returns; nobody asked."""
        return self._listed.get(host) or self._of_standing(host) or self._of_suffix(host)

    def _of_standing(self, host: str) -> Verdict | None:
        standing = self._standing.get(host)
        kind = None if standing is None else standing.kind
        if standing is None or kind is None:
            return None
        return Verdict(kind=kind, host=host, expires=inf, reason=standing.value)

    def _of_suffix(self, host: str) -> Verdict | None:
        suffix = self._suffix_of(host)
        if suffix is None:
            return None
        return Verdict(kind=suffix.kind, host=host, expires=inf, reason=suffix.reason)

    def has_suffix_of(self, text: str) -> bool:
        """Whether a suffix ends `text`, which need not be a host: `_.example.com` ends in `.example.com`.

        False for what is longer than any host.
        """
        return self._suffix_of(text) is not None

    def standing(self, host: str) -> Standing | None:
        """Why a name is here, other than by the operator's list."""
        return self._standing.get(host)

    def enter(self, host: str, standing: Standing) -> None:
        """Take a name in, or change why it is here; a row of the proxy's table stays one."""
        if self._standing.get(host) is not Standing.PROXY_ROW or standing is Standing.PROXY_ROW:
            self._put(host, standing)

    def leave(self, host: str) -> None:
        """Take out a name that is known from the store; a row of the proxy's table stays."""
        if self._standing.get(host) not in (None, Standing.PROXY_ROW):
            self._put(host, None)

    def hosted_names(self) -> Iterator[str]:
        """The names that were learned or are rows of the proxy's, as they are when their turn comes."""
        for host in list(self._standing):
            if self._standing.get(host) in (Standing.LEARNED, Standing.PROXY_ROW):
                yield host

    def replace_all(self, standing: dict[str, Standing]) -> None:
        """Swap everything but the operator's list, which stays."""
        self._standing = standing
        self._proxy_rows = {host for host, why in standing.items() if why is Standing.PROXY_ROW}
        self._made = dict(self._listed)
        self._retractions.retract_everything()

    def replace_proxy_rows(self, rows: Iterable[str]) -> frozenset[str]:
        """The proxy's own rows are these now: take in the new ones, and out those that are gone.

        Returns those that are gone.
        """
        now = frozenset(rows)
        gone = frozenset(self._proxy_rows - now)
        for host in gone:
            self._put(host, None)
        for host in now - self._proxy_rows:
            self._put(host, Standing.PROXY_ROW)
        return gone

    def take_asked(self) -> frozenset[str]:
        """The names that somebody asked for since this was last called, but for the operator's list."""
        asked = frozenset(self._made.keys() - self._listed.keys())
        self._made = dict(self._listed)
        return asked

    def _put(self, host: str, standing: Standing | None) -> None:
        if standing is Standing.PROXY_ROW:
            self._proxy_rows.add(host)
        else:
            self._proxy_rows.discard(host)
        if standing is None:
            self._standing.pop(host, None)
        else:
            self._standing[host] = standing
        if host not in self._listed:
            self._made.pop(host, None)
            self._retractions.retract(host)

    def _suffix_of(self, text: str) -> Verdict | None:
        """The longest suffix that ends `text`."""
        if not self._suffixes or len(text) > MAX_NAME:  # each dot costs as much as what stands after it
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
