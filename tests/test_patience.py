"""Patience: time-outs that follow a server's times, and the share of retries."""

import pytest

from fastvhost.config import Endpoint
from fastvhost.resolve.patience import Patience, Retries

SERVER = Endpoint("192.0.2.1", 53)


def test_patience_with_a_server_not_heard_yet_is_a_second_doubled_up_to_the_ceiling() -> None:
    patience = Patience(ceiling=3.0)
    assert [patience.seconds(SERVER, attempt) for attempt in range(3)] == [1.0, 2.0, 3.0]


def test_patience_after_one_answer_is_three_times_what_it_took() -> None:
    patience = Patience(ceiling=3.0)
    patience.note(SERVER, 0.4)
    assert patience.seconds(SERVER, 0) == pytest.approx(0.4 + 4 * 0.2)
    assert patience.seconds(Endpoint("192.0.2.2", 53), 0) == 1.0


@pytest.mark.parametrize(("took", "seconds"), [(0.001, 0.2), (0.5, 0.5), (100.0, 3.0)])
def test_patience_with_steady_answers_stays_within_floor_and_ceiling(took: float, seconds: float) -> None:
    patience = Patience(ceiling=3.0)
    for _ in range(100):
        patience.note(SERVER, took)
    assert patience.seconds(SERVER, 0) == pytest.approx(seconds)


def test_patience_follows_rfc_6298() -> None:
    patience = Patience(ceiling=60.0)
    patience.note(SERVER, 1.0)
    patience.note(SERVER, 2.0)
    variation = 0.75 * 0.5 + 0.25 * 1.0
    assert patience.seconds(SERVER, 0) == pytest.approx(0.875 + 0.25 + 4 * variation)


def test_patience_ceiling_below_the_floor_counts() -> None:
    assert Patience(ceiling=0.05).seconds(SERVER, 0) == 0.05


def test_retries_are_a_fifth_of_the_questions() -> None:
    retries = Retries()
    at_hand = sum(retries.take() for _ in range(1_000))
    taken = 0
    for _ in range(1_000):
        retries.earn()
        taken += retries.take()
    assert (at_hand, taken) == (64, pytest.approx(200, abs=1))


def test_retries_do_not_pile_up() -> None:
    retries = Retries()
    for _ in range(1_000):
        retries.earn()
        retries.give_back()
    assert sum(retries.take() for _ in range(1_000)) == 64
