"""The account of one walk, and the lanes on which walks draw."""

from bisect import bisect_right
from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from fastvhost.config import Config, Endpoint, Limits, Own
from fastvhost.limits import Bucket, Gcra
from fastvhost.resolve.account import MAX_OCTETS, MAX_QUERIES, Account, Lane, Refusal
from fastvhost.resolve.slots import Slots
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker


def account(bucket: Bucket | None = None, *, prepaid_at: float | None = None) -> Account:
    return Account(
        lane=Lane(bucket=bucket or Bucket(Gcra(1e9, 1e6)), slots=Slots(1)),
        deadline=trio.current_time() + 8.0,
        prepaid_at=prepaid_at,
    )


def test_account_bounds_are_those_of_the_contract() -> None:
    assert (MAX_QUERIES, MAX_OCTETS) == (24, 64 * 1024)


async def test_account_at_its_most_queries_pays_no_more(autojump_clock: MockClock) -> None:
    paying = account()
    paid = [await paying.pay() for _ in range(26)]
    assert paid[:24] == [None] * 24
    assert paid[24:] == [Refusal(why="over 24 upstream queries", limited=False)] * 2


async def test_account_paid_from_side_by_side_stays_within_its_queries(autojump_clock: MockClock) -> None:
    paying = account(Bucket(Gcra(100.0, 1.0)))
    paid: list[Refusal | None] = []

    async def pay() -> None:
        paid.append(await paying.pay())

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(pay)
    assert paid.count(None) == 24


@pytest.mark.parametrize(("octets", "over"), [(0, False), (65_535, False), (65_536, False), (65_537, True)])
async def test_account_takes_in_no_more_than_its_octets(octets: int, over: bool) -> None:
    paying = account()
    refusal = paying.take_in(octets)
    assert refusal == (Refusal(why="over 65536 octets of replies", limited=False) if over else None)
    assert paying.octets == octets


def test_lane_takes_a_spare_token_only_where_it_has_none_and_the_spare_one_is_there() -> None:
    spare = Lane(bucket=Bucket(Gcra(1.0, 2.0)), slots=Slots(1))
    lane = Lane(bucket=Bucket(Gcra(1.0, 1.0)), slots=Slots(1), spare=spare)
    assert [lane.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
    assert spare.bucket.wait(0.0) == 1.0, "the fourth is one of its own to come"


async def test_account_waits_for_the_token_of_its_bucket(autojump_clock: MockClock) -> None:
    paying = account(Bucket(Gcra(2.0, 1.0)))
    started = trio.current_time()
    paid_at = []
    for _ in range(3):
        assert await paying.pay() is None
        paid_at.append(trio.current_time() - started)
    assert paid_at == pytest.approx([0.0, 0.5, 1.0])


async def test_account_prepaid_spends_that_first_and_its_bucket_then(autojump_clock: MockClock) -> None:
    bucket = Bucket(Gcra(2.0, 1.0))
    now = trio.current_time()
    bucket.take(now)
    paying = account(bucket, prepaid_at=now)
    assert await paying.pay() is None
    assert trio.current_time() == now
    assert await paying.pay() is None
    assert trio.current_time() == pytest.approx(now + 0.5)


@pytest.mark.parametrize(("late", "pays_again"), [(0.0199, False), (0.0201, True)])
async def test_account_prepaid_too_long_ago_pays_again(
    autojump_clock: MockClock, late: float, pays_again: bool
) -> None:
    bucket = Bucket(Gcra(2.0, 1.0))
    admitted = trio.current_time()
    bucket.take(admitted)
    paying = account(bucket, prepaid_at=admitted)
    await trio.sleep(late)
    assert await paying.pay() is None
    assert trio.current_time() == pytest.approx(admitted + (0.5 if pays_again else late))


async def test_account_prepaid_ahead_of_time_waits_for_its_token(autojump_clock: MockClock) -> None:
    paying = account(prepaid_at=trio.current_time() + 0.5)
    started = trio.current_time()
    assert await paying.pay() is None
    assert trio.current_time() == started + 0.5


@pytest.mark.parametrize(("ahead", "paid"), [(7.9, True), (8.0, False), (9.0, False)])
async def test_account_prepaid_past_its_deadline_is_refused_at_once(
    autojump_clock: MockClock, ahead: float, paid: bool
) -> None:
    started = trio.current_time()
    refusal = await account(prepaid_at=started + ahead).pay()
    assert (refusal is None) is paid
    assert trio.current_time() == started + (ahead if paid else 0.0)


async def test_account_with_a_token_that_came_too_late_takes_another(mock_clock: MockClock) -> None:
    """The program stalls for a second: of the tokens that were due meanwhile none is spent at its end."""
    bucket = Bucket(Gcra(10.0, 1.0))
    paid_at = []

    async def pay() -> None:
        assert await account(bucket).pay() is None
        paid_at.append(trio.current_time() - started)

    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(pay)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1.0)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.autojump_threshold = 0
    assert len(paid_at) == 5
    assert min(later - sooner for sooner, later in pairwise(paid_at)) >= 0.1 - 1e-9


