"""Snapshots of a service: when they are written, what of them is believed at the start, and what is not."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from fastvhost import config
from fastvhost.cache import VerdictCache
from fastvhost.config import Config
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.store import Store
from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.service import Service, open_service
from fastvhost.snapshot import circumstances_of
from fastvhost.snapshots import Snapshots
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, Lab, open_lab

HOSTS = {
    "hosted.example": VerdictKind.HOSTED,
    "elsewhere.example": VerdictKind.NOT_HOSTED,
    "absent.example": VerdictKind.NOT_HOSTED,
}


class WallClock:
    """Seconds since the epoch, as the test has them."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def put(path: Path, octets: bytes, mode: int) -> None:
    path.write_bytes(octets)
    path.chmod(mode)


def read(path: Path) -> bytes:
    return path.read_bytes()


def beside(path: Path) -> list[Path]:
    """What is in its directory, itself included."""
    return list(path.parent.iterdir())


def snapshots_of(
    cache: VerdictCache, path: Path, wall_clock: WallClock, *, every: float = 300.0, of: str = "these"
) -> Snapshots:
    limits = config.Cache(snapshot=str(path), snapshot_every=every)
    return Snapshots(limits, cache, circumstances=lambda: circumstances_of(of), wall_clock=wall_clock)


def filled(entries: int = 3) -> VerdictCache:
    cache = VerdictCache(config.Cache())
    for number in range(entries):
        finding = Finding(kind=VerdictKind.NOT_HOSTED, ttl=1_000.0, reason=ABSENT)
        cache.settle(f"h{number}.test", finding, trio.current_time())
    return cache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


async def test_snapshot_is_taken_back_with_what_is_left_of_the_ttls(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wall = WallClock()
    await snapshots_of(filled(), path, wall).write_last()
    wall.now += 400.0
    cache = VerdictCache(config.Cache())
    after = snapshots_of(cache, path, wall)
    after.restore()
    verdict = cache.unknown("h2.test", trio.current_time())
    assert verdict is not None
    assert 500.0 < verdict.ttl(trio.current_time()) <= 600.0
    assert after.counts() == {
        "age": after.counts()["age"],  # whole seconds: no slow machine may change them
        "entries": 3,
        "octets": len(read(path)),
        "written": 0,
        "failures": 0,
        "restored": 3,
    }
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 3 verdicts are back, as of 400 s ago"
    ]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "it is no snapshot of fastvhost"),
        (b"fastvhost snapshot\n\1\0", "it is torn: the header is not whole"),
        (b"x" * 5_000, "it is no snapshot of fastvhost"),
    ],
)
async def test_snapshot_that_is_unusable_is_one_line_and_the_cache_stays_empty(
    octets: bytes, why: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, octets, 0o600)
    cache = VerdictCache(config.Cache())
    snapshots_of(cache, path, WallClock()).restore()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: ignored, the cache is empty: {why}"
    ]
    assert cache.sizes() == (0, 0)


async def test_snapshot_that_others_may_write_is_one_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await snapshots_of(filled(), path, WallClock()).write_last()
    put(path, read(path), 0o660)
    cache = VerdictCache(config.Cache())
    snapshots_of(cache, path, WallClock()).restore()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: ignored, the cache is empty: others than we can write it"
    ]
    assert cache.sizes() == (0, 0)


async def test_no_snapshot_yet_is_no_line(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snapshots_of(filled(), path, WallClock()).restore()
    assert caplog.records == []


async def test_snapshot_that_cannot_be_written_is_one_line_and_the_one_before_stays(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = snapshots_of(filled(), path, WallClock())
    await snapshots.write_last()
    before = read(path)

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    await snapshots.write_last()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: not written, the one before stays: No space left on device"
    ]
    assert (snapshots.counts()["written"], snapshots.counts()["failures"]) == (1, 1)
    assert read(path) == before
    assert beside(path) == [path]


@pytest.mark.parametrize("octets", [b"SQLite format 3\0", b"[own]\n"])
async def test_file_that_is_no_snapshot_is_never_written_over(
    octets: bytes, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, octets, 0o600)
    snapshots = snapshots_of(filled(), path, WallClock())
    await snapshots.write_last()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: not written, it is no snapshot of fastvhost: cache.snapshot must name another file"
    ]
    assert (read(path), beside(path)) == (octets, [path])
    assert (snapshots.counts()["written"], snapshots.counts()["failures"]) == (0, 1)


@pytest.mark.parametrize("octets", [b"", b"fastvhost", b"fastvhost snapshot\n\1"])
async def test_snapshot_that_is_empty_or_torn_is_written_over(octets: bytes, path: Path) -> None:
    put(path, octets, 0o600)
    snapshots = snapshots_of(filled(), path, WallClock())
    await snapshots.write_last()
    assert snapshots.counts()["written"] == 1


async def test_snapshot_in_no_directory_is_one_line_at_the_start(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots_of(filled(), path / "name", WallClock()).restore()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path / 'name'}: cannot be written: {path} is no directory"
    ]


async def test_fault_of_ours_is_a_line_and_no_more(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = filled()
    monkeypatch.setattr(VerdictCache, "pieces", lambda _: 1 / 0)
    await snapshots_of(cache, path, WallClock()).write_last()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: not written: a fault of fastvhost, please report it"
    ]
    assert beside(path) == []


