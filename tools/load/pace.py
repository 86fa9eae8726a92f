"""When the requests of an open loop are due: evenly, or as callers come, by a Poisson process."""

import random
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from tools.load.ring import IDS

__all__ = ["Pace"]


class Pace:
    """Instants of a round of `IDS` requests, which repeats; all in seconds since the start.

    Args:
        rate: requests a second, over 0.
        poisson: let the gaps between requests be exponential, as those of independent callers are. They
            are the same in every run, and a round takes as long as that of an even pace.
        burst: without `poisson`, so many requests are due at a time.
    """

    def __init__(self, rate: float, *, poisson: bool = False, burst: int = 1) -> None:
        self._round = IDS / rate
        if poisson:
            chance = random.Random(0)
            ends = list(accumulate(chance.expovariate(1.0) for _ in range(IDS)))
            self._instants = array("d", (0.0, *(self._round * end / ends[-1] for end in ends[:-1])))
        else:
            self._instants = array("d", ((number - number % burst) / rate for number in range(IDS)))

    def due(self, elapsed: float) -> int:
        """How many requests are due before `elapsed`, which is at least 0."""
        rounds, within = divmod(elapsed, self._round)
        return int(rounds) * IDS + bisect_left(self._instants, within)

    def at(self, number: int) -> float:
        """When the request with this number, from 0 on, is due."""
        rounds, within = divmod(number, IDS)
        return rounds * self._round + self._instants[within]

    def since_due(self, ids: Sequence[int], sent: int, elapsed: float) -> list[float]:
        """How long before `elapsed` the last requests with these ids were due, `sent` having been sent."""
        rounds, last = divmod(sent - 1, IDS)
        of_this = elapsed - rounds * self._round
        of_the_one_before = of_this + self._round
        instants = self._instants
        if isinstance(ids, range):  # all of one round
            base = of_this if ids.start <= last else of_the_one_before
            return [base - instant for instant in instants[ids.start : ids.stop]]
        return [(of_this if one <= last else of_the_one_before) - instants[one] for one in ids]
