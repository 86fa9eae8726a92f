"""Work in pieces: what is done, and when others go first."""

import os

import pytest

from fastvhost.giving_way import giving_way


def test_others_go_first_at_the_start_and_after_each_three(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(os, "sched_yield", lambda: done.append("others"))
    for item in giving_way("abcdefg"):
        done.append(item)  # noqa: PERF402 - the order of both matters
    assert done == ["others", *"abc", "others", *"def", "others", "g"]


def test_nobody_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_yield", lambda: pytest.fail("there was no work"))
    assert list(giving_way(())) == []
