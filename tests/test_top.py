"""`fastvhost top` as users run it: on a terminal, once, and where it cannot."""

import fcntl
import os
import pty
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from fastvhost.admin.process import build
from fastvhost.cli import main
from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.daemon_process import running_daemon
from tests.support import OURS, ZONE, PdbClient, config_on, free_endpoint
from tools.dnslab import open_lab

TOP = [sys.executable, "-W", "error", "-m", "fastvhost", "top"]

CLOSED = ("--server", "127.0.0.1:1")

_WITHIN = 30.0
_CONTROL = re.compile(rb"\x1b\[[?0-9;]*[a-zA-Z]")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOP, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | environment,
    )


class Terminal:
    """A terminal with `fastvhost top` on it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(80, 24)
        self._attributes = termios.tcgetattr(self._slave)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *TOP, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        )
        self._seen = b""
        self._read = 0

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def await_text(self, text: str) -> None:
        """Until it was drawn after what was waited for before; fails after half a minute."""
        until = time.perf_counter() + _WITHIN
        while True:
            shown = _CONTROL.sub(b"", self._seen[self._read :]).decode(errors="replace")
            if text in shown:
                self._read = len(self._seen)
                return
            assert time.perf_counter() < until, f"{text!r} not in {shown}"
            self._take(0.5)

    @property
    def is_changed(self) -> bool:
        """Whether keys come in another way than before."""
        return termios.tcgetattr(self._slave) != self._attributes

    def await_end(self) -> int:
        """The exit status; what was drawn is in `seen`."""
        until = time.perf_counter() + _WITHIN
        while self._process.poll() is None:
            assert time.perf_counter() < until
            self._take(0.05)
        while self._take(0.0):
            pass
        return int(self._process.returncode)

    @property
    def seen(self) -> bytes:
        return self._seen

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _take(self, within: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], within)
        if ready:
            self._seen += os.read(self._master, 65_536)
        return bool(ready)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(arguments)
    try:
        yield opened
    finally:
        opened.close()


def assert_restored(screen: Terminal) -> None:
    assert not screen.is_changed
    assert screen.seen.count(b"\x1b[?1049h") == 1
    last = screen.seen.rpartition(b"\x1b[?1049l")
    assert last[1], "the screen of before is not back"
    assert b"\x1b[?25h" in last[2], "the cursor is not back"
    assert b"Traceback" not in screen.seen


def tcp_port_to_come_back_to() -> int:
    """A free port of loopback below those that the kernel gives to connections of others meanwhile."""
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(given_from - 10_000, given_from), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports are taken")


def test_view_follows_a_daemon_that_goes_and_comes_until_q() -> None:
    config = (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\n'
        f'admin = "127.0.0.1:{{admin}}"\n[dns]\nservers = ["127.0.0.1:9"]\n[domains]\nstore = ""\n'
    )
    admin = tcp_port_to_come_back_to()
    server = f"127.0.0.1:{admin}"
    with (
        running_daemon(config.format(admin=admin)) as daemon,
        terminal("--server", server, "--interval", "0.2") as screen,
    ):
        screen.await_text(f"at {server}: ready")
        screen.await_text("over 0.")
        assert screen.is_changed
        screen.resize(120, 30)
        screen.await_text("state, UTC")
        daemon.kill()
        screen.await_text(f"no answer from {server}: Connection refused; trying again")
        daemon.start()
        screen.await_text(f"at {server}: ready")
        screen.press(b"xq")
        assert screen.await_end() == 0
        assert_restored(screen)


@pytest.mark.parametrize("end", [b"Q", b"\x03", signal.SIGTERM, signal.SIGHUP])
def test_view_ends_at_a_key_or_a_signal_and_the_terminal_is_as_before(end: bytes | signal.Signals) -> None:
    with terminal(*CLOSED) as screen:
        screen.await_text("trying again")
        if isinstance(end, bytes):
            screen.press(end)
        else:
            screen.signal(end)
        assert screen.await_end() == 0
        assert_restored(screen)


def test_ctrl_z_does_nothing_and_keys_are_not_echoed() -> None:
    with terminal(*CLOSED, "--interval", "0.1") as screen:
        screen.await_text("trying again")
        screen.press(b"\x1a#")
        screen.await_text("trying again")
        screen.press(b"q")
        assert screen.await_end() == 0
        assert b"#" not in screen.seen
        assert_restored(screen)


async def test_once_prints_one_frame_with_rates_for_a_pipe() -> None:
    async with (
        open_lab([ZONE]) as lab,
        open_service(config_on(lab, listen={"admin": free_endpoint()})) as service,
    ):
        assert service.pdb_endpoint is not None
        command = [*TOP, "--server", str(service.admin_endpoint), "--once", "--interval", "0.5"]
        ended: list[subprocess.CompletedProcess[bytes]] = []
        await service.lookup("hosted.example")
        async with trio.open_nursery() as nursery:

            async def top() -> None:
                ended.append(
                    await trio.run_process(
                        command,
                        capture_stdout=True,
                        stdin=subprocess.DEVNULL,
                        env=os.environ | {"COLUMNS": "80"},
                    )
                )
                nursery.cancel_scope.cancel()

            nursery.start_soon(top)
            with PdbClient(service.pdb_endpoint) as client:
                while True:
                    assert await client.ask("hosted.example") is VerdictKind.HOSTED
                    await trio.sleep(0.01)
        lines = ended[0].stdout.decode().splitlines()
        assert lines[0].strip() == f"fastvhost {build()['version']} at {service.admin_endpoint}: ready"
        assert "\x1b" not in ended[0].stdout.decode()
        assert max(map(len, lines)) <= 80
        (hosted,) = [line for line in lines if line.startswith("HOSTED  ")]
        assert 0 < float(hosted.split()[2].replace(",", "")) < 1_000
        assert sum(line.startswith("fastvhost ") for line in lines) == 1


def test_once_without_a_daemon_is_one_line_and_exit_3() -> None:
    result = run(*CLOSED, "--once")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "fastvhost: no answer from 127.0.0.1:1: Connection refused\n"


def test_daemon_is_asked_where_its_configuration_says(tmp_path: Path) -> None:
    config = tmp_path / "fastvhost.toml"
    config.write_text('own.addresses = ["192.0.2.1"]\nlisten.admin = "127.0.0.1:2"\n')
    result = run("--config", str(config), "--once")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "fastvhost: no answer from 127.0.0.1:2: Connection refused\n"


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_output_that_is_no_terminal_is_one_line_and_exit_2(environment: dict[str, str]) -> None:
    result = run(*CLOSED, **environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "fastvhost: this is no terminal with a screen of its own: --once prints one frame\n"
    )


@pytest.mark.parametrize("wrong", [("--interval", "0"), ("--server", "nowhere")])
def test_wrong_argument_exits_2(wrong: Sequence[str]) -> None:
    result = run(*wrong, "--once")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_without_rich_one_line_says_what_to_install() -> None:
    program = "import sys; sys.modules['rich'] = None; from fastvhost import cli; sys.exit(cli.main(['top']))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "fastvhost: top needs the package rich: pip install 'fastvhost[top]'\n"


def test_ctrl_c_in_the_middle_of_once_has_the_exit_status_of_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastvhost.top.command.run_top", interrupted)
    assert main(["top", "--once"]) == 130
