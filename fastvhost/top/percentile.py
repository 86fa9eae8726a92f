"""Percentiles of histograms."""

from collections.abc import Mapping
from math import inf, isinf

__all__ = ["percentile"]


def percentile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value that `share` (0–1) of the observations do not exceed, guessed within its bucket.

    `buckets` has, by upper bound in ascending order and `math.inf` last, how many observations there were at
    or below it. Those of a bucket are taken to lie evenly between its bounds, of the first from 0 on, so the
    guess is off by less than the bucket is wide. Above the last finite bound nothing can be guessed: `inf`.
    None: there were no observations.

    Source: `histogram_quantile` of Prometheus, which says the last finite bound in place of `inf`.
    """
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    rank = share * total
    lower, below = 0.0, 0.0
    for bound, count in buckets.items():
        if count >= rank and count > below:
            return inf if isinf(bound) else lower + (bound - lower) * max(0.0, rank - below) / (count - below)
        lower, below = bound, max(below, count)
    return inf
