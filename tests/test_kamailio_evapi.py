"""The lines of docs/kamailio-evapi.md, as they stand there, in a real Kamailio in front of a real daemon."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from fastvhost.config import Config, Endpoint
from fastvhost.model import Finding
from fastvhost.resolve.walker import Walker
from fastvhost.service import Service, open_service
from tests.support import ZONE, config_on, until
from tools.dnslab import Effect, Fault, Lab, open_lab

DOCUMENT = Path(__file__).parents[1] / "docs/kamailio-evapi.md"
KAMAILIO = shutil.which("kamailio", path="/usr/sbin:/usr/bin") or "kamailio"

GLOBALS = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
"""

STATUS = {
    "hosted.example": 200,
    "HOSTED.example": 200,
    "203.0.113.10": 200,
    "[2001:db8::10]": 200,
    "elsewhere.example": 404,
    "madeup.example": 404,
    "broken.example": 503,
    "foo_bar.example": 400,
    'a"b.example': 400,
}

WITHOUT_ANSWER = {"closed": 503, "open": 200}
either_policy = pytest.mark.parametrize("policy", WITHOUT_ANSWER)
needs_kamailio = pytest.mark.server("kamailio")


def block(name: str) -> str:
    (found,) = re.findall(rf"<!-- tested: {name} -->\n```\w*\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(found)


def script(policy: str = "closed", *, no_answer_after: int = 300, route: str | None = None) -> str:
    """The documented lines; "open" and the time change the two lines that the block says they take."""
    text = block("evapi") + (block("evapi route") if route is None else route)
    if policy == "open":
        text = text.replace("#!define NO_ANSWER 3\n", "#!define NO_ANSWER 1\n")
    return text.replace("#!define NO_ANSWER_AFTER 300\n", f"#!define NO_ANSWER_AFTER {no_answer_after}\n")


def free_port(kind: socket.SocketKind) -> int:
    with closing(socket.socket(type=kind)) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Kamailio:
    """A running one, with one worker."""

    def __init__(self, sip_port: int, evapi: Endpoint) -> None:
        self.sip_port = sip_port
        self.evapi = evapi


@contextmanager
def running_kamailio(folder: Path, text: str) -> Iterator[Kamailio]:
    """A Kamailio with these lines on free ports, for as long as the block lasts; blocks until it answers."""
    for _ in range(3):  # another program may take a port between our look and Kamailio's bind
        kamailio = Kamailio(
            free_port(socket.SOCK_DGRAM), Endpoint("127.0.0.1", free_port(socket.SOCK_STREAM))
        )
        config = folder / "kamailio.cfg"
        config.write_text(
            GLOBALS.format(port=kamailio.sip_port) + text.replace("127.0.0.1:8448", str(kamailio.evapi))
        )
        arguments = [KAMAILIO, "-DD", "-m", "64", "-f", config, "-Y", folder, "-P", folder / "pid"]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(arguments, stdout=log, stderr=log) as process,
        ):
            try:
                if answers(process, kamailio):
                    yield kamailio
                    return
            finally:
                end(process)
    pytest.fail((folder / "log").read_text())


def end(process: "subprocess.Popen[bytes]") -> None:
    """Its main process looks for a signal, then sleeps: one that comes in between is lost, so send more."""
    for _ in range(20):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
            return
    process.kill()


def listens(endpoint: Endpoint) -> bool:
    """Whether a program of this machine listens there. To connect would be to count as a daemon."""
    address = f"{endpoint.port:04X} 00000000:0000 0A"  # TCP_LISTEN
    return any(f"0100007F:{address}" in line for line in Path("/proc/net/tcp").read_text().splitlines())


def answers(process: "subprocess.Popen[bytes]", kamailio: Kamailio) -> bool:
    """Wait until its worker replies to SIP, and its evapi takes connections."""
    replied = False
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(0.02)
        for number in range(500):
            if process.poll() is not None:
                return False
            with suppress(OSError):
                octets = request("OPTIONS", "ready.invalid", number, probe.getsockname()[1])
                probe.sendto(octets, ("127.0.0.1", kamailio.sip_port))
                replied = bool(probe.recv(4096)) or replied
            if replied and listens(kamailio.evapi):
                return True
    return False


