"""The sweep over a store in memory and a DNS that is scripted over time: simulated hours to months."""

import logging
from collections import Counter
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from fastvhost.domains.housekeeping import Brake, Braking, Census, Housekeeping, first_check, longest_wait
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.sweep import sweep
from fastvhost.errors import StoreUnavailableError
from fastvhost.model import Finding, VerdictKind

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1_700_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
RULES = Housekeeping()
ACTIVE, DISABLED, REMOVED = DomainState.ACTIVE, DomainState.DISABLED, DomainState.REMOVED
HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED
UNDETERMINED, LIMITED = VerdictKind.UNDETERMINED, VerdictKind.LIMITED


def names(count: int) -> list[str]:
    return [f"d{number}.example" for number in range(count)]


class World:
    """A fleet of domains, their store, and DNS: `dns` tells what it says of a domain after some seconds."""

    def __init__(self, fleet: int, *, ttl: float = HOUR, overdue: bool = False) -> None:
        self.ttl = ttl
        self.dns: Callable[[str, float], VerdictKind] = lambda _domain, _now: HOSTED
        self.seconds = 0.02
        self.is_away = False
        self.brake = Brake(RULES)
        self.alarms: list[Braking | None] = []
        self.checks: list[tuple[float, str]] = []
        self.confirmed: list[str] = []
        self.second_say = HOSTED
        self.under_way = self.most_under_way = self.most_due = self.most_saved = 0
        self.calls: Counter[str] = Counter()
        self.rows: dict[str, DomainRecord] = {}
        for domain in names(fleet):
            self.rows[domain] = DomainRecord(
                domain=domain,
                state=ACTIVE,
                first_seen=EPOCH - DAY,
                last_seen=EPOCH - DAY,
                last_verified=EPOCH - DAY,
                next_check=EPOCH if overdue else first_check(domain, ttl, EPOCH, RULES),
            )
        self._due = [(row.next_check, domain) for domain, row in self.rows.items()]
        heapify(self._due)

    def states(self) -> Counter[DomainState]:
        return Counter(row.state for row in self.rows.values())

    async def census(self) -> Census:
        self._reach("census")
        active = [row for row in self.rows.values() if row.state is ACTIVE]
        return Census(active=len(active), negative=sum(row.negatives > 0 for row in active))

    async def due(self, now: float, most: int) -> list[DomainRecord]:
        self._reach("due")
        found: dict[str, tuple[float, str]] = {}
        while self._due and self._due[0][0] <= now and len(found) < most:
            entry = heappop(self._due)
            if self.rows[entry[1]].next_check == entry[0]:
                found[entry[1]] = entry
        for entry in found.values():
            heappush(self._due, entry)
        self.most_due = max(self.most_due, len(found))
        return [self.rows[domain] for domain in found]

    async def confirm(self, domain: str) -> Finding:
        self.confirmed.append(domain)
        return Finding(kind=self.second_say, ttl=self.ttl, reason=f"found {self.second_say.name} again")

    async def check(self, domain: str) -> Finding:
        now = trio.current_time()
        self.checks.append((now, domain))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await trio.sleep(self.seconds)
        self.under_way -= 1
        kind = self.dns(domain, now)
        return Finding(kind=kind, ttl=self.ttl, reason=f"found {kind.name}")

    async def save(self, records: list[DomainRecord]) -> None:
        self._reach("save")
        self.most_saved = max(self.most_saved, len(records))
        for record in records:
            self.rows[record.domain] = record
            if record.state in (ACTIVE, DISABLED):
                heappush(self._due, (record.next_check, record.domain))

    def _reach(self, call: str) -> None:
        self.calls[call] += 1
        if self.is_away:
            raise StoreUnavailableError("no connection")

    async def sweep(self, *, in_flight: int = 128, poll: float = 60.0) -> None:
        await sweep(
            census=self.census,
            due=self.due,
            check=self.check,
            confirm=self.confirm,
            save=self.save,
            wall_clock=lambda: EPOCH + trio.current_time(),
            rules=RULES,
            brake=self.brake,
            on_alarm=self.alarms.append,
            in_flight=in_flight,
            poll=poll,
        )

    async def run(self, seconds: float, *, in_flight: int = 128, poll: float = 60.0) -> None:
        """Sweep for so long, in a process of its own."""
        with trio.move_on_after(seconds):
            await self.sweep(in_flight=in_flight, poll=poll)


