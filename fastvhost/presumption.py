"""What is presumed of a host that DNS has said nothing of: what a wildcard above it says, if there is one."""

from fastvhost.cache import VerdictCache
from fastvhost.model import Verdict, VerdictKind
from fastvhost.wildcards import Wildcards

__all__ = ["Presumption"]


class Presumption:
    """Joins the wildcards, where there are any at all, with what is remembered of single names."""

    __slots__ = ("_cache", "_wildcards")

    def __init__(self, cache: VerdictCache, wildcards: Wildcards | None) -> None:
        self._cache = cache
        self._wildcards = wildcards

    def instead_of(self, verdict: Verdict, now: float) -> Verdict:
        """What an asker gets: `verdict`, unless it is undecided and a wildcard knows."""
        if not self._wildcards or verdict.kind in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED):
            return verdict  # there is no wildcard, or nothing to presume
        if self._cache.was_denied(verdict.host):
            return verdict  # it has records of its own, or had when DNS last said
        return self._wildcards.presumed(verdict.host, now) or verdict

    def is_apart(self, host: str, now: float) -> bool:
        """Whether `host` is one of the endless many that a wildcard makes, as far as we know."""
        return self._wildcards is not None and self._wildcards.above(host, now)

    def note_hosted(self, host: str, now: float) -> None:
        """A walk found `host`, which is not apart, HOSTED."""
        if self._wildcards is not None:
            self._wildcards.note(host, now)