def request(method: str, host: str, call_id: int, port: int) -> bytes:
    lines = (
        f"{method} sip:{host} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}",
        "From: <sip:a@test.invalid>;tag=1",
        "To: <sip:b@test.invalid>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:a@127.0.0.1:{port}>",
        "Max-Forwards: 9",
        "Content-Length: 0",
        "\r\n",
    )
    return "\r\n".join(lines).encode()


class Caller:
    """Sends requests and takes their final replies; sent again, as SIP does over UDP, until there is one."""

    def __init__(self, kamailio: Kamailio) -> None:
        self._server = ("127.0.0.1", kamailio.sip_port)
        self._socket = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        self._sent = 0

    async def __aenter__(self) -> "Caller":
        await self._socket.bind(("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def status(self, host: str, method: str = "OPTIONS") -> int:
        return (await self.statuses([host], method))[host]

    async def statuses(self, hosts: Iterable[str], method: str = "OPTIONS") -> dict[str, int]:
        """All asked at once; the final status by host."""
        waiting: dict[str, tuple[str, bytes]] = {}
        for host in hosts:
            self._sent += 1
            octets = request(method, host, self._sent, self._socket.getsockname()[1])
            waiting[str(self._sent)] = (host, octets)
        found: dict[str, int] = {}
        with trio.fail_after(20):
            while waiting:
                for _, octets in waiting.values():
                    await self._socket.sendto(octets, self._server)
                with trio.move_on_after(1.0):
                    while waiting:
                        reply = (await self._socket.recv(4096)).decode()
                        status = int(reply.split(" ", 2)[1])
                        call_id = re.search(r"Call-ID: (\d+)\r\n", reply)
                        assert call_id is not None
                        if status >= 200 and call_id[1] in waiting:
                            found[waiting.pop(call_id[1])[0]] = status
        return found


async def connected(service: Service, caller: Caller) -> int:
    """Wait until Kamailio has noticed the daemon; return how often it has asked meanwhile."""
    with trio.fail_after(20):
        while await caller.status("192.0.2.1") != 404:
            pass
    return service.counters()["evapi.received"]


def config_for(lab: Lab, kamailio: Kamailio, **sections: Any) -> Config:
    proxies = {"evapi": (kamailio.evapi,), "evapi_within": 10.0}
    return config_on(lab, proxies=proxies, listen={"pdb": None, "dns": None}, **sections)


@needs_kamailio
@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
async def test_documented_lines_answer_by_verdict(method: str, tmp_path: Path) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        with running_kamailio(tmp_path, script(no_answer_after=20_000)) as kamailio:
            async with open_service(config_for(lab, kamailio)) as service, Caller(kamailio) as caller:
                await connected(service, caller)
                assert await caller.statuses(STATUS, method) == STATUS
                assert service.counters()["evapi.unreadable"] == 0


@needs_kamailio
async def test_one_worker_takes_fifty_calls_while_dns_is_silent_and_all_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No walk begins before all fifty have arrived: if the one worker waited for a single one, none would."""
    hosts = [f"host{number}.test" for number in range(49)] + ["hosted.example"]
    all_here = trio.Event()
    walk = Walker.walk

    async def walk_when_all_are_here(walker: Walker, host: str, *, admitted_at: float | None) -> Finding:
        await all_here.wait()
        return await walk(walker, host, admitted_at=admitted_at)

    monkeypatch.setattr(Walker, "walk", walk_when_all_are_here)
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        with running_kamailio(tmp_path, script(no_answer_after=20_000)) as kamailio:
            config = config_for(lab, kamailio, limits={"source_rate": 1_000.0})
            async with open_service(config) as service, Caller(kamailio) as caller:
                before = await connected(service, caller)
                async with trio.open_nursery() as nursery:

                    async def release() -> None:
                        await until(lambda: service.counters()["evapi.received"] == before + len(hosts))
                        all_here.set()

                    nursery.start_soon(release)
                    found = await caller.statuses(hosts)
                # Retransmissions, where the machine was slow, were not asked about again.
                assert service.counters()["evapi.received"] == before + len(hosts)
    assert found == {host: 200 if host == "hosted.example" else 404 for host in hosts}


@needs_kamailio
@either_policy
async def test_without_daemon_each_request_is_answered_at_once_by_policy(policy: str, tmp_path: Path) -> None:
    with running_kamailio(tmp_path, script(policy, no_answer_after=60_000)) as kamailio:
        async with Caller(kamailio) as caller:
            for method in ("OPTIONS", "INVITE"):
                assert await caller.status("elsewhere.example", method) == WITHOUT_ANSWER[policy]


@needs_kamailio
@either_policy
async def test_daemon_that_comes_is_asked_and_one_that_goes_is_done_without(
    policy: str, tmp_path: Path
) -> None:
    async with open_lab([ZONE]) as lab:
        with running_kamailio(tmp_path, script(policy)) as kamailio:
            async with Caller(kamailio) as caller:
                for _ in range(2):
                    assert await caller.status("elsewhere.example") == WITHOUT_ANSWER[policy]
                    async with open_service(config_for(lab, kamailio)) as service:
                        await connected(service, caller)
                        assert await caller.status("elsewhere.example") == 404
                    with trio.fail_after(20):  # Kamailio learns of it in its own time
                        while await caller.status("elsewhere.example") != WITHOUT_ANSWER[policy]:
                            pass


@needs_kamailio
@either_policy
async def test_daemon_that_is_silent_is_given_up_by_policy(policy: str, tmp_path: Path) -> None:
    with running_kamailio(tmp_path, script(policy)) as kamailio:
        async with await trio.open_tcp_stream(*kamailio.evapi) as silent, Caller(kamailio) as caller:
            heard = b""
            with trio.fail_after(20):
                while not heard:  # until Kamailio has noticed it, nothing is sent there
                    await caller.status("elsewhere.example")
                    with trio.move_on_after(0.05):
                        heard = await silent.receive_some()
            assert b'"host":"elsewhere.example","source":"127.0.0.1"}' in heard
            for method in ("OPTIONS", "INVITE"):
                assert await caller.status("elsewhere.example", method) == WITHOUT_ANSWER[policy]


RELAY = """
request_route {{
    if (is_method("ACK|CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    route(IS_OURS);
}}
route[HOSTED] {{
    $du = "sip:127.0.0.1:{port}";
    t_relay();
}}
"""


@needs_kamailio
async def test_call_that_is_relayed_has_its_own_timers_and_failures(tmp_path: Path) -> None:
    """The other end is silent for longer than the daemon may be, then refuses."""
    async with open_lab([ZONE]) as lab:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as phone:
            await phone.bind(("127.0.0.1", 0))
            text = script(route=RELAY.format(port=phone.getsockname()[1]))
            with running_kamailio(tmp_path, text) as kamailio:
                async with open_service(config_for(lab, kamailio)) as service, Caller(kamailio) as caller:
                    await connected(service, caller)
                    async with trio.open_nursery() as nursery:

                        async def refuse() -> None:
                            invite, proxy = await phone.recvfrom(4096)
                            with trio.move_on_after(1.0):  # over NO_ANSWER_AFTER
                                while True:
                                    await phone.recvfrom(4096)
                            headers = invite.split(b"\r\n", 1)[1].replace(b"Max-Forwards", b"X-Max-Forwards")
                            await phone.sendto(b"SIP/2.0 486 Busy Here\r\n" + headers, proxy)

                        nursery.start_soon(refuse)
                        assert await caller.status("hosted.example", "INVITE") == 486
