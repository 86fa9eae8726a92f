"""Five minutes of figures: rates between samples, the hit rate, and quantiles of a histogram."""

from math import inf

import pytest

from fastvhost.admin.history import History, Sample, quantile, sample
from fastvhost.faces.latency import BOUNDS, Latencies
from fastvhost.model import VerdictKind

EMPTY = (0,) * (len(BOUNDS) + 1)


def taken(at: float, *, hosted: int = 0, from_memory: int = 0, upstream: int = 0) -> Sample:
    replies = dict.fromkeys(VerdictKind, 0) | {VerdictKind.HOSTED: hosted}
    return Sample(at=at, replies=replies, from_memory=from_memory, upstream=upstream, latencies=EMPTY)


def test_rates_are_per_second_between_two_samples() -> None:
    history = History()
    assert history.rates() == []
    history.note(taken(0.0))
    history.note(taken(2.0, hosted=100, from_memory=90, upstream=10))
    history.note(taken(4.0, hosted=100, from_memory=95, upstream=10))
    first, second = history.rates()
    assert (first.total, first.replies[VerdictKind.HOSTED], first.upstream) == (50.0, 50.0, 5.0)
    assert first.hit_rate == pytest.approx(0.9)
    assert (second.total, second.hit_rate, second.upstream) == (0.0, None, 0.0)


def test_answers_that_are_no_replies_of_a_face_never_make_more_than_all() -> None:
    history = History()
    history.note(taken(0.0))
    history.note(taken(2.0, hosted=10, from_memory=99))
    assert history.rates()[0].hit_rate == 1.0


def test_no_more_than_five_minutes_are_kept() -> None:
    history = History()
    for number in range(1_000):
        history.note(taken(2.0 * number))
    assert len(history.rates()) == 150
    assert history.rates()[0].at == 2.0 * 850


def test_sample_adds_up_all_faces() -> None:
    figures: dict[str, float] = {
        "pdb.replies.hosted": 5,
        "dns.replies.hosted": 3,
        "pdb.replies.limited": 2,
        "pdb.repeated": 4,
        "upstream.udp": 6,
        "upstream.tcp": 1,
    }
    for station in (
        "listed",
        "hits_hosted",
        "hits_stale",
        "hits_outdated",
        "hits_unknown",
        "denied",
        "literals",
    ):
        figures[f"lookup.{station}"] = 1
    latencies = {"pdb": Latencies(), "dns": Latencies()}
    for face in latencies.values():
        face.observe(VerdictKind.HOSTED, 0.0)
    found = sample(figures, latencies, 9.0)
    assert (found.at, found.replies[VerdictKind.HOSTED], found.replies[VerdictKind.LIMITED]) == (9.0, 8, 2)
    assert (found.from_memory, found.upstream, found.latencies) == (11, 7, (2, *EMPTY[1:]))


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ((), 0.5, None),
        ((1,), 0.5, BOUNDS[0]),
        ((1, 1), 0.5, BOUNDS[0]),
        ((1, 1), 0.51, BOUNDS[1]),
        ((99, 0, 1), 0.99, BOUNDS[0]),
        ((98, 0, 2), 0.99, BOUNDS[2]),
        ((*EMPTY[1:], 1), 0.5, inf),
    ],
)
def test_quantile_is_the_least_bound_that_holds_the_share(
    counts: tuple[int, ...], share: float, bound: float | None
) -> None:
    assert quantile((*counts, *EMPTY[len(counts) :]), share) == bound