async def test_sweep_domain_that_leaves_is_disabled_after_an_hour_and_removed_after_a_month(
    autojump_clock: MockClock,
) -> None:
    world = World(5)
    world.dns = lambda domain, now: NOT_HOSTED if domain == "d0.example" and now > 2 * HOUR else HOSTED
    await world.run(6 * HOUR)
    gone = world.rows["d0.example"]
    assert gone.state is DISABLED
    assert gone.negative_since is not None
    assert gone.disabled_at is not None
    assert HOUR <= gone.disabled_at - gone.negative_since <= 2.5 * HOUR
    await world.run(30 * DAY - 6 * HOUR, poll=600.0)
    assert world.states() == {ACTIVE: 4, DISABLED: 1}
    await world.run(DAY, poll=600.0)
    assert world.states() == {ACTIVE: 4, REMOVED: 1}
    assert world.alarms == []
    assert 30 < sum(domain == "d0.example" for _, domain in world.checks) < 60
    removed_at = max(now for now, domain in world.checks if domain == "d0.example")
    assert removed_at == pytest.approx(gone.disabled_at - EPOCH + RULES.grace, abs=601.0)


async def test_sweep_domain_that_comes_back_within_the_grace_is_active_again(
    autojump_clock: MockClock,
) -> None:
    world = World(5)
    world.dns = lambda domain, now: NOT_HOSTED if domain == "d0.example" and now < 10 * DAY else HOSTED
    await world.run(DAY)
    assert world.states() == {ACTIVE: 4, DISABLED: 1}
    await world.run(10.5 * DAY, poll=600.0)
    assert world.states() == {ACTIVE: 5}
    assert world.rows["d0.example"].negatives == 0
    assert world.confirmed == ["d0.example"]


async def test_sweep_domain_that_seems_back_and_is_not_confirmed_stays_disabled(
    autojump_clock: MockClock,
) -> None:
    world = World(5)
    world.dns = lambda domain, now: NOT_HOSTED if domain == "d0.example" and now < 10 * DAY else HOSTED
    world.second_say = NOT_HOSTED
    await world.run(DAY)
    await world.run(12 * DAY, poll=600.0)
    assert world.states() == {ACTIVE: 4, DISABLED: 1}
    assert set(world.confirmed) == {"d0.example"}


async def test_sweep_dns_that_fails_for_two_days_changes_no_state(autojump_clock: MockClock) -> None:
    world = World(50)
    world.dns = lambda _, now: UNDETERMINED if HOUR < now < 49 * HOUR else HOSTED
    await world.run(48 * HOUR, poll=300.0)
    assert world.states() == {ACTIVE: 50}
    assert all(row.failures > 40 and row.negatives == 0 for row in world.rows.values())
    await world.run(3 * HOUR, poll=300.0)
    assert all(row.failures == 0 and row.last_verified > EPOCH + 49 * HOUR for row in world.rows.values())
    assert world.alarms == []


