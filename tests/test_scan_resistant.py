"""The table that a scan cannot flush: who stays, who goes, and that it never holds more than its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.scan_resistant import ScanResistant


def table(most: int, *, asked_once: int = 0, asked_twice: int = 0) -> ScanResistant[int]:
    """A table in which so many names were put, and so many of them asked for again; others between them."""
    filled: ScanResistant[int] = ScanResistant(most)
    for number in range(asked_once + asked_twice):
        filled.put(f"h{number}", number)
        filled.put(f"between{number}", number)
    for number in range(asked_twice):
        filled.ask(f"h{number}")
    return filled


def held(names: ScanResistant[int], first: int, last: int) -> int:
    return sum(names.peek(f"h{number}") is not None for number in range(first, last))


def scan(names: ScanResistant[int], count: int) -> None:
    for number in range(count):
        assert names.ask(f"scan{number}") is None
        names.put(f"scan{number}", number)


def test_names_asked_twice_survive_a_flood_of_names_asked_once() -> None:
    names = table(1_000, asked_twice=300)
    scan(names, 50_000)
    assert held(names, 0, 300) == 300
    assert len(names) == 1_000


def test_names_asked_once_do_not_survive_it() -> None:
    names = table(1_000, asked_once=300)
    scan(names, 50_000)
    assert held(names, 0, 300) == 0


def test_names_asked_twice_long_ago_give_way_to_names_asked_twice_since() -> None:
    names = table(100, asked_twice=50)
    for number in range(1_000, 1_300):
        names.put(f"h{number}", number)
        names.ask(f"h{number}")
    assert held(names, 0, 50) == 0
    assert len(names) == 100


def test_names_asked_for_all_along_survive_a_flood_of_names_asked_twice() -> None:
    names: ScanResistant[int] = ScanResistant(1_000)
    misses: list[int] = []
    for number in range(20_000):
        names.put(f"scan{number}", number)
        names.ask(f"scan{number}")
        host = f"h{number % 100}"
        if names.ask(host) is None:
            misses.append(number)
            names.put(host, number)
    assert [number for number in misses if number >= 3_000] == []


def test_new_name_has_at_least_a_fourth_of_the_room_ahead_of_it() -> None:
    names = table(100)
    for number in range(1_000):  # until the second queue has all the room that it may have
        names.put(f"again{number}", number)
        names.ask(f"again{number}")
    names.put("h7", 7)
    scan(names, 24)
    assert names.peek("h7") == 7
    names.put("one.more", 0)
    assert names.peek("h7") is None


def test_peek_is_no_asking() -> None:
    names = table(100, asked_once=10)
    for number in range(10):
        names.peek(f"h{number}")
    scan(names, 1_000)
    assert held(names, 0, 10) == 0


def test_put_again_replaces_the_value_and_takes_no_room() -> None:
    names = table(2)
    for value in range(10):
        names.put("a", value)
    names.put("b", 0)
    assert (names.peek("a"), names.peek("b"), len(names)) == (9, 0, 2)


def test_remove_and_put_for_ever_stays_within_the_bound() -> None:
    names = table(3)
    for number in range(1_000):
        names.put("a", number)
        names.remove("a")
        assert len(names) == 0
    assert len(names._first) + len(names._again) <= 3


def test_put_among_names_that_were_all_asked_for_looks_at_64_of_them_at_most() -> None:
    names: ScanResistant[int] = ScanResistant(1_000)
    for number in range(1_000):
        names.put(f"h{number}", number)
        names.ask(f"h{number}")
    names.put("new", 0)
    assert len(names._again) == 64
    assert len(names._asked) == 1_000 - 65
    assert names.peek("h64") is None
    assert len(names) == 1_000


def test_remove_of_what_is_not_there_is_nothing() -> None:
    names = table(3, asked_once=1)
    names.remove("nobody")
    assert names.peek("h0") == 0


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_new_name_is_there_however_small_the_table_and_however_often_others_were_asked_for(most: int) -> None:
    names = table(most)
    for number in range(100):
        names.put(f"h{number}", number)
        assert names.ask(f"h{number}") == number
        for other in range(number):
            names.ask(f"h{other}")
        assert len(names) <= most


@given(
    most=st.integers(1, 6),
    calls=st.lists(
        st.tuples(st.sampled_from(["put", "ask", "remove", "clear"]), st.integers(0, 9)), max_size=200
    ),
)
def test_table_any_calls_never_holds_more_than_its_bound_or_another_s_value(
    most: int, calls: list[tuple[str, int]]
) -> None:
    names: ScanResistant[int] = ScanResistant(most)
    for call, number in calls:
        key = f"h{number}"
        match call:
            case "put":
                names.put(key, number)
                assert names.peek(key) == number
            case "ask":
                assert names.ask(key) in (number, None)
            case "remove":
                names.remove(key)
                assert names.peek(key) is None
            case _:
                names.clear()
                assert len(names) == 0
        assert len(names) <= most
        assert len(names._first) + len(names._again) <= most
        assert names._asked <= names._values.keys() <= {*names._first, *names._again}


def copied(names: ScanResistant[int], most: int) -> ScanResistant[int]:
    """Another table with what `names` hands out."""
    copy: ScanResistant[int] = ScanResistant(most)
    for again, values in names.pieces():
        copy.take_back(values, again=again)
    return copy


def test_taken_back_table_keeps_those_asked_twice_through_a_flood_as_the_first_would() -> None:
    names = table(1_000, asked_once=100, asked_twice=300)
    copy = copied(names, 1_000)
    assert len(copy) == len(names)
    scan(copy, 50_000)
    assert held(copy, 0, 300) == 300
    assert held(copy, 300, 400) == 0


def test_take_back_more_than_there_is_room_for_leaves_out_those_asked_once() -> None:
    names = table(1_000, asked_once=300, asked_twice=100)
    copy = copied(names, 150)
    assert len(copy) == 150
    assert held(copy, 0, 100) == 100


def test_take_back_leaves_what_is_there_already() -> None:
    names = table(10)
    names.put("a", 1)
    names.take_back({"a": 2, "b": 3}, again=False)
    assert (names.peek("a"), names.peek("b"), len(names)) == (1, 3, 2)
    assert len(names._first) == 2


def test_pieces_of_a_table_that_changes_have_no_value_that_was_removed() -> None:
    names = table(10_000)
    for number in range(5_000):
        names.put(f"h{number}", number)
    pieces = names.pieces()
    seen = dict(next(pieces)[1])
    names.remove("h4999")
    names.put("h4998", -1)
    for _, values in pieces:
        seen |= values
    assert "h4999" not in seen
    assert seen["h4998"] == -1
    assert len(seen) == 4_999
