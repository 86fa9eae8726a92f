"""Percentiles guessed from buckets."""

from math import inf

import pytest

from fastvhost.top.percentile import percentile


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({1.0: 10, 2.0: 10, inf: 10}, 0.5, 0.5),
        ({1.0: 10, 2.0: 10, inf: 10}, 1.0, 1.0),
        ({1.0: 0, 2.0: 10, inf: 10}, 0.5, 1.5),
        ({1.0: 5, 2.0: 10, inf: 10}, 0.5, 1.0),
        ({1.0: 5, 2.0: 5, 4.0: 10, inf: 10}, 0.75, 3.0),
        ({1.0: 98, 2.0: 98, inf: 100}, 0.98, 1.0),
        ({1.0: 98, 2.0: 98, inf: 100}, 0.99, inf),
        ({1.0: 0, inf: 1}, 0.0, inf),
        ({1.0: 0, inf: 0}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_percentile_lies_within_its_bucket(
    buckets: dict[float, float], share: float, expected: float | None
) -> None:
    assert percentile(buckets, share) == expected