@pytest.mark.parametrize(("fleet", "ttl"), [(3, HOUR), (5, DAY), (20, DAY), (200, HOUR), (500, DAY)])
async def test_sweep_resolver_that_denies_all_for_six_hours_brakes_and_recovers_by_itself(
    autojump_clock: MockClock, fleet: int, ttl: float
) -> None:
    world = World(fleet, ttl=ttl)
    world.dns = lambda _, now: NOT_HOSTED if DAY <= now < DAY + 6 * HOUR else HOSTED
    await world.run(DAY + 6 * HOUR, poll=300.0)
    assert world.states() == {ACTIVE: fleet}
    assert any(row.negatives for row in world.rows.values())
    few = (fleet, ttl) == (5, DAY)
    assert len(world.alarms) == (0 if few else 1)
    await world.run(DAY, poll=300.0)
    assert world.states() == {ACTIVE: fleet}
    assert world.brake.braking is None
    assert all(row.negatives == 0 for row in world.rows.values())
    assert world.alarms[1:] == ([] if few else [None])


async def test_sweep_begun_while_a_third_is_denied_disables_nothing(autojump_clock: MockClock) -> None:
    world = World(90)
    world.dns = lambda domain, _: NOT_HOSTED if int(domain[1:-8]) % 3 == 0 else HOSTED
    for _ in range(10):
        await world.run(HOUR)
        world.brake = Brake(RULES)
    assert world.states() == {ACTIVE: 90}
    assert max(row.negatives for row in world.rows.values()) > RULES.negatives


async def test_sweep_backlog_of_10_000_is_bounded_and_soon_spread_evenly(autojump_clock: MockClock) -> None:
    world = World(10_000, overdue=True)
    world.seconds = 0.5
    await world.run(3 * HOUR, in_flight=64, poll=10.0)
    assert world.most_under_way == world.most_due == 64
    assert world.most_saved <= 64
    by_minutes = Counter(int(now // 300.0) for now, _ in world.checks)
    even = 10_000 * 300.0 / HOUR / 0.68
    assert all(0.6 * even < by_minutes[slot] < 1.5 * even for slot in range(30, 36)), by_minutes


async def test_sweep_checks_each_domain_before_its_ttl_ends_and_no_more_than_planned(
    autojump_clock: MockClock,
) -> None:
    world = World(100)
    await world.run(DAY, poll=10.0)
    for domain in names(100):
        instants = [0.0, *(now for now, name in world.checks if name == domain)]
        waits = [after - before for before, after in pairwise(instants)]
        assert min(waits) >= HOUR / 2
        assert max(waits) < HOUR
    # The mean of 1 / share for shares between 0.5 and 0.9 is 1.47.
    assert len(world.checks) == pytest.approx(100 * 24 * 1.47, rel=0.05)


async def test_sweep_of_a_million_keeps_only_what_is_under_way(autojump_clock: MockClock) -> None:
    """All are always due; the store hands out as many as it is asked for."""
    world = World(1)
    template, asked = world.rows["d0.example"], 0

    async def due(now: float, most: int) -> list[DomainRecord]:
        nonlocal asked
        asked += 1
        world.most_due = max(world.most_due, most)
        return [replace(template, domain=f"d{asked}x{number}", next_check=0.0) for number in range(most)]

    async def save(records: list[DomainRecord]) -> None:
        world.most_saved = max(world.most_saved, len(records))

    world.due, world.save = due, save  # type: ignore[method-assign]
    await world.run(10.0, in_flight=16)
    assert world.most_due == world.most_under_way == 16
    assert world.most_saved <= 16
    assert len(world.checks) > 500


async def test_sweep_slow_domain_holds_up_no_other(autojump_clock: MockClock) -> None:
    world = World(200, overdue=True)
    fast = world.check

    async def check(domain: str) -> Finding:
        if domain == "d0.example":
            await trio.sleep(100.0)
        return await fast(domain)

    world.check = check  # type: ignore[method-assign]
    await world.run(30.0, in_flight=4)
    assert {domain for _, domain in world.checks} == set(names(200)) - {"d0.example"}


async def test_sweep_store_that_goes_away_is_waited_for_and_said_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(100)
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.sweep)
        await trio.sleep(HOUR / 2)
        world.is_away = True
        checked, before = len(world.checks), world.calls.total()
        await trio.sleep(DAY)
        assert len(world.checks) - checked <= 128
        assert world.calls.total() - before < 24 * 60 + 20
        world.is_away = False
        await trio.sleep(HOUR)
        nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "housekeeping waits for the store: no connection",
        "housekeeping goes on: the store is back",
    ]
    assert all(row.last_verified > EPOCH + DAY for row in world.rows.values())


