"""Replies owed: each goes out once, with the flight's verdict or at its deadline."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.coalesce import Flight
from fastvhost.faces.owed import OwedReplies
from fastvhost.model import Verdict, VerdictKind

WITHIN = 0.04


def verdict(kind: VerdictKind) -> Verdict:
    return Verdict(kind=kind, host="example.com", expires=60.0, reason=kind.name)


PENDING, STALE, NOT_HOSTED = map(verdict, (VerdictKind.PENDING, VerdictKind.HOSTED, VerdictKind.NOT_HOSTED))


def flight(provisional: Verdict = PENDING) -> Flight:
    """One that takes off now."""
    return Flight(
        "example.com",
        "example.com",
        provisional=provisional,
        took_off=trio.current_time(),
        waiters=1_000_000,
    )


class Replies:
    """What was replied, when and to whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, float, Verdict]] = []

    def to(self, client: int, reply: Verdict) -> None:
        self.sent.append((client, trio.current_time(), reply))

    def owe(self, owed: OwedReplies, client: int, flight: Flight) -> None:
        owed.owe(flight, lambda reply: self.to(client, reply), trio.current_time())


@pytest.fixture
def replies() -> Replies:
    return Replies()


@pytest.fixture
def owed(nursery: trio.Nursery) -> OwedReplies:
    replies_owed = OwedReplies(WITHIN)
    nursery.start_soon(replies_owed.watch_deadlines)
    return replies_owed


