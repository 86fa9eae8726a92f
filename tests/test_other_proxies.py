"""docs/other-proxies.md: its programs as they stand there, against a real daemon, without a proxy around."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from fastvhost.service import open_service
from tests.support import ZONE, config_on
from tools.dnslab import Effect, Fault, open_lab

DOCUMENT = Path(__file__).parents[1] / "docs/other-proxies.md"

VERDICTS = {
    "hosted.example": 1,
    "HOSTED.example 192.0.2.1": 1,
    "elsewhere.example": 2,
    "broken.example": 3,
    "slow.example": 4,
    "foo_bar.example": 6,
    "a" * 300: 6,
}
"""What is asked, and the verdict on it; `slow.example` is still looked up when its first reply is due."""

FAULTS = (
    Fault(effect=Effect.SERVFAIL, name="broken.example"),
    Fault(name="slow.example", rdtype="NAPTR", delay=1.5),
)

OPENSIPS = """
import sys
import vhost
handler = vhost.mod_init()
assert handler.child_init(1) == 0
for name in sys.argv[1:]:
    print(handler.ours(None, name))
"""

FREESWITCH = """
local file, host, source = {arguments}
local variables = {{sip_req_host = host, sip_network_ip = source, destination_number = "alice"}}
_G.session = {{
    setAutoHangup = function(_, hangup) assert(hangup == false) end,
    getVariable = function(_, name) return variables[name] end,
    execute = function(_, application, argument) print("SAID " .. application .. " " .. argument) end,
    transfer = function(_, ...) print("SAID transfer " .. table.concat({{...}}, " ")) end,
}}
dofile(file)
print("DONE")
os.exit(0)
"""


def block(name: str) -> str:
    """The fenced block of the document that is marked as tested under this name."""
    found = re.search(
        rf"<!-- tested: {re.escape(name)} -->\n```\w*\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    assert found is not None
    return found[1]


def write_program(directory: Path, name: str, port: int) -> Path:
    """The document's program, but asking `port`, and patient: a slow machine is not what is tested."""
    text = block(name)
    for old, new in (("5380", str(port)), ("0.05", "5.0")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = directory / name
    path.write_text(text)
    return path


@asynccontextmanager
async def daemon() -> AsyncIterator[int]:
    """The port of a PDB face in front of the lab."""
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = FAULTS
        async with open_service(config_on(lab, listen={"answer_within": 1.0})) as service:
            assert service.pdb_endpoint is not None
            yield service.pdb_endpoint.port


async def output_of(command: list[str], *, stdin: bytes = b"", cwd: Path) -> str:
    with trio.fail_after(60):
        done = await trio.run_process(
            command, stdin=stdin, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=cwd
        )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


async def test_vhost_py_as_opensips_calls_it_returns_every_verdict(tmp_path: Path) -> None:
    async with daemon() as port:
        write_program(tmp_path, "vhost.py", port)
        output = await output_of([sys.executable, "-c", OPENSIPS, *VERDICTS], cwd=tmp_path)
    assert [int(line) for line in output.split()] == list(VERDICTS.values())


async def test_vhost_py_as_asterisk_runs_it_sets_the_variable(tmp_path: Path) -> None:
    async with daemon() as port:
        program = write_program(tmp_path, "vhost.py", port)
        for name, verdict in {
            "hosted.example": 1,
            "elsewhere.example": 2,
            "foo_bar.example": 6,
            "": 6,
        }.items():
            output = await output_of(
                [sys.executable, str(program), name, "192.0.2.1"],
                stdin=b"agi_request: vhost.py\nagi_channel: PJSIP/a-1\n\n200 result=1\n",
                cwd=tmp_path,
            )
            assert output == f"SET VARIABLE VHOST {verdict}\n"


async def test_vhost_py_without_a_daemon_tells_no_verdict(tmp_path: Path) -> None:
    # Port 9 (discard): nobody listens, or nobody answers.
    program = write_program(tmp_path, "vhost.py", 9)
    program.write_text(program.read_text().replace("SECONDS = 5.0", "SECONDS = 0.05"))
    assert await output_of([sys.executable, "-c", OPENSIPS, "a.example"], cwd=tmp_path) == "-1\n"
    agi = await output_of(
        [sys.executable, str(program), "a.example"], stdin=b"\n200 result=1\n", cwd=tmp_path
    )
    assert agi == "SET VARIABLE VHOST 0\n"


@pytest.mark.server("tshark")
@pytest.mark.skipif(not list(Path("/usr/lib").glob("*/lua/5.2/socket")), reason="lua-socket is not installed")
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("hosted.example", "transfer alice XML hosted"),
        ("elsewhere.example", "respond 404 Not Here"),
        ("broken.example", None),
        ("slow.example", None),
        ("foo_bar.example", "respond 400 Bad Host"),
        ("a" * 300, "respond 400 Bad Host"),
    ],
)
async def test_vhost_lua_says_what_the_verdict_calls_for(tmp_path: Path, host: str, said: str | None) -> None:
    # tshark brings a Lua, and the tests of Kamailio need LuaSocket.
    async with daemon() as port:
        program = write_program(tmp_path, "vhost.lua", port)
        session = tmp_path / "session.lua"
        session.write_text(FREESWITCH.format(arguments=f'"{program}", "{host}", "192.0.2.1"'))
        output = await output_of(["tshark", "-X", f"lua_script:{session}", "-v"], cwd=tmp_path)
    assert re.findall(r"^SAID (.*)$", output, re.MULTILINE) == ([] if said is None else [said])
    assert "DONE\n" in output


@pytest.mark.server("unbound-checkconf")
def test_unbound_takes_the_lines_for_the_stub_zone(tmp_path: Path) -> None:
    config = tmp_path / "unbound.conf"
    config.write_text(f'server:\n    chroot: ""\n    directory: "{tmp_path}"\n{block("unbound")}')
    done = subprocess.run(
        ["/usr/sbin/unbound-checkconf", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
