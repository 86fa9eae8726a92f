"""The way into the store: what queues, what one batch takes, and what happens while the database is away."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fastvhost.domains import writer as subject
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.store import PutResult, Refusal, Store
from fastvhost.domains.writer import StoreWriter
from fastvhost.errors import StoreError, StoreUnavailableError

_T = TypeVar("_T")


def record(domain: str, evidence: str = "") -> DomainRecord:
    return DomainRecord(
        domain=domain,
        state=DomainState.ACTIVE,
        first_seen=0.0,
        last_seen=0.0,
        last_verified=0.0,
        next_check=0.0,
        evidence=evidence,
    )


class Database:
    """Keeps what is put; raises the errors that it is given first."""

    def __init__(self) -> None:
        self.errors: list[StoreError] = []
        self.tried_at: list[float] = []
        self.batches: list[list[DomainRecord]] = []
        self.refused: Sequence[Refusal] = ()

    def put(self, records: Sequence[DomainRecord]) -> PutResult:
        self.tried_at.append(trio.current_time())
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(list(records))
        return PutResult(changed=True, added=[], removed=[], refused=self.refused, revision=len(self.batches))

    @property
    def domains(self) -> list[str]:
        return [record.domain for batch in self.batches for record in batch]


class ThreadlessWriter(StoreWriter):
    """Calls the store at once, so that time can be virtual; a call waits for `gate` to open."""

    gate: trio.Event | None = None

    async def call(self, read: Callable[[Store], _T]) -> _T:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        return read(self._store)


class Bench:
    def __init__(self) -> None:
        self.database = Database()
        self.told: list[PutResult] = []
        self.writer = ThreadlessWriter(cast("Store", self.database), written=self.told.append)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_records_are_written_in_one_batch_and_told(bench: Bench, nursery: trio.Nursery) -> None:
    for name in ("a", "b", "c"):
        assert bench.writer.put(record(name))
    assert bench.writer.queued == 3
    nursery.start_soon(bench.writer.run)
    await bench.writer.flushed()
    assert [[one.domain for one in batch] for batch in bench.database.batches] == [["a", "b", "c"]]
    assert (bench.writer.queued, bench.writer.batches, len(bench.told)) == (0, 1, 1)


async def test_later_record_of_a_domain_takes_the_place_of_the_earlier(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.writer.put(record("a", "early"))
    bench.writer.put(record("a", "late"))
    nursery.start_soon(bench.writer.run)
    await bench.writer.flushed()
    assert bench.database.batches == [[record("a", "late")]]


async def test_batch_takes_so_many_records_and_no_more(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_BATCH", 3)
    nursery.start_soon(bench.writer.run)
    for count in (2, 3, 4):
        bench.database.batches.clear()
        for number in range(count):
            bench.writer.put(record(f"d{number}"))
        await bench.writer.flushed()
        assert [len(batch) for batch in bench.database.batches] == ([3, 1] if count == 4 else [count])


async def test_queue_at_its_bound_takes_no_new_domain_but_a_newer_record_of_a_known_one(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_MOST_QUEUED", 3)
    assert [bench.writer.put(record(name)) for name in "abcd"] == [True, True, True, False]
    assert bench.writer.put(record("a", "late"))
    assert (bench.writer.queued, bench.writer.refused) == (3, 1)
    nursery.start_soon(bench.writer.run)
    await bench.writer.flushed()
    assert bench.database.batches == [[record("a", "late"), record("b"), record("c")]]
    assert bench.writer.put(record("d")), "there is room again"


async def test_record_put_again_while_its_batch_is_written_is_written_again(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.writer.gate = trio.Event()
    bench.writer.put(record("a", "early"))
    bench.writer.put(record("b"))
    nursery.start_soon(bench.writer.run)
    await wait_all_tasks_blocked()
    bench.writer.put(record("a", "late"))
    bench.writer.gate.set()
    await bench.writer.flushed()
    assert bench.database.batches == [[record("a", "early"), record("b")], [record("a", "late")]]


@pytest.mark.parametrize("kind", [StoreUnavailableError, StoreError])
async def test_failing_database_is_tried_again_with_doubled_waits_and_said_once(
    bench: Bench,
    kind: type[StoreError],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger=subject.__name__)
    bench.database.errors = [kind("the database cannot be used: away")] * 9
    bench.writer.put(record("a"))
    started = trio.current_time()
    nursery.start_soon(bench.writer.run)
    await bench.writer.flushed()
    waits = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    tried_at = [round(instant - started, 6) for instant in bench.database.tried_at]
    assert tried_at == [sum(waits[:number]) for number in range(10)]
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        ("ERROR", "the database cannot be used: away; 1 records wait, and it is tried again"),
        ("INFO", "the database is back; 1 records to write"),
    ]
    assert (bench.writer.failures, bench.database.domains) == (9, ["a"])


async def test_second_outage_is_said_again_and_begins_with_the_short_wait(
    bench: Bench, nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    nursery.start_soon(bench.writer.run)
    for name in ("a", "b"):
        bench.database.errors = [StoreUnavailableError("away")] * 2
        bench.writer.put(record(name))
        await bench.writer.flushed()
    first, second, third, *again = bench.database.tried_at
    assert (second - first, third - second) == pytest.approx((0.5, 1.0))
    assert again[1] - again[0] == pytest.approx(0.5)
    assert len(caplog.records) == 2


async def test_flushed_waits_for_what_is_queued_and_for_nothing_else(
    bench: Bench, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await bench.writer.flushed()
    bench.database.errors = [StoreUnavailableError("away")] * 3
    nursery.start_soon(bench.writer.run)
    bench.writer.put(record("a"))
    with trio.move_on_after(3.0) as scope:
        await bench.writer.flushed()
    assert scope.cancelled_caught
    await bench.writer.flushed()
    assert bench.database.domains == ["a"]


async def test_cancelled_writer_keeps_what_it_has_not_written(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.database.errors = [StoreUnavailableError("away")] * 5
    bench.writer.put(record("a"))
    with trio.move_on_after(1.0):
        await bench.writer.run()
    assert bench.writer.queued == 1
    bench.database.errors = []
    bench.writer.put(record("b"))
    with trio.move_on_after(1.0):
        await bench.writer.run()
    assert bench.database.domains == ["a", "b"]


async def test_refused_record_is_said_and_holds_up_nothing(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.database.refused = [Refusal(domain="a", why="too long")]
    bench.writer.put(record("a"))
    nursery.start_soon(bench.writer.run)
    await bench.writer.flushed()
    assert bench.writer.queued == 0
    assert [entry.getMessage() for entry in caplog.records] == ["not stored: a: too long"]


async def test_calls_take_turns_in_worker_threads_and_raise_what_the_store_raises() -> None:
    writer = StoreWriter(cast("Store", Database()), written=lambda _: None)
    under_way = 0
    most = 0

    def read(_: Store) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        trio.from_thread.run(trio.lowlevel.checkpoint)
        under_way -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(writer.call, read)
    assert most == 1

    def fail(_: Store) -> None:
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError):
        await writer.call(fail)
    await writer.call(read)