async def test_snapshot_whose_circumstances_change_meanwhile_is_dropped(path: Path) -> None:
    said = iter([b"\1" * 32, b"\2" * 32])
    snapshots = Snapshots(
        config.Cache(snapshot=str(path)),
        filled(),
        circumstances=lambda: next(said),
        wall_clock=WallClock(),
    )
    await snapshots.write_last()
    assert snapshots.counts()["written"] == 0
    assert beside(path) == []


async def test_cancelled_snapshot_leaves_the_one_before_and_nothing_beside_it(path: Path) -> None:
    snapshots = snapshots_of(filled(), path, WallClock())
    await snapshots.write_last()
    before = read(path)
    cache = filled(5_000)
    with trio.CancelScope() as scope:

        def pieces() -> Iterator[object]:
            yield from cache.pieces()
            scope.cancel()

        cancelled = snapshots_of(filled(), path, WallClock())
        cancelled._cache = type("", (), {"pieces": staticmethod(pieces)})()  # type: ignore[assignment]
        await cancelled.write_last()
    assert scope.cancelled_caught
    assert read(path) == before
    assert beside(path) == [path]


async def test_others_have_their_turn_between_the_pieces(path: Path) -> None:
    snapshots = snapshots_of(filled(20_000), path, WallClock())
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await snapshots.write_last()
        nursery.cancel_scope.cancel()
    assert turns > 20_000 / 256


# In a service.


@asynccontextmanager
async def running(lab: Lab, path: Path, **sections: Any) -> AsyncIterator[tuple[Service, Config]]:
    cache = {"snapshot": str(path), **sections.pop("cache", {})}
    config = config_on(lab, cache=cache, **sections)
    async with open_service(config) as service:
        yield service, config


async def test_service_started_again_with_dns_dead_answers_as_before(path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        async with running(lab, path) as (service, config):
            before = {host: await service.lookup(host) for host in HOSTS}
            assert {host: verdict.kind for host, verdict in before.items()} == HOSTS
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        async with open_service(config) as service:
            for host, kind in HOSTS.items():
                verdict = await service.lookup(host)
                assert verdict.kind is kind
                assert verdict.reason == before[host].reason
                assert verdict.expires <= before[host].expires
            assert (await service.lookup("other.example")).kind is VerdictKind.UNDETERMINED
            assert service.counters()["snapshot.restored"] == 3


@pytest.mark.parametrize(
    "sections",
    [{"own": {"names": frozenset({"other.example"})}}, {"dns": {"trusted": True}}],
)
async def test_service_that_asks_otherwise_does_not_believe_the_snapshot(
    sections: dict[str, Any], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_lab([ZONE]) as lab:
        async with running(lab, path) as (service, _):
            await service.lookup("hosted.example")
        caplog.clear()
        dns = {"servers": config_on(lab).dns.servers}
        async with open_service(config_on(lab, **{"cache": {"snapshot": str(path)}, "dns": dns, **sections})):
            (record,) = caplog.records
    assert "it was made with another [own] or [dns]" in record.getMessage()


async def test_snapshot_after_a_reload_is_of_the_new_configuration_and_hosts_stay_doubted(path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        async with running(lab, path) as (service, config):
            for host in HOSTS:
                await service.lookup(host)
            other = replace(config, own=replace(config.own, names=frozenset({"other.example"})))
            service.reload(other)
        async with open_service(other) as service:
            assert service.counters()["snapshot.restored"] == 1
            asked = lab.total
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
            await until(lambda: lab.total > asked)


async def test_snapshot_is_written_every_so_often(path: Path) -> None:
    async with open_lab([ZONE]) as lab, running(lab, path, cache={"snapshot_every": 0.01}) as (service, _):
        await service.lookup("hosted.example")
        await until(lambda: service.counters()["snapshot.entries"] == 1)
        written = service.counters()["snapshot.written"]
        await until(lambda: service.counters()["snapshot.written"] > written)
    assert beside(path) == [path]


def known(domain: str, state: DomainState) -> DomainRecord:
    return DomainRecord(
        domain=domain, state=state, first_seen=1.0, last_seen=2.0, last_verified=3.0, next_check=4e9
    )


async def test_domain_that_the_store_knows_better_is_not_believed(path: Path) -> None:
    """A snapshot may be older than what the operator has said since: the daemon was killed, say."""
    url = f"sqlite:///{path.parent}/x.db"
    async with open_lab([ZONE]) as lab:
        async with running(lab, path, domains={"store": url, "learn": config.LearnMode.OFF}) as (
            service,
            settings,
        ):
            for host in ("hosted.example", "address.example"):
                assert (await service.lookup(host)).kind is VerdictKind.HOSTED
        with closing(Store(url, proxy="kamailio")) as store:
            store.prepare()
            store.put(
                [
                    known("hosted.example", DomainState.REJECTED),
                    known("address.example", DomainState.DISABLED),
                ]
            )
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        async with open_service(settings) as service:
            assert (await service.lookup("hosted.example")).kind is VerdictKind.NOT_HOSTED
            assert (await service.lookup("address.example")).kind is VerdictKind.UNDETERMINED
