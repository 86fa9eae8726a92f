"""The text format: read back by the parser of Prometheus's own library."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from fastvhost.admin.exposition import exposition
from fastvhost.faces.latency import BOUNDS, Latencies
from fastvhost.model import VerdictKind

BUILD = {"version": "1.2.3", "python": "3.11.7"}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by name and labels; none may be there twice."""
    found = [
        ((one.name, tuple(sorted(one.labels.items()))), one.value)
        for family in parse(text)
        for one in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_figure_stands_under_its_name_with_its_labels_type_and_help() -> None:
    text = exposition({"pdb.replies.not_hosted": 7, "lookup.under_way": 2}, {}, BUILD)
    found = samples(text)
    labels = (("face", "pdb"), ("verdict", "not_hosted"))
    assert found["fastvhost_replies_total", labels] == 7
    assert found["fastvhost_flights", ()] == 2
    assert found["fastvhost_build_info", tuple(sorted(BUILD.items()))] == 1
    assert "# TYPE fastvhost_replies_total counter\n" in text
    assert "# TYPE fastvhost_flights gauge\n" in text
    assert all(family.documentation for family in parse(text))


def test_outcomes_that_are_no_rcode_are_added_up() -> None:
    outcomes = {"SERVFAIL": 1, "NXDOMAIN": 2, "time-out": 3, "no socket (x)": 4, 'odd "\\\n': 5}
    text = exposition({f"upstream.outcome.{name}": count for name, count in outcomes.items()}, {}, BUILD)
    found = {labels[0][1]: value for (name, labels), value in samples(text).items() if "answers" in name}
    assert found == {"SERVFAIL": 1, "NXDOMAIN": 2, "time-out": 3, "other": 9}


@given(st.text(min_size=1, max_size=30))
def test_figure_without_a_name_of_its_own_is_there_whatever_it_is_called(name: str) -> None:
    text = exposition({f"new.{name}": 5}, {}, BUILD)
    assert 5.0 in samples(text).values()


@pytest.mark.parametrize("value", [0, 1, 2**60, 0.1, 1e-9, -3.5, inf])
def test_value_is_read_back_as_it_was(value: float) -> None:
    assert samples(exposition({"lookup.under_way": value}, {}, BUILD))["fastvhost_flights", ()] == value


def test_histogram_is_cumulative_and_ends_with_its_count() -> None:
    latencies = Latencies()
    for seconds in (0.00005, 0.0002, 0.04, 99.0):
        latencies.observe(VerdictKind.HOSTED, seconds)
    found = samples(exposition({}, {"pdb": latencies.histograms()}, BUILD))
    labels = (("face", "pdb"), ("verdict", "hosted"))
    buckets = [
        found["fastvhost_reply_seconds_bucket", (labels[0], ("le", bound), labels[1])]
        for bound in (*map(str, BOUNDS), "+Inf")
    ]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[1], buckets[-2], buckets[-1]) == (1, 2, 3, 4)
    assert found["fastvhost_reply_seconds_count", labels] == 4
    assert found["fastvhost_reply_seconds_sum", labels] == pytest.approx(99.04025)
