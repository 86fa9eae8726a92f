"""What figures need: a lab DNS server with the hosts, the daemon, the C echo. Each is a process of its own.

The servers that are measured are never busy at one time and share one core; all else has another.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.query

from bench.processes import BenchError, Server, running, server_and_other_core
from fastvhost.config import Endpoint
from tools.load import Dialect, Dns, Pdb, Plan, run_load

__all__ = ["HOSTS", "ROOT", "ZONE", "Rig"]

HOSTS = 10_000
"""Hosts of the lab's zone; all are ours."""

_NUMBERS = range(HOSTS, 2 * HOSTS)
"""Of one length, so that the generator may join requests."""

ZONE = "vhost.internal"
"""Of the DNS face."""

_LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).parents[1]
"""Of this checkout."""

_PROGRAMS = Path(__file__).parent
"""With the source of those in C."""

_LAB_ZONE = """\
$ORIGIN hosted.example.
$TTL 86400
@ SOA ns hostmaster 1 3600 600 86400 3600
@ NS ns
ns A 127.0.0.1
"""
# fastvhost follows the SRV record; its peers are asked for the address.
_RECORDS = "_sip._udp.h{0} SRV 0 0 5060 sip.example.net.\nh{0} A 192.0.2.1\n"

_CONFIG = """\
[own]
names = ["sip.example.net"]
ports = {{ udp = [5060] }}
[listen]
pdb = "127.0.0.1:{pdb_port}"
dns = "127.0.0.1:0"
{admin}
zone = "vhost.internal"
answer_within = 1.0
[dns]
servers = ["127.0.0.1:{upstream}"]
[cache]
not_hosted_ttl = [3600, 3600]
{limits}
[domains]
store = "{store}"
always = [{always}]
"""

# The limits are out of the way, so that each unknown host is a walk, and each reply its verdict.
_NO_LIMITS = """\
[limits]
upstream_qps = 1_000_000
upstream_inflight = 1_024
source_rate = 1_000_000
zone_rate = 1_000_000
"""


class Rig:
    """The processes, in a directory that is the caller's to remove; all end with `stack`.

    Raises:
        BenchError: a part does not come up.
    """

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self.server_core, self.other_core = server_and_other_core()
        self.hosts = directory / "hosts.txt"
        """One a line, for the load generator."""
        self._names = [f"h{number}.hosted.example" for number in _NUMBERS]
        self.hosts.write_text("\n".join(self._names))
        self.lab = self._start_lab()

    def config(
        self,
        name: str,
        *,
        limited: bool = False,
        given: bool = False,
        upstream: Server | None = None,
        store: str = "",
        pdb_port: int = 0,
        tree: Path = ROOT,
    ) -> Path:
        """A configuration of this name, for the code of `tree`.

        Args:
            limited: with the default limits, which would stretch a warm-up to minutes: for `given` hosts.
            given: the operator's word makes the hosts ours.
            upstream: who is asked; None: the lab.
        """
        path = self._directory / f"{name}.toml"
        # Checkouts from before the admin face take no such key.
        has_admin = "\n    admin: " in (tree / "fastvhost" / "config.py").read_text()
        path.write_text(
            _CONFIG.format(
                upstream=(upstream or self.lab).port,
                limits="" if limited else _NO_LIMITS,
                store=store,
                always=", ".join(f'"{name}"' for name in self._names) if given else "",
                pdb_port=pdb_port,
                admin='admin = ""' if has_admin else "",
            )
        )
        return path

    def start_daemon(self, config: Path, *, tree: Path = ROOT, prefix: Sequence[str] = ()) -> Server:
        """Serve by PDB and DNS on `ports`, all hosts cached.

        Args:
            tree: of another checkout than this one.
            prefix: a program and its arguments that start it.
        """
        command = [*prefix, sys.executable, "-m", "fastvhost", "serve", "--config", str(config)]
        ready = r"ready: PDB on [^,]*:(\d+), DNS on [^,]*:(\d+)"
        # `-m` takes the package from the directory that it runs in.
        server = self._stack.enter_context(
            running(command, ready=ready, core=self.server_core, directory=tree)
        )
        self.warm_up(server.ports[0], Pdb(), "HOSTED")
        self.warm_up(server.ports[1], Dns(ZONE), "NOERROR, 1 answer")
        return server

    def warm_up(self, port: int, dialect: Dialect, expected: str) -> None:
        """Have every host cached.

        Raises:
            BenchError: the second time not every reply is what is expected.
        """
        names = tuple(name.encode() for name in self._names)
        server = Endpoint(_LOOPBACK, port)
        plan = Plan(server=server, dialect=dialect, names=names, window=32, seconds=None, count=HOSTS)
        run_load(plan)
        said = run_load(plan).as_json()["verdicts"]
        if said != {expected: HOSTS}:
            raise BenchError(f"port {port}: once warm the hosts of the zone are {said}")

    def lab_queries(self) -> int:
        """How many queries the lab has had; see `tools.dnslab`."""
        question = dns.message.make_query("queries.dnslab.", "TXT", "CH")
        reply = dns.query.udp(question, _LOOPBACK, port=self.lab.port, timeout=5.0)
        return int(reply.answer[0][0].to_text().strip('"'))

    def start_echo(self) -> Server | None:
        """The C echo, on the server's core; None without a C compiler."""
        return self._start_compiled("echo", self.server_core)

    def start_nobody(self) -> Server | None:
        """A DNS server for hosts that do not exist which costs the generator's core nothing to speak of.

        None without a C compiler.
        """
        return self._start_compiled("nobody", self.other_core)

    def _start_compiled(self, name: str, core: int | None) -> Server | None:
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        program = self._directory / name
        subprocess.run([compiler, "-O2", "-o", str(program), str(_PROGRAMS / f"{name}.c")], check=True)
        return self._stack.enter_context(running([str(program)], ready=r"^(\d+)$", core=core))

    def _start_lab(self) -> Server:
        zone = self._directory / "hosted.zone"
        zone.write_text(_LAB_ZONE + "".join(map(_RECORDS.format, _NUMBERS)))
        # The generator goes before: what a request waits for it would be taken for the server's latency.
        command = ["nice", sys.executable, "-m", "tools.dnslab", "--zone", str(zone), "--unknown", "nxdomain"]
        return self._stack.enter_context(
            running(command, ready=r"listening on .*:(\d+)", core=self.other_core)
        )
