"""A real Kamailio on loopback with whatever script a test has, for as long as a block lasts."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.support import free_port

__all__ = [
    "RPC",
    "Kamailio",
    "KamailioError",
    "SipReply",
    "create_tables",
    "domain_script",
    "running_kamailio",
]

RPC = "udp:127.0.0.1:8090"
"""Stands in a script, as in the documents, for the JSON-RPC socket that Kamailio gets."""

_LOOPBACK = "127.0.0.1"
_SCRIPTS = Path("/usr/share/kamailio/db_sqlite")

_STARTS = 3
"""Another program may take a port between our look and Kamailio's bind."""

_STOP_SECONDS = 3.0

_POLLS = 500
_POLL_SECONDS = 0.02

_GLOBALS = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children={children}
disable_tcp=yes
auto_aliases=no
listen=udp:{address}:{sip_port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "pv.so"
loadmodule "sl.so"
"""

_DOMAINS = """
loadmodule "db_sqlite.so"
loadmodule "domain.so"
loadmodule "htable.so"
loadmodule "jsonrpcs.so"
modparam("db_sqlite", "db_set_readonly", "{database}")
modparam("domain", "db_url", "sqlite:///{database}")
modparam("htable", "timer_interval", 1)
modparam("htable", "htable", "vh=>size=12;autoexpire=3600;")
modparam("jsonrpcs", "transport", 6)
modparam("jsonrpcs", "dgram_socket", "{rpc}")
request_route {{
    if ($rU == "verdict") {{
        sl_send_reply("200", "verdict $sht(vh=>$(rd{{s.tolower}}))");
        exit;
    }}
    if (is_domain_local("$rd")) {{
        sl_send_reply("200", "local");
    }} else {{
        sl_send_reply("404", "not local");
    }}
}}
"""


def domain_script(database: Path) -> str:
    """Says by `is_domain_local` what is in the `domain` table of an SQLite file, and what is in an htable."""
    return _DOMAINS.format(database=database, rpc=RPC)


@dataclass(frozen=True, slots=True)
class SipReply:
    """The first reply to a request."""

    status: int
    reason: str
    retry_after: int | None
    """Seconds."""


class KamailioError(Exception):
    """Kamailio did not start; carries its log."""


def create_tables(database: Path) -> None:
    """Make `version`, `domain` and `domain_attrs` by the scripts of Debian's package."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for name in ("standard", "domain"):
            connection.executescript((_SCRIPTS / f"{name}-create.sql").read_text())


class Kamailio:
    """One configuration on fixed ports; the process that runs it may be stopped and started again."""

    def __init__(self, folder: Path, script: str, *, unix: bool, children: int) -> None:
        self._folder = folder
        self._script = script
        self._unix = unix
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None
        self.sip_port = 0
        self.rpc = ""
        """Where its JSON-RPC listens: `udp:127.0.0.1:PORT` or `unix:/PATH`."""

    def choose_ports(self) -> None:
        """Take other ports; only while it is stopped."""
        self.sip_port = free_port()
        path = self._folder / "rpc.sock"
        self.rpc = f"unix:{path}" if self._unix else f"udp:{_LOOPBACK}:{free_port()}"
        settings = _GLOBALS.format(address=_LOOPBACK, sip_port=self.sip_port, children=self._children)
        script = self._script.replace(RPC, str(path) if self._unix else self.rpc)
        (self._folder / "kamailio.cfg").write_text(settings + script)

    def start(self) -> None:
        """Start the process, and block until it answers.

        Raises:
            KamailioError: it ended, or did not answer within some ten seconds.
        """
        program = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise KamailioError("kamailio is not installed")
        folder = self._folder
        arguments = [program, "-DD", "-m", "64", "-f", str(folder / "kamailio.cfg"), "-Y", str(folder)]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if not self._answers(self._process):
            self.stop()
            raise KamailioError((folder / "log").read_text())

    def stop(self) -> None:
        """End this one process with its workers and wait for its end; nothing where none runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # Now and then 5.6 misses a SIGTERM that comes just after its start; its workers would outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until OPTIONS is answered, whatever the answer; its workers start after the RPC's."""
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as probe:
            probe.bind((_LOOPBACK, 0))
            probe.settimeout(_POLL_SECONDS)
            for call_id in range(_POLLS):
                if process.poll() is not None:
                    return False
                request = _options("sip:ready.invalid", call_id, probe.getsockname()[1])
                with suppress(OSError):
                    probe.sendto(request, (_LOOPBACK, self.sip_port))
                    if probe.recv(4096).startswith(b"SIP/2.0 "):
                        return True
        return False

    async def is_local(self, domain: str) -> bool:
        """Whether `is_domain_local` is true of `domain`."""
        return (await self.options(f"sip:{domain}")).status == 200

    async def verdict(self, domain: str) -> int | None:
        """What the htable says of `domain`."""
        value = (await self.options(f"sip:verdict@{domain}")).reason.removeprefix("verdict ")
        return None if value == "<null>" else int(value)

    async def options(self, uri: str) -> SipReply:
        """The first reply to OPTIONS, which is sent again, as SIP does over UDP, until there is one."""
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as client, trio.fail_after(15):
            await client.bind((_LOOPBACK, 0))
            request = _options(uri, 1, client.getsockname()[1])
            while True:
                await client.sendto(request, (_LOOPBACK, self.sip_port))
                with trio.move_on_after(0.5):
                    return _read_reply((await client.recv(4096)).decode())


@contextmanager
def running_kamailio(script: str, *, unix: bool = False, children: int = 2) -> Iterator[Kamailio]:
    """A Kamailio that runs `script`: kamailio.cfg without its global settings, with pv and sl loaded.

    Its SIP port and its JSON-RPC socket (`unix`: a path, else UDP; where the script has `RPC`) are free
    ones of loopback; `children` workers take SIP. Entering blocks until it answers; leaving ends this one
    process and removes its directory.

    Raises:
        KamailioError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="fastvhost-kamailio-") as name:
        server = Kamailio(Path(name), script, unix=unix, children=children)
        for start in range(1, _STARTS + 1):
            server.choose_ports()
            try:
                server.start()
            except KamailioError:
                if start == _STARTS:
                    raise
            else:
                break
        try:
            yield server
        finally:
            server.stop()


def _read_reply(reply: str) -> SipReply:
    _, status, reason = reply.splitlines()[0].split(" ", 2)
    retry_after = re.search(r"^Retry-After: *(\d+)", reply, re.MULTILINE)
    return SipReply(int(status), reason, retry_after and int(retry_after[1]))


def _options(uri: str, call_id: int, port: int) -> bytes:
    lines = (
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {_LOOPBACK}:{port};branch=z9hG4bK{call_id}",
        "From: <sip:a@test.invalid>;tag=1",
        f"To: <{uri}>",
        f"Call-ID: {call_id}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 9",
        "Content-Length: 0",
        "\r\n",
    )
    return "\r\n".join(lines).encode()
