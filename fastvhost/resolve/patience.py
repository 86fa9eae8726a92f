"""Patience: how long a server is waited for before another attempt, and how many of these there may be.

Source: RFC 6298 section 2 for the time-out.
"""

from fastvhost.config import Endpoint

__all__ = ["Patience", "Retries"]

_FLOOR_SECONDS = 0.2
"""Least time-out: a server on another continent is 0.15 s away."""

_FIRST_SECONDS = 1.0
"""Time-out of a server that was not heard yet (RFC 6298 section 2, rule 2.1)."""

_EARNED = 0.2
"""Retries that each question earns: a sick server sees a fifth more queries, not three times as many."""

_MOST_RETRIES = 64.0


class Patience:
    """The smoothed time of each server's answers; one entry a server.

    Most of that time is spent on the name and not on the way, so it may come to `ceiling` at the hands
    of whoever owns slow zones: which is the time-out that there would be without it.
    """

    __slots__ = ("_ceiling", "_times")

    def __init__(self, *, ceiling: float) -> None:
        self._ceiling = ceiling
        self._times: dict[Endpoint, tuple[float, float]] = {}

    def note(self, server: Endpoint, seconds: float) -> None:
        """An answer took `seconds`. Each query has its own socket, so it was no answer to another's."""
        times = self._times.get(server)
        if times is None:
            self._times[server] = seconds, seconds / 2.0
        else:
            smoothed, variation = times
            variation = 0.75 * variation + 0.25 * abs(smoothed - seconds)
            self._times[server] = 0.875 * smoothed + 0.125 * seconds, variation

    def seconds(self, server: Endpoint, attempt: int) -> float:
        """How long to wait in an attempt (0: the first) that is not the last; doubled with each."""
        times = self._times.get(server)
        first = _FIRST_SECONDS if times is None else max(_FLOOR_SECONDS, times[0] + 4.0 * times[1])
        return min(first * 2.0**attempt, self._ceiling)


class Retries:
    """Retries that are left to one share of the upstream: each question earns a part of one."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST_RETRIES

    def earn(self) -> None:
        """A question is asked for the first time."""
        self._left = min(self._left + _EARNED, _MOST_RETRIES)

    def take(self) -> bool:
        """Take a retry if there is one."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def give_back(self) -> None:
        """One that was taken was not needed."""
        self._left = min(self._left + 1.0, _MOST_RETRIES)
