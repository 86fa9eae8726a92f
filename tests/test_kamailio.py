"""The README's lines for Kamailio, as they stand there, in a real Kamailio in front of a real daemon."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_config
from fastvhost.service import open_service
from tests.support import ZONE, config_on
from tools.dnslab import Effect, Fault, open_lab

README = Path(__file__).parents[1] / "README.md"
KAMAILIO = shutil.which("kamailio", path="/usr/sbin:/usr/bin") or "kamailio"

AROUND = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "pv.so"
loadmodule "sl.so"
{snippet}
request_route {{
    route(IS_OURS);
    sl_send_reply("200", "OK");
}}
"""


STATUS = {
    "hosted.example": 200,
    "HOSTED.example": 200,
    "203.0.113.10": 200,
    "[2001:db8::10]": 200,
    "elsewhere.example": 404,
    "madeup.example": 404,
    "slow.example": 404,
    "broken.example": 503,
    "foo_bar.example": 400,
}


def readme_block(name: str) -> str:
    """The fenced block of the README that is marked as tested under this name."""
    found = re.search(rf"<!-- tested: {name} -->\n```\w*\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def options(host: str, call_id: int, port: int) -> bytes:
    lines = (
        f"OPTIONS sip:{host} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}",
        "From: <sip:a@test.invalid>;tag=1",
        f"To: <sip:{host}>",
        f"Call-ID: {call_id}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 9",
        "Content-Length: 0",
        "\r\n",
    )
    return "\r\n".join(lines).encode()


class SipClient:
    """Sends OPTIONS and, as SIP does over UDP, sends them again until there is a reply."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._socket = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        self._sent = 0

    def __enter__(self) -> "SipClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def status(self, host: str) -> int:
        """The status code of the first reply."""
        if self._sent == 0:
            await self._socket.bind(("127.0.0.1", 0))
        self._sent += 1
        call_id = self._sent
        with trio.fail_after(15):
            while True:
                await self._socket.sendto(options(host, call_id, self._socket.getsockname()[1]), self._server)
                with trio.move_on_after(0.5):
                    while True:
                        reply = (await self._socket.recv(4096)).decode()
                        if f"Call-ID: {call_id}\r\n" in reply:
                            return int(reply.split(" ", 2)[1])


@contextmanager
def kamailio(folder: Path, pdb: Endpoint) -> Iterator[int]:
    """A Kamailio with the README's lines, on a free port; yields the port."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    snippet = readme_block("kamailio").replace("127.0.0.1:5380", str(pdb))
    config = folder / "kamailio.cfg"
    config.write_text(AROUND.format(port=port, snippet=snippet))
    arguments = [KAMAILIO, "-DD", "-f", str(config), "-Y", str(folder), "-P", str(folder / "pid")]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.mark.server("kamailio")
async def test_readme_lines_in_kamailio_answer_by_verdict(tmp_path: Path) -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [
            Fault(effect=Effect.SERVFAIL, name="broken.example"),
            Fault(name="slow.example", delay=0.3),
        ]
        async with open_service(config_on(lab)) as service:
            assert service.pdb_endpoint is not None
            with kamailio(tmp_path, service.pdb_endpoint) as port, SipClient(port) as client:
                statuses = {host: await client.status(host) for host in STATUS}
            assert statuses == STATUS
            assert service.counters()["pdb.replies.pending"] > 0


def test_readme_configuration_is_accepted() -> None:
    own = parse_config(readme_block("configuration"), name="README.md").own
    assert own.names == {"sip.example.net"}
