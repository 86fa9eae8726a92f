"""What packages ship: units, the default configuration, and what the daemon does under them."""

import re
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from fastvhost.config import Cache, Config, Endpoint, Own
from fastvhost.config_file import parse_config
from fastvhost.errors import ConfigError
from fastvhost.query import ask
from tests.daemon_process import running_daemon

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
UNITS = sorted(path.name for path in PACKAGING.glob("fastvhost*.s*"))
DEFAULT = (PACKAGING / "fastvhost.toml").read_text()

AS_SHIPPED = Cache(snapshot="fastvhost.snapshot")
"""The only key that is set: by default nothing is written outside of the store."""

MOST_EXPOSURE = 14
"""Tenths of systemd's exposure level: what is left is the network, and the group that may read the store."""

CONFIG = """
[own]
addresses = ["203.0.113.10"]
[listen]
pdb = "127.0.0.1:0"
dns = "127.0.0.1:0"
admin = "127.0.0.1:0"
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.05
[cache]
snapshot = "{folder}/snapshot"
snapshot_every = 1
[domains]
store = "sqlite:///{folder}/fastvhost.db"
"""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with programs and manuals that are there on this machine."""
    for name in UNITS:
        text = (PACKAGING / name).read_text().replace("/usr/bin/fastvhost", sys.executable)
        (tmp_path / name).write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    return tmp_path


@pytest.mark.server("systemd-analyze")
def test_units_are_as_systemd_wants_them(units: Path) -> None:
    assert [f"fastvhost-{name}.socket" for name in ("admin", "dns", "pdb")] == UNITS[:-1]
    assert UNITS[-1] == "fastvhost.service"
    result = subprocess.run(
        ["systemd-analyze", "verify", *(f"./{name}" for name in UNITS)],
        cwd=units,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.server("systemd-analyze")
def test_service_is_exposed_to_little(units: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    result = subprocess.run(
        [*command, f"--threshold={MOST_EXPOSURE}", "./fastvhost.service"],
        cwd=units,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_units_bind_the_default_addresses() -> None:
    listen = Config(own=Own()).listen
    assert f"ListenDatagram={listen.pdb}\n" in (PACKAGING / "fastvhost-pdb.socket").read_text()
    for kind in ("Datagram", "Stream"):
        assert f"Listen{kind}={listen.dns}\n" in (PACKAGING / "fastvhost-dns.socket").read_text()
    assert f"ListenStream={listen.admin}\n" in (PACKAGING / "fastvhost-admin.socket").read_text()


def filtered_calls(name: str) -> set[str]:
    """The system calls of one of systemd's sets, those of the sets within it included."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    found: set[str] = set()
    for word in re.findall(r"^ +(\S+)$", listed.stdout, re.MULTILINE):
        found |= filtered_calls(word) if word.startswith("@") else {word}
    return found


def _wait_for_the_end(trace: Path) -> None:
    """strace writes its last lines after the daemon has ended."""
    for _ in range(500):
        if " exit_group(0" in trace.read_text()[-1_000:]:  # "(0 <unfinished" while other threads end
            return
        time.sleep(0.02)
    pytest.fail("strace did not end")


@pytest.mark.server("systemd-analyze", "strace")
def test_daemon_makes_no_system_call_that_its_unit_forbids(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    before = ["strace", "-D", "-f", "-qq", "-o", str(trace), "-e", "signal=none"]
    with running_daemon(CONFIG.format(folder=tmp_path), before=before) as daemon:
        for host in ("203.0.113.10", "unknown.test"):
            ask(daemon.pdb, host.encode(), timeout=10.0)
        daemon.reload()
        daemon.stop()
    _wait_for_the_end(trace)
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"epoll_wait", "socket", "flock"} & made
    allowed = filtered_calls("@system-service") - filtered_calls("@privileged")
    # The start itself; and SQLite gives new files the owner of the database, but only as root (robustFchown).
    assert made - allowed - {"execve", "fchown"} == set()


_NO_EXECUTABLE_MEMORY = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit("this kernel cannot refuse it")
os.execv(sys.argv[1], sys.argv[1:])
"""
"""What MemoryDenyWriteExecute= does, by the kernel alone: prctl(2), Linux 6.3 and later."""


def test_daemon_needs_no_memory_that_is_both_written_and_executed(tmp_path: Path) -> None:
    before = [sys.executable, "-c", _NO_EXECUTABLE_MEMORY]
    able = subprocess.run([*before, "/bin/true"], capture_output=True, text=True, check=False)
    if "cannot refuse" in able.stderr:
        pytest.skip("Linux before 6.3")
    with running_daemon(CONFIG.format(folder=tmp_path), before=before) as daemon:
        assert ask(daemon.pdb, b"203.0.113.10", timeout=5.0)[0].name == "HOSTED"
        assert daemon.stop()["pdb.replies.hosted"] == 1


@pytest.mark.server("systemd-socket-activate")
def test_request_that_starts_the_daemon_is_answered(tmp_path: Path) -> None:
    """Socket activation for real: systemd's program binds, and starts the daemon for the first datagram."""
    config = tmp_path / "fastvhost.toml"
    config.write_text(re.sub(r'(dns|admin) = "127\.0\.0\.1:0"', r'\1 = ""', CONFIG.format(folder=tmp_path)))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        pdb = Endpoint(*sock.getsockname())
    serve = [sys.executable, "-W", "error", "-m", "fastvhost", "serve", "--config", str(config)]
    with subprocess.Popen(
        ["systemd-socket-activate", "--datagram", f"--listen={pdb}", "--fdname=pdb", "-E", "PATH", *serve],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            while "Listening on" not in process.stderr.readline():
                pass
            assert ask(pdb, b"203.0.113.10", timeout=10.0)[0].name == "HOSTED"
        finally:
            process.terminate()
            _, log = process.communicate(timeout=15)
    assert process.returncode == 0
    assert f"ready: PDB on {pdb}; datagrams: " in log


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)


def test_default_configuration_as_shipped_wants_only_to_know_who_we_are() -> None:
    with pytest.raises(ConfigError, match=r"^fastvhost\.toml: own: found neither addresses nor names"):
        parse_config(DEFAULT, name="fastvhost.toml")
    own = '[own]\naddresses = ["203.0.113.10"]\n'
    found = parse_config(DEFAULT.replace("[own]\n", own), name="fastvhost.toml")
    assert found == Config(own=found.own, cache=AS_SHIPPED)


def test_commented_defaults_are_the_defaults() -> None:
    found = parse_config(uncommented(DEFAULT), name="fastvhost.toml")
    assert found == Config(own=Own(addresses=found.own.addresses), cache=AS_SHIPPED)


def test_every_key_has_its_section_a_comment_and_its_default() -> None:
    sections = dict(re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", DEFAULT, re.DOTALL | re.MULTILINE))
    config = Config(own=Own())
    assert list(sections) == [section.name for section in fields(Config)]
    for name, text in sections.items():
        keys = re.findall(r"^# \S.*\n#?(\w+) = ", text, re.MULTILINE)
        assert sorted(keys) == sorted(field.name for field in fields(getattr(config, name))), name
