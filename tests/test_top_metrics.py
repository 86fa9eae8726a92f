"""Metrics as they are read back: what the admin face writes, and what is none of it."""

import pytest

from fastvhost.admin.exposition import exposition
from fastvhost.faces.latency import Latencies
from fastvhost.model import VerdictKind
from fastvhost.top.metrics import Metrics, UnreadableError


def test_exposition_is_read_back_with_labels_and_values() -> None:
    latencies = Latencies()
    latencies.observe(VerdictKind.HOSTED, 0.0002)
    figures = {"pdb.replies.hosted": 7, "dns.replies.hosted": 2, "budget.unknown.tokens": -1.5}
    text = exposition(figures, {"pdb": latencies.histograms()}, {"version": "1.2", "python": "3.11"})
    metrics = Metrics.read(text)
    assert metrics.label("fastvhost_build_info", "version") == "1.2"
    assert metrics.total("fastvhost_replies_total") == 9
    assert metrics.total("fastvhost_replies_total", face="dns") == 2
    assert metrics.by("fastvhost_replies_total", "face") == {"pdb": 7, "dns": 2}
    assert metrics.by("fastvhost_budget_tokens", "lane") == {"unknown": -1.5}
    assert metrics.total("fastvhost_reply_seconds_bucket", verdict="hosted", le="0.00025") == 1


def test_label_with_escapes_is_as_it_was_before_them() -> None:
    strange = 'a\\b"c\nd}e\rf\u2028g'
    metrics = Metrics.read(exposition({f"odd.{strange}": 1}, {}, {"version": strange, "python": "3"}))
    assert metrics.label("fastvhost_build_info", "version") == strange
    assert metrics.by("fastvhost_other", "figure") == {f"odd.{strange}": 1}


@pytest.mark.parametrize(
    "line", ["<html>", "name", "name one", 'name{a="b} 1', "name nan", "name inf", 'name{le="x"} 1']
)
def test_line_that_is_no_sample_is_named(line: str) -> None:
    with pytest.raises(UnreadableError, match="no metric: "):
        Metrics.read(f"good 1\n{line}\n")


def test_name_that_is_not_there_is_zero_and_has_no_labels() -> None:
    metrics = Metrics.read("")
    assert metrics.total("nothing") == 0
    assert metrics.by("nothing", "x") == {}
    assert metrics.label("nothing", "x") == ""


def test_growth_is_the_difference_and_of_what_fell_or_is_new_its_value() -> None:
    before = Metrics.read('n{x="same"} 5\nn{x="grew"} 5\nn{x="fell"} 5\n')
    after = Metrics.read('n{x="same"} 5\nn{x="grew"} 7\nn{x="fell"} 3\nn{x="new"} 2\n')
    assert after.since(before).by("n", "x") == {"same": 0, "grew": 2, "fell": 3, "new": 2}
