"""What proxies are told and when: in virtual time against a made-up proxy, and a real Kamailio."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from math import inf
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.domains.jsonrpc import Done, Refused, Reply, RpcClient, Silent, open_rpc
from fastvhost.domains.proxies import HtablePush, ReloadDebouncer, kamailio_reload, opensips_reload
from fastvhost.target import parse_target
from tests.kamailio_server import Kamailio, create_tables, domain_script, running_kamailio
from tests.support import until

FAILED = Refused(400, "Reload of domain tables failed")
SILENT = Silent("no reply")


class Reloads:
    """A proxy that is reloaded: when, and with what outcome."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.seconds = 0.0
        self.outcome: Reply = Done({})
        self.under_way = 0

    async def reload(self) -> Reply:
        assert self.under_way == 0
        self.started.append(trio.current_time())
        self.under_way += 1
        await trio.sleep(self.seconds)
        self.under_way -= 1
        return self.outcome


@pytest.fixture
def reloads() -> Reloads:
    return Reloads()


@pytest.fixture
def debouncer(reloads: Reloads, nursery: trio.Nursery) -> ReloadDebouncer:
    found = ReloadDebouncer(reloads.reload, name="proxy")
    nursery.start_soon(found.run)
    return found


async def test_reload_without_a_change_is_never_sent(
    debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    await trio.sleep(3600)
    assert reloads.started == []


async def test_reload_of_a_first_change_goes_at_once(
    debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    debouncer.changed()
    await trio.sleep(100)
    debouncer.changed()
    await trio.sleep(100)
    assert reloads.started == [0.0, 100.0]


@pytest.mark.parametrize(("at", "reloaded"), [(9.75, 10.0), (10.0, 10.0), (10.25, 10.25)])
async def test_reload_of_a_second_change_waits_for_the_end_of_the_interval(
    at: float, reloaded: float, debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    debouncer.changed()
    await trio.sleep(at)
    debouncer.changed()
    await trio.sleep(100)
    assert reloads.started == [0.0, reloaded]


async def test_reload_of_many_changes_is_one_in_ten_seconds(
    debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    for _ in range(240):
        debouncer.changed()
        await trio.sleep(0.125)
    await trio.sleep(100)
    assert reloads.started == [0.0, 10.0, 20.0, 30.0]
    assert (debouncer.counters.changes, debouncer.counters.sent) == (240, 4)


async def test_changes_during_a_reload_cause_exactly_one_more_after_it(
    debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    reloads.seconds = 30.0
    debouncer.changed()
    for _ in range(20):
        await trio.sleep(1)
        debouncer.changed()
    await trio.sleep(1000)
    assert reloads.started == [0.0, 40.0]


@pytest.mark.parametrize("outcome", [FAILED, SILENT], ids=["refused", "silent"])
async def test_failed_reload_is_tried_again_ever_more_seldom_and_logged_once(
    outcome: Reply,
    debouncer: ReloadDebouncer,
    reloads: Reloads,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    caplog.set_level("INFO")
    reloads.outcome = outcome
    debouncer.changed()
    await trio.sleep(1000)
    assert reloads.started == [0.0, 10.0, 30.0, 70.0, 150.0, 310.0, 610.0, 910.0]
    reloads.outcome = Done({})
    await trio.sleep(1000)
    assert reloads.started[8:] == [1210.0]
    assert [record.getMessage() for record in caplog.records] == [
        f"proxy: the reload of its domains failed ({outcome}): it serves those it had; trying again",
        "proxy: the reload of its domains works again",
    ]
    assert (debouncer.counters.done, debouncer.counters.failed) == (1, 8)


async def test_change_after_a_failed_reload_is_tried_after_the_interval(
    debouncer: ReloadDebouncer, reloads: Reloads, autojump_clock: MockClock
) -> None:
    reloads.outcome = FAILED
    debouncer.changed()
    await trio.sleep(200)  # the next would be at 310
    reloads.outcome = Done({})
    debouncer.changed()
    await trio.sleep(1000)
    assert reloads.started == [0.0, 10.0, 30.0, 70.0, 150.0, 200.0]


@pytest.mark.parametrize("seconds", [0.0, 100.0])
async def test_debouncer_cancelled_ends(seconds: float, reloads: Reloads, autojump_clock: MockClock) -> None:
    reloads.seconds = seconds
    debouncer = ReloadDebouncer(reloads.reload, name="proxy")
    debouncer.changed()
    with trio.move_on_after(5) as scope:
        await debouncer.run()
    assert scope.cancelled_caught


class Commands:
    """A proxy that knows some commands."""

    def __init__(self, known: dict[str, Reply]) -> None:
        self.known = known
        self.asked: list[str] = []

    async def call(
        self,
        method: str,
        params: Sequence[str | int] = (),
        *,
        wait: float = 1.0,  # noqa: ARG002
        attempts: int = 3,
    ) -> Reply:
        await trio.lowlevel.checkpoint()
        self.asked.append(method)
        assert params == ()
        assert attempts == 1 or "reload" not in method
        return self.known.get(method, Refused(-32601, "Method not found"))


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ({"uptime": Done({}), "domain:reload": Done("OK")}, ["uptime", "domain:reload"]),
        ({"domain_reload": Done("OK")}, ["uptime", "domain:reload", "domain_reload"]),
        ({"domain:reload": Refused(500, "x"), "domain_reload": Done("OK")}, ["uptime", "domain:reload"]),
        ({"domain:reload": SILENT, "domain_reload": Done("OK")}, ["uptime", "domain:reload"]),
        ({"uptime": SILENT}, ["uptime"]),
        ({}, ["uptime", "domain:reload", "domain_reload"]),
    ],
)
async def test_opensips_is_reloaded_by_the_name_that_it_knows(
    known: dict[str, Reply], asked: list[str]
) -> None:
    commands = Commands(known)
    reply = await opensips_reload(commands.call)()
    assert commands.asked == asked
    assert reply == known.get(asked[-1], Refused(-32601, "Method not found"))


async def test_kamailio_that_is_silent_is_not_waited_for_as_long_as_for_a_reload() -> None:
    commands = Commands({"core.uptime": SILENT})
    assert await kamailio_reload(commands.call)() == SILENT
    assert commands.asked == ["core.uptime"]
    commands = Commands({"core.uptime": Done({}), "domain.reload": FAILED})
    assert await kamailio_reload(commands.call)() == FAILED


# The htable.


class Htable:
    """A Kamailio with one htable, as seen through a call that may be slow, silent or refused."""

    def __init__(self) -> None:
        self.table: dict[str, tuple[int, int]] = {}
        self.heard: list[tuple[float, str, str]] = []
        """Changes: when, what, and of which key; those of the push's own mark left out."""
        self.looks: list[float] = []
        self.seconds = 0.0
        self.silent = False
        self.refused: Refused | None = None
        self.under_way = self.most_under_way = 0

    async def call(
        self,
        method: str,
        params: Sequence[str | int] = (),
        *,
        wait: float = 1.0,  # noqa: ARG002
        attempts: int = 3,  # noqa: ARG002
    ) -> Reply:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        key = str(params[1])
        if method == "htable.get":
            self.looks.append(trio.current_time())
        elif not key.startswith("_"):
            self.heard.append((trio.current_time(), method.removeprefix("htable."), key))
        silent = self.silent
        await trio.sleep(7.0 if silent else self.seconds)
        self.under_way -= 1
        return SILENT if silent else self._reply(method, key, params)

    def _reply(self, method: str, key: str, params: Sequence[str | int]) -> Reply:
        assert params[0] == "vh"
        if method == "htable.get":
            return Done({}) if key in self.table else Refused(500, "Key name doesn't exist in htable.")
        if self.refused is not None and not key.startswith("_"):
            return self.refused
        if method == "htable.delete":
            found = self.table.pop(key, None)
            return Refused(404, "Key not found in htable.") if found is None else Done("Ok")
        assert method == "htable.setxi"
        kind, ttl = params[2:]
        assert isinstance(kind, int)
        assert isinstance(ttl, int)
        self.table[key] = (kind, ttl)
        return Done("Ok")

    @property
    def verdicts(self) -> dict[str, tuple[int, int]]:
        return {key: value for key, value in self.table.items() if not key.startswith("_")}


@pytest.fixture
def htable() -> Htable:
    return Htable()


@pytest.fixture
def push(htable: Htable, nursery: trio.Nursery) -> HtablePush:
    found = HtablePush(htable.call, name="proxy")
    nursery.start_soon(found.run)
    return found


async def test_push_of_a_domain_sets_kind_and_ttl_at_once(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("a.example", 1, 300.0)
    push.set("b.example", 2, 0.25)
    await trio.sleep(1)
    assert htable.verdicts == {"a.example": (1, 300), "b.example": (2, 1)}
    assert {when for when, _, _ in htable.heard} == {0.0}
    assert push.counters.pushed == 2


async def test_push_of_a_domain_in_capitals_is_of_its_lower_case(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("A.Example", 1, 300.0)
    push.set("B.example", 1, 300.0)
    push.delete("b.EXAMPLE")
    await trio.sleep(1)
    assert htable.verdicts == {"a.example": (1, 300)}


async def test_push_without_an_end_lives_for_thirty_days(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("a.example", 1, inf)
    await trio.sleep(1)
    assert htable.verdicts == {"a.example": (1, 30 * 86_400)}


@pytest.mark.parametrize(("octets", "pushed"), [(200, 1), (201, 0)])
async def test_push_of_a_key_over_200_octets_is_not_sent(
    octets: int, pushed: int, push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("a" * octets, 1, 300.0)
    await trio.sleep(1)
    assert (push.counters.pushed, push.counters.too_long) == (pushed, 1 - pushed)


async def test_delete_of_a_domain_that_is_not_there_is_done(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("a.example", 1, 300.0)
    await trio.sleep(1)
    push.delete("a.example")
    push.delete("b.example")
    await trio.sleep(100)
    assert htable.verdicts == {}
    assert (push.counters.deleted, push.counters.refused) == (2, 0)


async def test_latest_of_a_domain_that_waits_is_told_and_nothing_else(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    push = HtablePush(htable.call, name="proxy")
    push.set("a.example", 1, 300.0)
    push.delete("a.example")
    push.set("a.example", 2, 60.0)
    assert len(push) == 1
    nursery.start_soon(push.run)
    await trio.sleep(1)
    assert htable.verdicts == {"a.example": (2, 60)}
    assert push.counters.pushed == 1


async def test_newer_of_a_domain_in_flight_is_told_after_it(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    htable.seconds = 1.0
    push.set("a.example", 1, 300.0)
    await trio.sleep(0.5)
    push.delete("a.example")
    push.set("a.example", 2, 300.0)
    push.set("a.example", 3, 300.0)
    await trio.sleep(0.25)
    assert len(htable.heard) == 1
    await trio.sleep(10)
    assert htable.heard == [(0.0, "setxi", "a.example"), (1.0, "setxi", "a.example")]
    assert htable.verdicts == {"a.example": (3, 300)}


async def test_newer_of_a_domain_whose_call_was_not_answered_goes_before_it(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    htable.silent = True
    push.set("a.example", 1, 300.0)
    await trio.sleep(1)
    push.set("a.example", 2, 300.0)
    htable.silent = False
    await trio.sleep(60)
    assert htable.verdicts["a.example"][0] == 2
    assert push.counters.pushed == 1


async def test_verdict_expired_while_it_waited_is_deleted_instead(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.set("a.example", 1, 3600.0)
    await trio.sleep(1)
    htable.silent = True
    push.set("a.example", 2, 5.0)
    await trio.sleep(60)
    htable.silent = False
    await trio.sleep(60)
    assert htable.verdicts == {}
    assert (push.counters.pushed, push.counters.deleted) == (1, 1)


@pytest.mark.parametrize(("domains", "dropped"), [(9, 0), (10, 0), (11, 1)])
async def test_queue_at_its_bound_drops_the_oldest_and_counts(
    domains: int, dropped: int, htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    push = HtablePush(htable.call, name="proxy", queued=10)
    for number in range(domains):
        push.set(f"{number}.example", 1, 300.0)
    push.set(f"{domains - 1}.example", 2, 300.0)
    nursery.start_soon(push.run)
    await trio.sleep(1)
    assert set(htable.verdicts) == {f"{number}.example" for number in range(dropped, domains)}
    assert push.counters.dropped == dropped


async def test_calls_in_flight_are_never_over_64(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    await wait_all_tasks_blocked()  # the first look is over
    htable.seconds = 1.0
    for number in range(1000):
        push.set(f"{number}.example", 1, 300.0)
    await trio.sleep(4)
    assert htable.most_under_way == 64
    await trio.sleep(60)
    assert push.counters.pushed == 1000


async def test_silent_proxy_is_looked_at_seldom_logged_once_and_told_all_when_it_is_back(
    push: HtablePush, htable: Htable, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    caplog.set_level("INFO")
    await wait_all_tasks_blocked()
    htable.silent = True
    for number in range(1000):
        push.set(f"{number}.example", 1, 86_400.0)
    await trio.sleep(3600)
    assert len(htable.heard) == 64
    assert len(htable.looks) < 3600 / 30 + 5
    assert len(push) == 1000
    htable.silent = False
    await trio.sleep(60)
    assert len(htable.verdicts) == 1000
    assert [record.getMessage() for record in caplog.records] == [
        "proxy: silent (no reply): told no verdicts until it answers",
        "proxy: answers again; 1000 verdicts wait for it",
    ]


async def test_queue_of_a_silent_proxy_keeps_its_bound(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    htable.silent = True
    push = HtablePush(htable.call, name="proxy", queued=100)
    nursery.start_soon(push.run)
    for number in range(1000):
        push.set(f"{number}.example", 1, 86_400.0)
        await trio.sleep(0.125)
    assert len(push) <= 100
    assert push.counters.dropped >= 900 - 64


async def test_refused_change_is_tried_three_times_then_given_up_and_logged_once_a_minute(
    push: HtablePush, htable: Htable, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    htable.refused = Refused(500, "Failed to set the item")
    push.set("a.example", 1, 300.0)
    push.delete("b.example")
    await trio.sleep(50)
    assert [when for when, _, key in htable.heard if key == "a.example"] == [0.0, 1.0, 3.0]
    assert (push.counters.refused, push.counters.lost) == (6, 2)
    assert len(caplog.records) == 1
    await trio.sleep(50)
    push.set("a.example", 1, 300.0)
    await trio.sleep(2)
    htable.refused = None
    await trio.sleep(50)
    assert len(caplog.records) == 2
    assert "Failed to set the item" in caplog.records[1].getMessage()
    assert "a.example" in htable.verdicts


async def test_emptied_proxy_is_noticed_at_first_contact_and_after_a_restart(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    found: list[float] = []
    push = HtablePush(htable.call, name="proxy", emptied=lambda: found.append(trio.current_time()))
    nursery.start_soon(push.run)
    await trio.sleep(3601)
    assert found == [0.0]
    htable.table.clear()
    await trio.sleep(3600)
    assert found == [0.0, 3605.0]
    assert push.counters.emptied == 2


async def test_emptied_proxy_is_told_all_again(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    names = [(f"{number}.example", 1, 600.0) for number in range(1000)]
    told = HtablePush(htable.call, name="proxy", emptied=lambda: told.push_all(names))
    nursery.start_soon(told.run)
    for _ in range(2):
        htable.table.clear()
        await trio.sleep(60)
        assert len(htable.verdicts) == 1000
    assert told.counters.full_pushes == 2


async def test_full_push_is_at_a_bounded_rate_and_behind_what_is_new(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    push = HtablePush(htable.call, name="proxy", rate=1000.0)
    nursery.start_soon(push.run)
    push.push_all((f"{number}.example", 1, 600.0) for number in range(6400))
    await trio.sleep(2.01)
    push.set("new.example", 1, 600.0)
    await trio.sleep(0.001)
    assert "new.example" in htable.verdicts
    assert 2000 <= push.counters.pushed <= 2100
    await trio.sleep(4.5)
    assert push.counters.pushed == 6401
    assert push.counters.full_pushes == 1


async def test_full_push_does_not_undo_what_came_since(
    htable: Htable, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    htable.seconds = 1.0
    push = HtablePush(htable.call, name="proxy", in_flight=1)
    nursery.start_soon(push.run)
    push.set("flying.example", 3, 600.0)
    await trio.sleep(0.5)
    push.delete("waiting.example")
    push.push_all([("flying.example", 1, 600.0), ("Waiting.example", 1, 600.0), ("other.example", 1, 600.0)])
    await trio.sleep(60)
    assert {key: kind for key, (kind, _) in htable.verdicts.items()} == {
        "flying.example": 3,
        "other.example": 1,
    }


async def test_full_push_reads_no_further_while_the_proxy_is_silent(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    read = 0

    def counted() -> Iterator[tuple[str, int, float]]:
        nonlocal read
        for read in range(10_000):
            yield (f"{read}.example", 1, 86_400.0)

    await wait_all_tasks_blocked()
    htable.silent = True
    push.push_all(counted())
    await trio.sleep(3600)
    assert read < 512
    assert len(push) < 512
    htable.silent = False
    await trio.sleep(100)
    assert len(htable.verdicts) == 10_000


async def test_full_push_takes_the_place_of_one_under_way(
    push: HtablePush, htable: Htable, autojump_clock: MockClock
) -> None:
    push.push_all((f"old{number}.example", 1, 600.0) for number in range(100_000))
    await trio.sleep(1)
    push.push_all([("new.example", 1, 600.0)])
    await trio.sleep(60)
    assert "new.example" in htable.verdicts
    assert len(htable.verdicts) < 6000


@pytest.mark.parametrize("silent", [False, True])
async def test_push_cancelled_ends(silent: bool, htable: Htable, autojump_clock: MockClock) -> None:
    htable.silent = silent
    htable.seconds = 100.0
    push = HtablePush(htable.call, name="proxy")
    push.set("a.example", 1, 600.0)
    push.push_all([("b.example", 1, 600.0)])
    with trio.move_on_after(20) as scope:
        await push.run()
    assert scope.cancelled_caught


# A real Kamailio.


@asynccontextmanager
async def client_of(kamailio: Kamailio) -> AsyncIterator[RpcClient]:
    with open_rpc(parse_target(kamailio.rpc)) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive)
            yield client
            nursery.cancel_scope.cancel()


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "kamailio.db"
    create_tables(path)
    return path


@pytest.mark.server("kamailio")
@pytest.mark.parametrize("unix", [False, True], ids=["udp", "unix"])
async def test_kamailio_knows_a_row_after_a_change_and_forgets_it_without_restart(
    unix: bool, database: Path, nursery: trio.Nursery
) -> None:
    with running_kamailio(domain_script(database), unix=unix) as kamailio:
        async with client_of(kamailio) as client:
            debouncer = ReloadDebouncer(kamailio_reload(client.call), name="kamailio", interval=0.1)
            nursery.start_soon(debouncer.run)
            assert not await kamailio.is_local("new.example")
            execute(database, "INSERT INTO domain (domain, did) VALUES ('new.example', 'new.example')")
            debouncer.changed()
            await until(lambda: debouncer.counters.done == 1)
            assert await kamailio.is_local("NEW.example")
            execute(database, "DELETE FROM domain")
            debouncer.changed()
            await until(lambda: debouncer.counters.done == 2)
            assert not await kamailio.is_local("new.example")
            nursery.cancel_scope.cancel()


@pytest.mark.server("kamailio")
async def test_kamailio_with_a_bad_row_keeps_its_table_and_is_reloaded_until_it_is_mended(
    database: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    execute(database, "INSERT INTO domain (domain, did) VALUES ('old.example', 'old.example')")
    with running_kamailio(domain_script(database)) as kamailio:
        async with client_of(kamailio) as client:
            debouncer = ReloadDebouncer(kamailio_reload(client.call), name="kamailio", interval=0.1)
            nursery.start_soon(debouncer.run)
            execute(database, "INSERT INTO domain (domain, did) VALUES ('bad.example', '')")
            for failed in (1, 2):
                debouncer.changed()
                await until(lambda failed=failed: debouncer.counters.failed == failed)  # type: ignore[misc]
            assert await kamailio.is_local("old.example")
            assert not await kamailio.is_local("bad.example")
            execute(database, "UPDATE domain SET did = domain")
            debouncer.changed()
            await until(lambda: debouncer.counters.done == 1)
            assert await kamailio.is_local("bad.example")
            nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("fastvhost")] == [
        f"kamailio: the reload of its domains failed ({FAILED}): it serves those it had; trying again",
        "kamailio: the reload of its domains works again",
    ]


@pytest.mark.server("kamailio")
@pytest.mark.parametrize("unix", [False, True], ids=["udp", "unix"])
async def test_kamailio_answers_from_its_htable_what_was_pushed_also_after_a_restart(
    unix: bool, database: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastvhost.domains.proxies._WATCH_SECONDS", (0.05, 0.1))
    known = [(f"{number}.example", 1, 600.0) for number in range(500)]
    with running_kamailio(domain_script(database), unix=unix) as kamailio:
        async with client_of(kamailio) as client:
            call = partial(client.call, wait=0.1)
            told = HtablePush(call, name="kamailio", emptied=lambda: told.push_all(known))
            nursery.start_soon(told.run)
            await until(lambda: told.counters.full_pushes == 1 and told.counters.pushed == 500)
            told.set("New.example", 1, 600.0)
            told.set("short.example", 2, 1.0)
            await until(lambda: told.counters.pushed == 502)
            assert await kamailio.verdict("NEW.example") == 1
            assert await kamailio.verdict("499.example") == 1
            with trio.fail_after(10):
                while await kamailio.verdict("short.example") is not None:  # noqa: ASYNC110 - its timer's
                    await trio.sleep(0.05)
            told.delete("new.example")
            await until(lambda: told.counters.deleted == 1)
            assert await kamailio.verdict("new.example") is None
            kamailio.stop()
            told.set("meanwhile.example", 1, 600.0)
            kamailio.start()
            # On a slow machine a call that is answered late is made again.
            await until(lambda: told.counters.full_pushes >= 2 and told.counters.pushed >= 502 + 501)
            assert await kamailio.verdict("499.example") == 1
            assert await kamailio.verdict("meanwhile.example") == 1
            assert told.counters.lost == 0
            nursery.cancel_scope.cancel()
