"""Work in pieces: what is done, and when it is the others' turn."""

import pytest

from fastvhost.giving_way import GivingWay


def test_it_is_the_others_turn_at_the_start_and_after_each_three() -> None:
    done: list[str] = []
    giving_way = GivingWay()
    giving_way.to(lambda: done.append("one"))
    giving_way.to(lambda: done.append("two"))
    for item in giving_way.while_doing("abcdefg"):
        done.append(item)  # noqa: PERF402 - the order of all matters
    assert done == ["one", "two", *"abc", "one", "two", *"def", "one", "two", "g"]


def test_without_work_nobody_has_a_turn() -> None:
    giving_way = GivingWay()
    giving_way.to(lambda: pytest.fail("there was no work"))
    assert list(giving_way.while_doing(())) == []


def test_who_has_left_has_no_turn() -> None:
    done: list[str] = []
    giving_way = GivingWay()
    leave = giving_way.to(lambda: done.append("one"))
    giving_way.to(lambda: done.append("two"))
    leave()
    list(giving_way.while_doing("a"))
    assert done == ["two"]