async def test_sweep_store_that_fails_to_save_is_handed_the_same_again(autojump_clock: MockClock) -> None:
    world = World(10, overdue=True)
    handed: list[list[DomainRecord]] = []
    keep = world.save

    async def save(records: list[DomainRecord]) -> None:
        handed.append(records)
        if len(handed) < 4:
            raise StoreUnavailableError("no connection")
        await keep(records)

    world.save = save  # type: ignore[method-assign]
    await world.run(60.0)
    assert len(handed) == 4
    assert handed == [handed[0]] * 4
    assert len(world.checks) == 10


async def test_sweep_spent_budget_is_backed_off_from_and_no_failure(autojump_clock: MockClock) -> None:
    world = World(1_000, overdue=True)
    world.dns = lambda _, now: LIMITED if now < 2 * HOUR else HOSTED
    await world.run(HOUR, in_flight=16, poll=10.0)
    assert all(row.failures == 0 and row.negatives == 0 for row in world.rows.values())
    assert len(world.checks) < 80 * 16
    await world.run(3 * HOUR, in_flight=16, poll=10.0)
    assert all(row.last_verified > EPOCH + 2 * HOUR for row in world.rows.values())


async def test_sweep_fault_in_one_check_counts_as_a_failure_and_is_logged_once_a_minute(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(10, overdue=True)

    async def check(domain: str) -> Finding:
        raise ZeroDivisionError(domain)

    world.check = check  # type: ignore[method-assign]
    await world.run(30.0)
    assert all(row.failures == 1 and row.state is ACTIVE for row in world.rows.values())
    assert len(caplog.records) == 1


async def test_sweep_cancelled_during_checks_leaves_them_due(autojump_clock: MockClock) -> None:
    world = World(10, overdue=True)
    world.seconds = 10.0
    await world.run(5.0)
    assert world.under_way == 10
    assert all(row.next_check == EPOCH for row in world.rows.values())
    await world.run(20.0)
    assert Counter(domain for _, domain in world.checks) == dict.fromkeys(names(10), 2)
    assert all(row.last_verified > EPOCH for row in world.rows.values())


async def test_sweep_wall_clock_a_year_ahead_for_a_minute_disables_nothing(autojump_clock: MockClock) -> None:
    """All are due at once and DNS denies all; later, due is what is planned further ahead than may be."""
    world = World(5)
    ahead = 0.0
    clock_is = lambda: EPOCH + trio.current_time() + ahead  # noqa: E731
    timely = world.due

    async def due(now: float, most: int) -> list[DomainRecord]:
        astray = [row for row in world.rows.values() if row.next_check > now + longest_wait(RULES)]
        return astray[:most] or await timely(now, most)

    async with trio.open_nursery() as nursery:
        world.dns = lambda _, now: NOT_HOSTED if HOUR < now < HOUR + 60.0 else HOSTED
        nursery.start_soon(
            lambda: sweep(
                census=world.census,
                due=due,
                check=world.check,
                confirm=world.confirm,
                save=world.save,
                wall_clock=clock_is,
                rules=RULES,
                brake=world.brake,
                on_alarm=world.alarms.append,
            )
        )
        await trio.sleep(HOUR)
        ahead = 365 * DAY
        await trio.sleep(60.0)
        assert all(row.negatives == 1 for row in world.rows.values())
        ahead = 0.0
        await trio.sleep(60.0)
        nursery.cancel_scope.cancel()
    assert world.states() == {ACTIVE: 5}
    assert all(row.negatives == 0 and row.next_check < EPOCH + 3 * HOUR for row in world.rows.values())
