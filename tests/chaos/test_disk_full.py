"""A disk of two megabytes that fills up while domains are learned, and a full one for the log."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from tests.chaos.form import report
from tests.chaos.zone import zone_of
from tests.daemon_process import Daemon, running_daemon
from tests.http_client import get
from tests.support import OURS, PdbClient, free_port, until, until_true
from tools.dnslab import Lab, open_lab

HOSTS = [f"h{number}.test" for number in range(60)]

ZONE = zone_of(HOSTS)

_MOUNT = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'


def config(lab: Lab, store: str) -> str:
    host, port = lab.address
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
        f'answer_within = 5\n[dns]\nservers = ["{host}:{port}"]\n'
        f'[limits]\nupstream_qps = 20_000\n[domains]\nstore = "{store}"\npoll = 0.2\n'
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """What mounts a disk of the daemon's own at `tmp_path / "disk"` before it starts."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a mount namespace takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    return ["unshare", "--mount", "sh", "-c", _MOUNT, str(folder)]


def fill(ballast: Path) -> None:
    """Take every octet that is left."""
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break


def lines(daemon: Daemon, *levels: str) -> list[str]:
    """What the log has of these levels, without the time."""
    found = (line.split(" ", 2) for line in daemon.log().splitlines())
    return [text for _, level, text in found if level in levels]


async def test_full_disk_stops_no_answer_and_what_was_learned_is_stored_once_there_is_room(
    tmp_path: Path, small_disk: list[str]
) -> None:
    folder, admin = tmp_path / "disk", Endpoint("127.0.0.1", free_port())
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        settings = config(lab, f"sqlite:///{folder}/fastvhost.db").replace('admin = ""', f'admin = "{admin}"')
        with running_daemon(settings, before=small_disk) as daemon, PdbClient(daemon.pdb) as client:

            async def stored() -> set[str]:
                found = await get(admin, "/domains?state=active")
                return {each["domain"] for each in found.json["domains"]}

            async def is_stored(hosts: list[str]) -> bool:
                return await stored() == set(hosts)

            assert await client.ask(HOSTS[0]) is VerdictKind.HOSTED
            await until_true(lambda: is_stored(HOSTS[:1]))
            ballast = Path(f"/proc/{daemon.pid}/root{folder}/ballast")
            fill(ballast)
            for host in HOSTS:
                assert await client.ask(host) is VerdictKind.HOSTED
            await until(lambda: "it is tried again" in daemon.log())
            for host in HOSTS:
                assert await client.ask(host) is VerdictKind.HOSTED
            assert await client.ask("none.invalid") is VerdictKind.NOT_HOSTED
            waited = len(set(HOSTS) - await stored())
            await trio.Path(ballast).unlink()
            await until_true(lambda: is_stored(HOSTS), within=60.0)
            said = lines(daemon, "WARNING", "ERROR")
            counters = daemon.stop()
    assert waited
    assert counters["domains.store_failures"] >= 1
    assert len([line for line in said if "database or disk is full; " in line]) == 1
    assert len(said) <= 2, "housekeeping may have met it too"
    report(f"disk full: {waited} domains waited, stored when there was room; lines in the log: {len(said)}")


async def test_log_on_a_full_disk_stops_no_answer_and_the_daemon_ends_in_order(tmp_path: Path) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        daemon = Daemon(
            tmp_path, config(lab, "") + "[log]\nqueries = 1.0\n", ["sh", "-c", 'exec "$0" "$@" 2>/dev/full']
        )
        daemon.launch()
        try:
            with PdbClient(daemon.pdb) as client:
                await until_answered(client)
                for number in range(300):  # more lines than a buffer holds
                    assert await client.ask(HOSTS[number % len(HOSTS)]) is VerdictKind.HOSTED
            os.kill(daemon.pid, signal.SIGTERM)
            assert await trio.to_thread.run_sync(daemon.wait) == 0
        finally:
            daemon.kill()


async def until_answered(client: PdbClient) -> None:
    with trio.fail_after(30):
        while True:
            with trio.move_on_after(0.2):
                await client.ask(HOSTS[0])
                return