@pytest.mark.parametrize("provisional", [PENDING, STALE], ids=lambda verdict: verdict.kind.name)
async def test_owed_flight_still_under_way_at_the_deadline_replies_what_is_provisional(
    provisional: Verdict, owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    replies.owe(owed, 1, flight(provisional))
    await trio.sleep(1)
    assert replies.sent == [(1, WITHIN, provisional)]
    assert owed.overdue == 1


async def test_owed_provisional_that_changed_since_replies_what_holds_at_the_deadline(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    flying = flight(STALE)
    replies.owe(owed, 1, flying)
    flying.provisional = PENDING
    await trio.sleep(1)
    assert replies.sent == [(1, WITHIN, PENDING)]


async def test_owed_flight_landing_before_the_deadline_replies_its_verdict_only(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    landing = flight()
    replies.owe(owed, 1, landing)
    await trio.sleep(WITHIN / 2)
    landing.land(NOT_HOSTED)
    await trio.sleep(1)
    assert replies.sent == [(1, WITHIN / 2, NOT_HOSTED)]
    assert owed.overdue == 0


async def test_owed_flight_landing_after_the_deadline_replies_no_more(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    landing = flight()
    replies.owe(owed, 1, landing)
    await trio.sleep(WITHIN * 2)
    assert landing.land(NOT_HOSTED) == 0
    assert replies.sent == [(1, WITHIN, PENDING)]


@pytest.mark.parametrize("land_first", [True, False])
async def test_owed_flight_landing_at_the_very_deadline_replies_once(
    land_first: bool, owed: OwedReplies, replies: Replies, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    landing = flight()

    async def land() -> None:
        await trio.sleep_until(WITHIN)
        landing.land(NOT_HOSTED)

    if land_first:
        nursery.start_soon(land)
        await wait_all_tasks_blocked()
    replies.owe(owed, 1, landing)
    if not land_first:
        await wait_all_tasks_blocked()
        nursery.start_soon(land)
    await trio.sleep(1)
    assert [(client, when) for client, when, _ in replies.sent] == [(1, WITHIN)]


async def test_owed_askers_of_one_flight_joined_later_are_due_later(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    flying = flight()
    for client in range(3):
        await trio.sleep_until(client / 64)
        replies.owe(owed, client, flying)
    await trio.sleep(1)
    assert [(client, when) for client, when, _ in replies.sent] == [
        (client, client / 64 + WITHIN) for client in range(3)
    ]


@pytest.mark.parametrize(
    ("asked", "replied"), [(WITHIN - 1e-6, 2 * WITHIN - 1e-6), (WITHIN, WITHIN), (1.0, 1.0)]
)
async def test_owed_flight_that_took_off_a_deadline_ago_replies_at_once(
    asked: float, replied: float, owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    flying = flight(STALE)
    await trio.sleep_until(asked)
    replies.owe(owed, 1, flying)
    await trio.sleep(1)
    assert [(client, reply) for client, _, reply in replies.sent] == [(1, STALE)]
    assert replies.sent[0][1] == pytest.approx(replied)
    assert owed.overdue == 1
    assert flying.land(NOT_HOSTED) == 0


async def pass_in_vain(owed: OwedReplies, replies: Replies, count: int) -> None:
    """Have `count` deadlines pass, one after the other; the replies are forgotten."""
    for _ in range(count):
        replies.owe(owed, 0, flight())
        await trio.sleep(WITHIN)
        await wait_all_tasks_blocked()
    replies.sent.clear()


@pytest.mark.parametrize(("in_vain", "second_waits"), [(3, True), (4, False), (5, False)])
async def test_owed_after_deadlines_in_vain_keeps_one_asker_waiting(
    in_vain: int, second_waits: bool, owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    await pass_in_vain(owed, replies, in_vain)
    asked = trio.current_time()
    for client in (1, 2):
        replies.owe(owed, client, flight())
    await trio.sleep(1)
    due = asked + WITHIN
    assert sorted(replies.sent) == [(1, due, PENDING), (2, due if second_waits else asked, PENDING)]


async def test_owed_after_deadlines_in_vain_waits_again_once_a_flight_has_landed_in_time(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    await pass_in_vain(owed, replies, 4)
    landing = flight()
    replies.owe(owed, 1, landing)
    landing.land(NOT_HOSTED)
    await trio.sleep(WITHIN)
    await wait_all_tasks_blocked()
    asked = trio.current_time()
    for client in (2, 3):
        replies.owe(owed, client, flight())
    await trio.sleep(1)
    assert [when for _, when, _ in replies.sent[1:]] == [asked + WITHIN] * 2


async def test_owed_some_landed_and_some_due_each_replies_once_in_order(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    flights = [flight() for _ in range(4)]
    for client, flying in enumerate(flights):
        replies.owe(owed, client, flying)
    await trio.sleep(WITHIN / 2)
    flights[2].land(NOT_HOSTED)
    flights[0].land(NOT_HOSTED)
    await trio.sleep(1)
    assert [(client, reply) for client, _, reply in replies.sent] == [
        (2, NOT_HOSTED),
        (0, NOT_HOSTED),
        (1, PENDING),
        (3, PENDING),
    ]
    assert owed.overdue == 2


async def test_owed_after_a_rest_is_watched_again(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    for client in range(3):
        await trio.sleep_until(client * 10.0)
        replies.owe(owed, client, flight())
    await trio.sleep(1)
    assert [(client, when) for client, when, _ in replies.sent] == [
        (client, client * 10.0 + WITHIN) for client in range(3)
    ]


async def test_owed_by_a_reply_that_asks_again_is_replied_at_once(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    flying = flight()

    def reply_and_ask_again(reply: Verdict) -> None:
        replies.to(1, reply)
        replies.owe(owed, 2, flying)

    owed.owe(flying, reply_and_ask_again, 0.0)
    await trio.sleep(1)
    assert [(client, when) for client, when, _ in replies.sent] == [(1, WITHIN), (2, WITHIN)]


async def test_owed_past_its_deadline_already_is_replied_at_once(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    await trio.sleep(5)
    owed.owe(flight(), lambda reply: replies.to(1, reply), 0.0)
    await wait_all_tasks_blocked()
    assert replies.sent == [(1, 5.0, PENDING)]


async def test_owed_thousands_in_one_task_each_reply_once_in_order(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    await wait_all_tasks_blocked()
    tasks = trio.lowlevel.current_statistics().tasks_living
    for client in range(20_000):
        replies.owe(owed, client, flight())
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    await trio.sleep_until(WITHIN)
    await wait_all_tasks_blocked()
    assert [client for client, _, _ in replies.sent] == list(range(20_000))
    assert {when for _, when, _ in replies.sent} == {WITHIN}
    assert owed.overdue == 20_000


async def test_owed_answered_in_time_keep_no_flight_alive_past_the_deadline(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    landing = flight()
    for client in range(100):
        replies.owe(owed, client, landing)
    landing.land(NOT_HOSTED)
    await trio.sleep(1)
    assert len(owed._in_order) == 0
    assert len(replies.sent) == 100


@pytest.mark.parametrize("owing", [False, True])
async def test_watch_deadlines_cancelled_ends_and_replies_nothing(
    owing: bool, replies: Replies, autojump_clock: MockClock
) -> None:
    owed = OwedReplies(WITHIN)
    if owing:
        replies.owe(owed, 1, flight())
    with trio.move_on_after(WITHIN / 2) as scope:
        await owed.watch_deadlines()
    assert scope.cancelled_caught
    assert replies.sent == []


async def test_patient_replies_wait_for_flights_however_late(
    replies: Replies, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    owed = OwedReplies(WITHIN, patient=True)
    nursery.start_soon(owed.watch_deadlines)
    for client in range(10):  # one after the other, each in vain
        replies.owe(owed, client, flight())
        await trio.sleep(2 * WITHIN)
    old = flight()
    await trio.sleep(2 * WITHIN)
    for client in (10, 11):
        replies.owe(owed, client, old)
    assert len(replies.sent) == 10
    old.land(NOT_HOSTED)
    assert [reply for _, _, reply in replies.sent[10:]] == [NOT_HOSTED] * 2


async def test_owed_with_a_nearer_deadline_is_answered_by_it_and_later_ones_in_time(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    owed.configure(10.0, trio.current_time())
    replies.owe(owed, 1, flight())
    await trio.sleep(1.0)
    owed.configure(2.0, trio.current_time())
    replies.owe(owed, 2, flight())
    await trio.sleep(0.5)
    replies.owe(owed, 3, flight())
    await trio.sleep(20.0)
    assert [(client, at) for client, at, _ in replies.sent] == [(1, 3.0), (2, 3.0), (3, 3.5)]


async def test_owed_with_a_farther_deadline_keeps_the_one_that_it_had(
    owed: OwedReplies, replies: Replies, autojump_clock: MockClock
) -> None:
    replies.owe(owed, 1, flight())
    owed.configure(5.0, trio.current_time())
    replies.owe(owed, 2, flight())
    await trio.sleep(20.0)
    assert [(client, at) for client, at, _ in replies.sent] == [(1, WITHIN), (2, 5.0)]
