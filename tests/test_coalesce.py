"""Coalescing: who is owed a verdict, and that each gets it once."""

import pytest

from fastvhost.coalesce import Asker, Flight, Flights
from fastvhost.model import Verdict, VerdictKind

PENDING = Verdict(kind=VerdictKind.PENDING, host="example.com", expires=0.0, reason="looking")
HOSTED = Verdict(kind=VerdictKind.HOSTED, host="example.com", expires=60.0, reason="ours")


def flight(waiters: int = 1_000) -> Flight:
    return Flight("example.com", "example.com", provisional=PENDING, took_off=0.0, waiters=waiters)


def asker(heard: list[Verdict]) -> Asker:
    """An asker of its own: two bound methods of one list would be equal."""
    return lambda verdict: heard.append(verdict)


def test_flight_landing_answers_each_asker_once_with_the_same_verdict_in_order_of_asking() -> None:
    heard: list[tuple[int, Verdict]] = []
    landing = flight()
    for number in range(1_000):
        landing.join(lambda verdict, number=number: heard.append((number, verdict)))  # type: ignore[misc]
    assert landing.land(HOSTED) == 1_000
    assert [number for number, _ in heard] == list(range(1_000))
    assert all(verdict is HOSTED for _, verdict in heard)


def test_flight_landing_without_askers_answers_nobody() -> None:
    assert flight().land(HOSTED) == 0


def test_flight_landing_twice_answers_once() -> None:
    heard: list[Verdict] = []
    landing = flight()
    landing.join(asker(heard))
    assert [landing.land(HOSTED), landing.land(PENDING)] == [1, 0]
    assert heard == [HOSTED]


@pytest.mark.parametrize(("joined", "full"), [(0, False), (2, False), (3, True)])
def test_flight_at_its_waiters_is_full(joined: int, full: bool) -> None:
    waiting = flight(waiters=3)
    for _ in range(joined):
        waiting.join(asker([]))
    assert waiting.full is full


def test_flight_left_has_room_again() -> None:
    leaver = asker([])
    waiting = flight(waiters=1)
    waiting.join(leaver)
    assert waiting.leave(leaver)
    assert not waiting.full


def test_flight_left_owes_the_leaver_nothing_and_the_others_still() -> None:
    stayed: list[Verdict] = []
    left: list[Verdict] = []
    leaver = asker(left)
    landing = flight()
    landing.join(leaver)
    landing.join(asker(stayed))
    assert landing.leave(leaver)
    assert landing.land(HOSTED) == 1
    assert (stayed, left) == ([HOSTED], [])


def test_flight_leave_tells_whether_it_was_still_owed() -> None:
    leaver = asker([])
    landing = flight()
    assert not landing.leave(leaver)
    landing.join(leaver)
    assert [landing.leave(leaver), landing.leave(leaver)] == [True, False]
    landing.join(leaver)
    landing.land(HOSTED)
    assert not landing.leave(leaver)


def test_flight_asker_leaving_while_it_lands_is_told_that_it_is_answered() -> None:
    heard: list[Verdict] = []
    left: list[bool] = []
    second = asker(heard)
    landing = flight()
    landing.join(lambda _: left.append(landing.leave(second)))
    landing.join(second)
    assert landing.land(HOSTED) == 2
    assert left == [False]
    assert heard == [HOSTED]


def test_flight_asker_leaving_itself_while_it_lands_harms_nobody() -> None:
    heard: list[Verdict] = []
    landing = flight()

    def leaver(verdict: Verdict) -> None:
        assert not landing.leave(leaver)

    landing.join(leaver)
    landing.join(asker(heard))
    assert landing.land(HOSTED) == 2
    assert heard == [HOSTED]


def test_flight_asker_that_asks_again_while_it_lands_finds_no_flight() -> None:
    flights = Flights(most=1, waiters=1)
    landing = flights.start("example.com", "example.com", provisional=PENDING, now=0.0)
    found: list[Flight | None] = []
    landing.join(lambda _: found.append(flights.find("example.com")))
    flights.end(landing)
    landing.land(HOSTED)
    assert found == [None]


def test_flights_started_is_found_until_it_ends() -> None:
    flights = Flights(most=2, waiters=7)
    started = flights.start("a.example", "a.example", provisional=PENDING, now=0.0)
    assert flights.find("a.example") is started
    assert flights.find("b.example") is None
    assert (started.host, started.provisional, len(flights)) == ("a.example", PENDING, 1)
    flights.end(started)
    assert flights.find("a.example") is None
    assert len(flights) == 0


@pytest.mark.parametrize(("under_way", "full"), [(0, False), (2, False), (3, True)])
def test_flights_at_their_most_are_full(under_way: int, full: bool) -> None:
    flights = Flights(most=3, waiters=1)
    for number in range(under_way):
        flights.start(f"h{number}.example", f"h{number}.example", provisional=PENDING, now=0.0)
    assert flights.full is full


def test_flights_after_one_ended_have_room_again() -> None:
    flights = Flights(most=1, waiters=1)
    flights.end(flights.start("a.example", "a.example", provisional=PENDING, now=0.0))
    assert not flights.full


@pytest.mark.parametrize(("most", "share"), [(1, 1), (3, 1), (4, 1), (8, 2), (256, 64)])
def test_flights_of_one_zone_are_a_fourth_at_most(most: int, share: int) -> None:
    flights = Flights(most=most, waiters=1)
    started = []
    while not flights.crowded("one.example"):
        started.append(
            flights.start(f"h{len(started)}.one.example", "one.example", provisional=PENDING, now=0.0)
        )
    assert len(started) == share
    assert not flights.crowded("other.example")
    flights.end(started[0])
    assert not flights.crowded("one.example")


def test_limits_that_change_count_for_flights_that_start_from_then_on() -> None:
    flights = Flights(most=1, waiters=1)
    before = flights.start("a.test", "a.test", provisional=PENDING, now=0.0)
    assert flights.full
    flights.limit(most=2, waiters=2)
    assert not flights.full
    after = flights.start("b.test", "b.test", provisional=PENDING, now=0.0)
    for flying in (before, after):
        flying.join(asker([]))
    assert (before.full, after.full, flights.full) == (True, False, True)
