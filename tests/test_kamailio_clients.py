"""The PDB clients for Kamailio's scripts, in a real Kamailio with one worker, against odd servers."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from fastvhost.faces.pdb_codec import read_request, write_reply
from fastvhost.model import VerdictKind
from tests.kamailio_server import Kamailio, running_kamailio
from tests.support import free_port
from tools.kamailio.fastvhost_pdb import MALFORMED, Client

CLIENTS = Path(__file__).parents[1] / "tools/kamailio"

# Asks as one client or the other: sip:quick@HOST, sip:patient@HOST.
PYTHON = """
import fastvhost_pdb
import KSR

class Script:
    def child_init(self, rank):
        if rank > 0:
            servers = [("127.0.0.1", port) for port in PORTS]
            self.clients = {
                "quick": fastvhost_pdb.Client(servers, timeout=0.1),
                "patient": fastvhost_pdb.Client(servers, timeout=60.0),
            }
        return 0

    def ksr_request_route(self, msg):
        client = self.clients.get(KSR.pv.get("$rU") or "quick")
        verdict = client.verdict(KSR.pv.get("$rd"), KSR.pv.get("$si"))
        KSR.sl.sl_send_reply(200, "no answer" if verdict is None else str(verdict))
        return 1

def mod_init():
    return Script()
"""
LUA = """
package.path = "FOLDER/?.lua;" .. package.path
local pdb = require("fastvhost_pdb")
local servers = {}
for _, port in ipairs({ PORTS }) do table.insert(servers, { "127.0.0.1", port }) end
local clients = { quick = pdb.client(servers, 0.1), patient = pdb.client(servers, 60) }

function ksr_request_route()
    local client = clients[KSR.pv.get("$rU") or "quick"]
    local verdict = client:verdict(KSR.pv.get("$rd"), KSR.pv.get("$si"))
    KSR.sl.sl_send_reply(200, tostring(verdict or "no answer"))
end
"""

ENGINES = {"python": ("app_python3", "py"), "lua": ("app_lua", "lua")}
either_language = pytest.mark.parametrize("language", ENGINES)


@contextmanager
def asker(language: str, folder: Path, ports: Iterable[int]) -> Iterator[Kamailio]:
    """A Kamailio whose reply's reason is what the client says of the host."""
    module, suffix = ENGINES[language]
    listed = ", ".join(str(port) for port in ports)
    script = LUA if language == "lua" else PYTHON.replace("PORTS", "[PORTS]")
    script = script.replace("PORTS", listed).replace("FOLDER", str(folder))
    (folder / f"script.{suffix}").write_text(script)
    name = f"fastvhost_pdb.{suffix}"
    (folder / name).write_text((CLIENTS / name).read_text())
    lines = (
        f'loadmodule "{module}.so"',
        f'modparam("{module}", "load", "{folder}/script.{suffix}")',
        f'cfgengine "{language}"\n',
    )
    with running_kamailio("\n".join(lines), children=1) as kamailio:
        yield kamailio


