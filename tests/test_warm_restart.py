"""A daemon that is stopped or killed, and started again while DNS is dead: what it still knows."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fastvhost.cache import VerdictCache
from fastvhost.config import Cache, Endpoint
from fastvhost.config_file import parse_config
from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.query import ask
from fastvhost.snapshot import circumstances_of, write_block, write_end, write_header
from fastvhost.snapshot_blocks import payloads_of
from tests.daemon_process import Daemon
from tests.support import OURS, ZONE, until
from tools.dnslab import Effect, Fault, Lab, open_lab

HOSTS = {
    "hosted.example": VerdictKind.HOSTED,
    "address.example": VerdictKind.HOSTED,
    "elsewhere.example": VerdictKind.NOT_HOSTED,
    "absent.example": VerdictKind.NOT_HOSTED,
}

MANY = 60_000
"""Entries whose snapshot takes some 230 pauses of 2 ms."""


def config(dns: Endpoint, folder: Path, *, every: int = 300) -> str:
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
        f'[dns]\nservers = ["{dns}"]\ntimeout = 1.0\nwalk_timeout = 2.0\n'
        f'[cache]\nsnapshot = "{folder}/snapshot"\nsnapshot_every = {every}\n'
        "[domains]\nstore = ''\n"
    )


class Running:
    """A daemon beside this event loop, which the lab needs."""

    def __init__(self, folder: Path, config: str) -> None:
        self._daemon = Daemon(folder, config)
        self.log = folder / "log"

    async def start(self) -> None:
        await trio.to_thread.run_sync(self._daemon.start)

    async def stop(self) -> dict[str, int]:
        return await trio.to_thread.run_sync(self._daemon.stop)

    def kill(self) -> None:
        self._daemon.kill()

    async def ask(self, host: str) -> VerdictKind:
        kind, _ = await trio.to_thread.run_sync(lambda: ask(self._daemon.pdb, host.encode(), timeout=5.0))
        return kind

    async def warm_up(self) -> None:
        for host, kind in HOSTS.items():
            await trio.to_thread.run_sync(self._daemon.warm_up, [host], kind)


@asynccontextmanager
async def running(folder: Path, *, every: int = 300) -> AsyncIterator[tuple[Running, Lab]]:
    """A daemon on a lab that is not started yet, in a folder of its own."""
    async with open_lab([ZONE]) as lab:
        daemon = Running(folder, config(Endpoint(*lab.address), folder, every=every))
        try:
            yield daemon, lab
        finally:
            daemon.kill()


def octets_of(path: Path) -> str:
    return path.read_bytes().decode("latin-1") if path.exists() else ""


def snapshot_of_many(text: str) -> bytes:
    """What a daemon of this configuration could have written a moment ago."""
    read = parse_config(text, name="test")
    cache = VerdictCache(Cache())
    for number in range(MANY):
        cache.settle(
            f"h{number}.example", Finding(kind=VerdictKind.NOT_HOSTED, ttl=3_600, reason=ABSENT), 0.0
        )
    blocks = [write_block(payload) for piece in cache.pieces() for payload in payloads_of(piece, 0.0)]
    circumstances = circumstances_of(read.own, read.dns, read.dns.servers)
    wall = time.time()  # noqa: TID251 - the daemon's own
    return write_header(circumstances, wall - 1.0) + b"".join(blocks) + write_end(MANY)


async def test_daemon_stopped_and_started_again_with_dns_dead_answers_as_before(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, lab):
        await daemon.start()
        await daemon.warm_up()
        await daemon.stop()
        lab.faults = [Fault(effect=Effect.DROP)]
        asked = lab.total
        await daemon.start()
        assert {host: await daemon.ask(host) for host in HOSTS} == HOSTS
        assert lab.total == asked
        assert await daemon.ask("other.example") not in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED)
        counts = await daemon.stop()
    assert counts["snapshot.restored"] == len(HOSTS)
    assert counts["lookup.walks"] == 1


async def test_daemon_killed_after_a_snapshot_knows_what_was_in_it(tmp_path: Path) -> None:
    async with running(tmp_path, every=1) as (daemon, lab):
        await daemon.start()
        await daemon.warm_up()
        await until(lambda: all(host in octets_of(tmp_path / "snapshot") for host in HOSTS), within=30.0)
        daemon.kill()
        lab.faults = [Fault(effect=Effect.DROP)]
        await daemon.start()
        assert {host: await daemon.ask(host) for host in HOSTS} == HOSTS


async def test_daemon_killed_while_it_writes_leaves_the_snapshot_before(tmp_path: Path) -> None:
    snapshot, beside = tmp_path / "snapshot", tmp_path / "snapshot.new"
    async with running(tmp_path, every=1) as (daemon, lab):
        made = snapshot_of_many(config(Endpoint(*lab.address), tmp_path))
        # The kill may have come when it was whole already, or only while the one after it was written.
        while not beside.exists() or snapshot.read_bytes() != made:
            snapshot.write_bytes(made)
            snapshot.chmod(0o600)
            await daemon.start()
            await until(beside.exists, within=30.0)
            daemon.kill()
        await daemon.start()
        assert await daemon.ask("h59999.example") is VerdictKind.NOT_HOSTED
        assert (await daemon.stop())["snapshot.restored"] == MANY
        assert not beside.exists()


async def test_daemon_started_with_a_torn_snapshot_says_so_in_one_line_and_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as (daemon, _):
        await daemon.start()
        await daemon.warm_up()
        await daemon.stop()
        snapshot = tmp_path / "snapshot"
        snapshot.write_bytes(snapshot.read_bytes()[:-1])
        await daemon.start()
        (line,) = [line for line in daemon.log.read_text().splitlines() if "snapshot" in line]
        assert line.endswith(f"WARNING {snapshot}: ignored, the cache is empty: it is torn: it has no end")
        await daemon.warm_up()
