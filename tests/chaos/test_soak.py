"""A soak: known hosts, floods, malformed frames, faulty DNS, TCP and the admin face; memory stays flat."""

import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import dns.message
import trio

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from tests.chaos.asking import Asking
from tests.chaos.form import SOAK_SECONDS, long_form, report, seeded
from tests.chaos.zone import zone_of
from tests.daemon_process import running_daemon
from tests.http_client import get
from tests.support import OURS, free_port, until
from tools.dnslab import Effect, Fault, Lab, open_lab

HOSTED = [f"h{number}.test" for number in range(200)]

ZONE = zone_of(HOSTED, ttl=5)

WARM_UP = max(2.0, SOAK_SECONDS / 10.0)
"""Seconds in which the caches fill: they hold few, so that they are full for nearly all of the soak."""

GROWTH = 8 * 2**20
"""Octets of resident memory that the rest may add: the allocator's, as what it holds differs in size."""


def config(lab: Lab, folder: Path, dns_face: Endpoint, admin: Endpoint) -> str:
    host, port = lab.address
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = "{dns_face}"\n'
        f'admin = "{admin}"\n[dns]\nservers = ["{host}:{port}"]\ntimeout = 0.5\n'
        "[cache]\nhosted_ttl = [1, 5]\nunknown_entries = 5_000\n"
        f'[domains]\nstore = "sqlite:///{folder}/fastvhost.db"\nlearn_most = 100\n'
        "[housekeeping]\ncheck_floor = 10\ncheck_ceiling = 10\n"
    )


class Process:
    """What the system says of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def resident(self) -> int:
        """Octets of memory."""
        line = next(
            line for line in (self._folder / "status").read_text().splitlines() if line.startswith("VmRSS")
        )
        return int(line.split()[1]) * 1024

    def descriptors(self) -> int:
        return len(list((self._folder / "fd").iterdir()))


def known(draw: random.Random) -> Iterator[str]:
    while True:
        yield draw.choice(HOSTED)


def flood(draw: random.Random) -> Iterator[str]:
    """Hosts that nobody has asked for before, under many zones and one, from many sources and one."""
    for number in itertools.count():
        source = "198.51.100.1" if number % 2 else f"10.{draw.getrandbits(8)}.{draw.getrandbits(8)}.1"
        under = "one.invalid" if number % 3 else f"z{number}.invalid"
        yield f"r{number}.{under} {source}"


def malformed(draw: random.Random) -> Iterator[str]:
    while True:
        yield "".join(chr(draw.randrange(1, 127)) for _ in range(draw.randrange(1, 200)))


async def ask_over_tcp(dns_face: Endpoint, draw: random.Random) -> NoReturn:
    """Open a connection, ask, and go before the answer every other time."""
    for number in itertools.count():
        query = dns.message.make_query(f"{draw.choice(HOSTED)}.vhost.internal", "TXT").to_wire()
        async with await trio.open_tcp_stream(*dns_face) as stream:
            await stream.send_all(len(query).to_bytes(2, "big") + query)
            if number % 2:
                await stream.receive_some()
        await trio.sleep(0.05)
    raise AssertionError("it goes on until cancelled")


async def look(admin: Endpoint) -> NoReturn:
    while True:
        for page in ("/metrics", "/", "/domains", "/sources"):
            assert (await get(admin, page)).status == 200
            await trio.sleep(0.25)


@long_form
async def test_soaked_daemon_answers_on_and_its_memory_and_descriptors_stay(tmp_path: Path) -> None:
    draw = seeded()
    dns_face, admin = (Endpoint("127.0.0.1", free_port()) for _ in range(2))
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        with ExitStack() as stack:
            entered = running_daemon(config(lab, tmp_path, dns_face, admin))
            daemon = await trio.to_thread.run_sync(stack.enter_context, entered)
            process = Process(daemon.pid)
            good = Asking(daemon.pdb, known(draw), rate=300)
            floods = Asking(daemon.pdb, flood(draw), rate=500)
            garbage = Asking(daemon.pdb, malformed(draw), rate=20)
            await trio.to_thread.run_sync(daemon.warm_up, HOSTED, VerdictKind.HOSTED)
            async with trio.open_nursery() as nursery:
                lab.faults = [
                    Fault(effect=Effect.DROP, share=0.01),
                    Fault(delay=1.0, share=0.01),
                    Fault(effect=Effect.SERVFAIL, share=0.01),
                    Fault(effect=Effect.TRUNCATE, share=0.01),
                ]
                for asking in (good, floods, garbage):
                    nursery.start_soon(asking.run)
                nursery.start_soon(ask_over_tcp, dns_face, draw)
                nursery.start_soon(look, admin)
                await trio.sleep(WARM_UP)
                warm, descriptors = process.resident(), process.descriptors()
                quarters = []
                for _ in range(4):
                    await trio.sleep(SOAK_SECONDS / 4.0)
                    quarters.append(process.resident())
                nursery.cancel_scope.cancel()
            lab.faults = []
            await until(lambda: process.descriptors() <= descriptors)
            log = daemon.log()
            daemon.stop()
    report(
        f"soak: {SOAK_SECONDS:.0f} s, {good.answered + floods.answered + garbage.answered} answers; resident "
        f"{warm / 2**20:.1f} MB warm, after each quarter {[round(each / 2**20, 1) for each in quarters]}"
    )
    assert good.kinds() == {VerdictKind.HOSTED}
    assert VerdictKind.HOSTED not in floods.kinds()
    assert good.sent - good.answered <= good.sent // 10
    assert quarters[-1] - warm < GROWTH
    assert "Traceback" not in log