class Server:
    """Answers each request with the frames that `replies` makes of it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.replies: Callable[[bytes], list[bytes]] = lambda _: []
        self.names: list[bytes] = []

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", self.port))
            task_status.started()
            while True:
                request, client = await sock.recvfrom(512)
                name = read_request(request)
                assert name is not None
                # Kamailio's readiness is probed, and late probes come here.
                if b"ready.invalid" not in name:
                    self.names.append(name)
                for reply in self.replies(request):
                    await sock.sendto(reply, client)


@asynccontextmanager
async def serving(port: int) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        server = Server(port)
        await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


def hosted(request: bytes) -> list[bytes]:
    return [write_reply(request, VerdictKind.HOSTED)]


async def said(kamailio: Kamailio, uri: str) -> str:
    return (await kamailio.options(uri)).reason


@pytest.mark.server("kamailio")
@either_language
async def test_client_sends_host_and_source_and_returns_each_verdict(language: str, tmp_path: Path) -> None:
    port = free_port()
    with asker(language, tmp_path, [port]) as kamailio:
        async with serving(port) as server:
            for kind in VerdictKind:
                server.replies = lambda request, kind=kind: [write_reply(request, kind)]  # type: ignore[misc]
                assert await said(kamailio, "sip:patient@Host.example") == str(int(kind))
            assert set(server.names) == {b"Host.example 127.0.0.1"}


@pytest.mark.server("kamailio")
@either_language
async def test_client_passes_over_what_is_not_the_answer_to_its_question(
    language: str, tmp_path: Path
) -> None:
    port = free_port()
    asked: list[bytes] = []

    def late_and_wrong(request: bytes) -> list[bytes]:
        """The answers to all earlier questions, and what no client may take for one."""
        earlier = [write_reply(one, VerdictKind.NOT_HOSTED) for one in asked]
        asked.append(request)
        answer = write_reply(request, VerdictKind.NOT_HOSTED)
        wrong = [
            b"",
            answer[:-1],
            answer + b"\0",
            answer[:1] + b"\0" + answer[2:],
            answer[:-2] + b"\0\0",
            answer[:-2] + b"\0\7",
            answer[:-2] + b"\1\1",
            answer[:6] + answer[6:].swapcase(),
        ]
        return [*earlier, *wrong]

    with asker(language, tmp_path, [port]) as kamailio:
        async with serving(port) as server:
            server.replies = late_and_wrong
            for host in ("a.example", "b.example", "b.example"):
                assert await said(kamailio, f"sip:quick@{host}") == "no answer"
            server.replies = lambda request: [*late_and_wrong(request), *hosted(request)]
            for host in ("b.example", "c.example"):
                assert await said(kamailio, f"sip:patient@{host}") == "1"


@pytest.mark.server("kamailio")
@either_language
async def test_client_takes_the_first_answer_and_waits_for_no_server_that_is_gone(
    language: str, tmp_path: Path
) -> None:
    ports = [free_port() for _ in range(3)]
    with asker(language, tmp_path, ports) as kamailio:
        # A minute of patience is far more than `options` has.
        assert await said(kamailio, "sip:patient@a.example") == "no answer"
        async with serving(ports[1]) as server:
            server.replies = hosted
            assert await said(kamailio, "sip:patient@a.example") == "1"
            async with serving(ports[0]) as silent:
                assert await said(kamailio, "sip:patient@b.example") == "1"
                assert silent.names
            assert await said(kamailio, "sip:patient@c.example") == "1"
        assert await said(kamailio, "sip:patient@c.example") == "no answer"


@pytest.mark.server("kamailio")
@either_language
async def test_client_under_a_stream_of_wrong_answers_still_ends_at_its_timeout(
    language: str, tmp_path: Path
) -> None:
    port = free_port()
    with (
        asker(language, tmp_path, [port]) as kamailio,
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock,
    ):
        await sock.bind(("127.0.0.1", port))

        async def stream() -> None:
            request, client = await sock.recvfrom(512)
            wrong = write_reply(request.swapcase(), VerdictKind.HOSTED)
            while True:
                await sock.sendto(wrong, client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream)
            assert await said(kamailio, "sip:quick@a.example") == "no answer"
            nursery.cancel_scope.cancel()


@pytest.mark.server("kamailio")
@either_language
@pytest.mark.parametrize(("octets", "verdict"), [(236, "1"), (237, "6")])
async def test_client_with_a_name_that_no_frame_has_room_for_says_malformed(
    language: str, octets: int, verdict: str, tmp_path: Path
) -> None:
    port = free_port()
    with asker(language, tmp_path, [port]) as kamailio:
        async with serving(port) as server:
            server.replies = hosted
            host = ".".join(["a" * 59] * 3 + ["a" * (octets - 3 * 60)])
            assert await said(kamailio, f"sip:patient@{host}") == verdict
            assert [len(name) for name in server.names] == ([246] if verdict == "1" else [])


@pytest.mark.parametrize("host", ["", " ", "a b", "a\0b", "a\n", "\x1f", "\ud800" * 100])
def test_python_client_asks_nobody_about_what_is_no_host(host: str) -> None:
    client = Client([], timeout=60.0)
    assert client.verdict(host, "192.0.2.1") == MALFORMED
    client.close()


def test_python_client_without_servers_has_no_answer() -> None:
    client = Client([], timeout=60.0)
    assert client.verdict("a.example") is None
    assert client.verdict("\udcff.example") is None
    client.close()
