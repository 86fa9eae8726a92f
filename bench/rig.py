"""What a load figure needs: the lab DNS server, the daemon, the C echo, the load generator; and one run.

Each is a process of its own. The daemon and the echo, which are never busy at one time, have one core;
all else has another.
"""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query

from bench.processes import BenchError, Server, pin, running, server_and_other_core
from fastvhost.config import Endpoint
from tools.load import Plan, run_load

__all__ = ["HOSTS", "Case", "Rig", "Run"]

HOSTS = 10_000
"""Hosts of the lab's zone; all are ours."""

_LOOPBACK = "127.0.0.1"
_ECHO = Path(__file__).with_name("echo.c")
_GENERATOR_GRACE_SECONDS = 30.0

_ZONE = """\
$ORIGIN hosted.example.
$TTL 86400
@ SOA ns hostmaster 1 3600 600 86400 3600
@ NS ns
ns A 127.0.0.1
"""
_RECORD = "_sip._udp.h{} SRV 0 0 5060 sip.example.net.\n"

# The limits are out of the way, so that each unknown host is a walk, and each reply its verdict.
_CONFIG = """\
[own]
names = ["sip.example.net"]
ports = {{ udp = [5060] }}
[listen]
pdb = "127.0.0.1:0"
dns = ""
admin = ""
answer_within = 1.0
[dns]
servers = ["127.0.0.1:{dns_port}"]
[limits]
upstream_qps = 1_000_000
upstream_inflight = 1_024
source_rate = 1_000_000
zone_rate = 1_000_000
[domains]
store = ""
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked."""

    name: str
    unknown_share: float
    """The share of requests for a host that nobody has asked before: a walk of one upstream query."""
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of a case measured."""

    answers_per_second: float
    lost: int
    server_core_used: float
    """Processor time of the server over time of the run; under 0.95 something else was the limit."""
    upstream_queries: int
    """DNS queries that reached the lab meanwhile."""
    generator: dict[str, Any]
    """Everything that the load generator said."""


_ECHOED = Case(name="echo", unknown_share=0.0, window=128)
_HITS = Case(name="hits", unknown_share=0.0, window=128)
_MIXED = Case(name="mixed", unknown_share=0.1, window=64)
_MISSES = Case(name="misses", unknown_share=1.0, window=64)


class Rig:
    """The processes that are measured, and those that measure."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._server_core, self._other_core = server_and_other_core()
        self._hosts = directory / "hosts.txt"
        self._hosts.write_text("".join(f"h{number}.hosted.example\n" for number in range(HOSTS)))
        self._lab = self._start_lab()
        self._daemon = self._start_daemon()
        self._echo = self._start_echo()

    def cases(self) -> Iterator[tuple[Case, Server]]:
        """Each case and whom it asks."""
        if self._echo is not None:
            yield _ECHOED, self._echo
        for case in (_HITS, _MIXED, _MISSES):
            yield case, self._daemon

    def warm_up(self) -> None:
        """Have every host of the zone cached.

        Raises:
            BenchError: one of them is not HOSTED.
        """
        names = tuple(self._hosts.read_bytes().split())
        server = Endpoint(_LOOPBACK, self._daemon.port)
        plan = Plan(server=server, names=names, window=32, seconds=None, count=HOSTS)
        run_load(plan)
        verdicts = run_load(plan).as_json()["verdicts"]
        if verdicts != {"HOSTED": HOSTS}:
            raise BenchError(f"after the warm-up the hosts of the zone are {verdicts}")

    def measure(self, case: Case, server: Server, seconds: float) -> Run:
        """One run of `case` against `server`."""
        queries, cpu = self._upstream_queries(), server.cpu_seconds()
        generator = self._load(case, server, seconds)
        return Run(
            answers_per_second=generator["answers_per_second"],
            lost=generator["lost"],
            server_core_used=round((server.cpu_seconds() - cpu) / generator["seconds"], 3),
            upstream_queries=self._upstream_queries() - queries,
            generator=generator,
        )

    def _load(self, case: Case, server: Server, seconds: float) -> dict[str, Any]:
        command: list[str] = [sys.executable, "-m", "tools.load", "--json"]
        command += ["--server", f"{_LOOPBACK}:{server.port}", "--hosts", str(self._hosts)]
        command += ["--unknown", str(case.unknown_share), "--window", str(case.window)]
        command += ["--seconds", str(seconds)]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as generator:
            try:
                pin(generator.pid, self._other_core)
                line, _ = generator.communicate(timeout=seconds + _GENERATOR_GRACE_SECONDS)
            finally:
                generator.kill()
        if generator.returncode != 0:
            raise BenchError(f"{shlex.join(command)}: exit status {generator.returncode}")
        figures: dict[str, Any] = json.loads(line)
        return figures

    def _upstream_queries(self) -> int:
        """How many queries the lab has had; see `tools.dnslab`."""
        question = dns.message.make_query("queries.dnslab.", "TXT", "CH")
        reply = dns.query.udp(question, _LOOPBACK, port=self._lab.port, timeout=5.0)
        return int(reply.answer[0][0].to_text().strip('"'))

    def _start_lab(self) -> Server:
        zone = self._directory / "hosted.zone"
        zone.write_text(_ZONE + "".join(_RECORD.format(number) for number in range(HOSTS)))
        command = [sys.executable, "-m", "tools.dnslab", "--zone", str(zone), "--unknown", "nxdomain"]
        return self._start(command, r"listening on .*:(\d+)", core=self._other_core)

    def _start_daemon(self) -> Server:
        config = self._directory / "fastvhost.toml"
        config.write_text(_CONFIG.format(dns_port=self._lab.port))
        command = [sys.executable, "-m", "fastvhost", "serve", "--config", str(config)]
        return self._start(command, r"ready: PDB on .*:(\d+)", core=self._server_core)

    def _start_echo(self) -> Server | None:
        """The C echo on the daemon's core, which is idle meanwhile; None without a C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        program = self._directory / "echo"
        subprocess.run([compiler, "-O2", "-o", str(program), str(_ECHO)], check=True)
        return self._start([str(program)], r"^(\d+)$", core=self._server_core)

    def _start(self, command: list[str], ready: str, *, core: int | None) -> Server:
        return self._stack.enter_context(running(command, ready=ready, core=core))