async def test_account_whose_bucket_has_no_token_in_time_is_limited_at_once(
    autojump_clock: MockClock,
) -> None:
    bucket = Bucket(Gcra(0.1, 1.0))
    paying = account(bucket)
    assert await paying.pay() is None
    now = trio.current_time()
    assert await paying.pay() == Refusal(why="limits.upstream_qps is spent", limited=True)
    assert trio.current_time() == now
    assert bucket.wait(now) == pytest.approx(10.0), "a refusal takes nothing"


async def test_account_cancelled_while_it_waits_leaves_nobody_behind(autojump_clock: MockClock) -> None:
    paying = account(Bucket(Gcra(1.0, 1.0)))
    assert await paying.pay() is None
    with trio.move_on_after(0.5) as scope:
        await paying.pay()
    assert scope.cancelled_caught


def walker(limits: Limits) -> Walker:
    config = replace(Config(own=Own(addresses=(ip_network("192.0.2.1"),))), limits=limits)
    return Walker(config, Upstream(config.dns, [Endpoint("127.0.0.1", 53)]))


@pytest.mark.parametrize("qps", [1, 1.9, 2, 2.4, 2.5, 3, 3.75, 4, 5, 6, 7.5, 10, 11, 99, 100, 1_000])
def test_lanes_flooded_together_stay_within_upstream_qps_in_any_second(qps: float) -> None:
    lanes = walker(Limits(upstream_qps=qps))
    flood = range(int(qps) * 3 + 3)
    due = sorted(lane.bucket.take(0.0) for lane in (lanes.known, lanes.unknown, lanes.checks) for _ in flood)
    in_a_second = [bisect_right(due, start + 1.0) - first for first, start in enumerate(due)]
    assert max(in_a_second) <= qps


@pytest.mark.parametrize("in_flight", [1, 2, 3, 4, 5, 10, 256, 65_535])
def test_lanes_slots_together_stay_within_upstream_inflight(in_flight: int) -> None:
    lanes = walker(Limits(upstream_inflight=in_flight))
    slots = {lanes.known.slots, lanes.unknown.slots, lanes.checks.slots}
    assert sum(semaphore.value for semaphore in slots) == in_flight
    assert all(semaphore.value >= 1 for semaphore in slots)


@pytest.mark.parametrize(("qps", "apart"), [(1, False), (1.9, False), (2, True), (1_000, True)])
def test_lanes_share_a_bucket_only_where_there_is_too_little_for_two(qps: float, apart: bool) -> None:
    lanes = walker(Limits(upstream_qps=qps))
    assert (lanes.known.bucket is not lanes.unknown.bucket) is apart


def test_lanes_unknown_flooded_leaves_the_known_one_alone() -> None:
    lanes = walker(Limits(upstream_qps=10))
    for _ in range(1_000):
        lanes.unknown.bucket.take(0.0)
    assert lanes.known.bucket.wait(0.0) == 0.0
