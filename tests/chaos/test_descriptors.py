"""No file descriptor left: known hosts are answered, others get no wrong answer, and it passes by itself."""

import itertools
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import dns.message
import dns.rcode
import trio

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from tests.chaos.asking import Asking
from tests.chaos.form import long_form, report
from tests.chaos.zone import zone_of
from tests.daemon_process import Daemon, running_daemon
from tests.http_client import get
from tests.support import OURS, PdbClient, free_port, until, until_true
from tools.dnslab import Effect, Fault, Lab, open_lab

HOSTS = [f"h{number}.test" for number in range(10)]

ZONE = zone_of(HOSTS)

FEWEST = 220
"""Of these 196 are kept for all but DNS queries."""

LONG_ENOUGH = 1.5
"""Seconds without a descriptor: meanwhile it tries to connect with the proxy, and to store."""


class Bench:
    """A daemon with all its faces, and a proxy that it connects to."""

    def __init__(self, daemon: Daemon, lab: Lab, evapi: trio.SocketListener, dns: Endpoint, admin: Endpoint):
        self.daemon, self.lab, self.evapi, self.dns, self.admin = daemon, lab, evapi, dns, admin


@asynccontextmanager
async def bench(folder: Path, *, before: tuple[str, ...] = ()) -> AsyncIterator[Bench]:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        (evapi,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        dns_face, admin = (Endpoint("127.0.0.1", free_port()) for _ in range(2))
        host, port = lab.address
        config = (
            f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = "{dns_face}"\n'
            f'admin = "{admin}"\nanswer_within = 1\n'
            f'[dns]\nservers = ["{host}:{port}"]\ntimeout = 0.3\n'
            "[limits]\nupstream_qps = 20_000\n"
            f'[proxies]\nevapi = ["tcp:127.0.0.1:{evapi.socket.getsockname()[1]}"]\n'
            f'[domains]\nstore = "sqlite:///{folder}/fastvhost.db"\npoll = 0.2\n'
        )
        async with evapi:
            with ExitStack() as stack:
                entered = running_daemon(config, before=before)
                daemon = await trio.to_thread.run_sync(stack.enter_context, entered)
                yield Bench(daemon, lab, evapi, dns_face, admin)


def cpu_seconds(pid: int) -> float:
    """What it has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def known(admin: Endpoint) -> set[str]:
    found = await get(admin, "/domains?state=active")
    return {each["domain"] for each in found.json["domains"]}


async def test_no_descriptor_left_harms_no_known_host_and_ends_without_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as parts:
        daemon, pid = parts.daemon, parts.daemon.pid
        proxy = await parts.evapi.accept()
        with PdbClient(daemon.pdb) as client:
            assert await client.ask(HOSTS[0]) is VerdictKind.HOSTED

            async def first_is_stored() -> bool:
                return await known(parts.admin) == {HOSTS[0]}

            await until_true(first_is_stored)
            await proxy.aclose()  # which it connects with again in a second
            await until(lambda: "connecting again" in daemon.log())
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
            os.kill(pid, signal.SIGHUP)  # which has it open files
            cpu, began = cpu_seconds(pid), trio.current_time()
            kinds = set()
            async with await trio.open_tcp_stream(*parts.dns) as waiting:
                for number in itertools.count():
                    assert await client.ask(HOSTS[0]) is VerdictKind.HOSTED
                    kinds.add(await client.ask(f"none{number}.invalid"))
                    kinds.add(await client.ask(HOSTS[1 + number % 8]))
                    await trio.sleep(0.02)
                    if trio.current_time() > began + LONG_ENOUGH and "not reloaded" in daemon.log():
                        break
                assert kinds <= {VerdictKind.UNDETERMINED, VerdictKind.LIMITED, VerdictKind.PENDING}
                spent = (cpu_seconds(pid) - cpu) / (trio.current_time() - began)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
                query = dns.message.make_query(f"{HOSTS[0]}.vhost.internal", "A").to_wire()
                with trio.fail_after(10):
                    await waiting.send_all(len(query).to_bytes(2, "big") + query)
                    reply = dns.message.from_wire((await waiting.receive_some())[2:])
                assert reply.rcode() == dns.rcode.NOERROR
                assert reply.answer
            assert await client.ask("fresh.invalid") is VerdictKind.NOT_HOSTED
            assert await client.ask(HOSTS[9]) is VerdictKind.HOSTED

            async def last_is_stored() -> bool:
                return HOSTS[9] in await known(parts.admin)

            await until_true(last_is_stored)
            with trio.fail_after(40):
                await (await parts.evapi.accept()).aclose()
        log = daemon.log()
        daemon.stop()
    assert "Traceback" not in log
    report(f"no descriptors: unknown hosts were {sorted(kind.name for kind in kinds)}; {spent:.0%} of a core")


@long_form
async def test_fewest_descriptors_are_enough_with_every_face_full(tmp_path: Path) -> None:
    limit = f"--nofile={FEWEST}:{FEWEST}"
    async with bench(tmp_path, before=("prlimit", limit)) as parts:
        async with await parts.evapi.accept(), AsyncExitStack() as clients:
            with PdbClient(parts.daemon.pdb) as client:
                assert await client.ask(HOSTS[0]) is VerdictKind.HOSTED
                parts.lab.faults = [Fault(effect=Effect.DROP)]
                for face, connections in ((parts.dns, 120), (parts.admin, 40)):
                    for _ in range(connections):
                        await clients.enter_async_context(await trio.open_tcp_stream(*face))
                asking = Asking(parts.daemon.pdb, made_up(), rate=400)
                with trio.move_on_after(1.0):
                    await asking.run()
                assert await client.ask(HOSTS[0]) is VerdictKind.HOSTED
                parts.lab.faults = []
                await until_true(lambda: is_hosted(client, HOSTS[1]))
        log, counters = parts.daemon.log(), parts.daemon.stop()
    assert asking.kinds() <= {VerdictKind.UNDETERMINED, VerdictKind.LIMITED, VerdictKind.PENDING}
    assert "Traceback" not in log
    assert counters.keys() >= {"dns.tcp.no_room", "admin.no_room"}
    assert [name for name in counters if "accept_errors" in name or "no socket" in name] == []
    report(f"{FEWEST} descriptors, every face full: {asking.answered} answers about unknown hosts, no error")


def made_up() -> Iterator[str]:
    return (f"made-up{number}.invalid" for number in itertools.count())


async def is_hosted(client: PdbClient, host: str) -> bool:
    return await client.ask(host) is VerdictKind.HOSTED
