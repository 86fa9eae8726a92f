"""One run of `bench.abuse`: a resolver, its DNS server, an attacker, and a good caller at the side.

Each is a process of its own, started anew for every run. The resolver has one core, all else the other, where
the attacker yields to the rest.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, assert_never, get_args

from bench.abuse_attacks import KNOWN, UNLISTED, Attack, wrong_verdicts
from bench.abuse_unbound import RATELIMIT, running_unbound
from bench.abuse_upstream import fan_out_hosts
from bench.datagrams import Kind, Stream, run
from bench.processes import BenchError, Server, pin, running, server_and_other_core
from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from tests.support import OURS, free_port

__all__ = ["CALLS", "PEERS", "RESOLVERS", "Measured", "Resolver", "measure"]

Resolver: TypeAlias = Literal["fastvhost, PDB", "fastvhost, DNS", "Unbound", "Unbound, ratelimit"]
RESOLVERS: tuple[Resolver, ...] = get_args(Resolver)
PEERS = RESOLVERS[1:]
"""Those asked over DNS."""

CALLS = 100
"""Questions of the good caller, a second."""

_LOOPBACK = "127.0.0.1"
_ATTACK_FIRST_SECONDS = 1.0
"""The attack starts so much earlier than the good caller, and lasts so much longer."""
_GRACE_SECONDS = 60.0
_NICE = 10
_WARM_UPS = 20
_ZONE = "vhost.internal"

# All else is default. The floor of 30 s would hide that the known hosts are past their TTL of 3 to 7.
_SECTIONS = {
    "own": f'addresses = ["{OURS}", "2001:db8::10"]\nnames = ["sip.provider.example"]',
    "listen": 'pdb = "127.0.0.1:0"\ndns = "{dns}"\nadmin = ""\nallow = ["127.0.0.1/32"]',
    "dns": 'servers = ["127.0.0.1:{upstream}"]',
    "cache": "hosted_ttl = [1, 86_400]",
    "limits": "",
    "domains": 'store = ""',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run measured."""

    attack: str
    resolver: Resolver
    rate: float
    """Requests a second that the attacker sent."""
    queries: float
    """DNS queries a second about the attacker's hosts, over the time of the attack."""
    most_queries: int
    """Of these, the most within any one second."""
    allowed: float | None
    """The most that `queries` may be; None where nothing bounds it."""
    p99_ms: float | None
    """Of the good caller's answers; None without any."""
    calls: int
    lost: int
    """The good caller's questions without an answer within a second."""
    memory: int
    """The most resident octets of the resolver."""
    core_used: float
    """Processor time of the resolver over the time of the attack."""
    waited: float
    """And the time that it was ready to run while other programs had its core."""
    wrong: int
    """Known hosts that were not HOSTED, and verdicts on the attacker's that have no evidence."""
    verdicts: Mapping[str, int]
    """On the attacker's hosts."""
    load_average: float

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong and no cap passed."""
        return self.wrong == 0 and (self.allowed is None or self.queries <= self.allowed)


def measure(attack: Attack, resolver: Resolver, seconds: float) -> Measured:
    """One run; the good caller asks for `seconds`.

    Raises:
        BenchError: a part did not come up, or a known host is not HOSTED before the attack.
    """
    resolver_core, other_core = server_and_other_core()
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name:
        directory, report = Path(name), Path(name) / "report.json"
        with ExitStack() as stack:
            command = [sys.executable, "-m", "bench.abuse_upstream", "--report", str(report)]
            command += ["--forged", str(attack.forged)]
            command += ["--fan-out"] if attack.load == "fan-out" else []
            upstream = stack.enter_context(running(command, ready=r"listening on .*:(\d+)", core=other_core))
            server = stack.enter_context(_resolving(attack, resolver, upstream, directory, resolver_core))
            _warm_up(server, resolver, directory)
            cpu, waited = server.cpu_seconds(), server.waited_seconds()
            attack_seconds = seconds + 2 * _ATTACK_FIRST_SECONDS
            commands = _attackers(attack, resolver, server, directory, attack_seconds)
            attackers = [stack.enter_context(_child(command, other_core)) for command in commands]
            for process in attackers:
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
            time.sleep(_ATTACK_FIRST_SECONDS)
            with _child(_caller(resolver, server, directory, seconds), other_core) as caller:
                calls = _figures(caller)
            attacks = [_figures(process) for process in attackers]
            cpu, waited = server.cpu_seconds() - cpu, server.waited_seconds() - waited
            memory = server.most_resident_octets()
        asked = json.loads(report.read_text())
    # Garbage has no hosts, and gets no verdicts.
    verdicts = attacks[0]["verdicts"] if attacks and attack.load != "garbage" else {}
    lasted = max([attack_seconds, *(figures["seconds"] for figures in attacks)])
    p99 = calls["latency_us"]["p99"]
    return Measured(
        attack=attack.name,
        resolver=resolver,
        rate=round(sum(figures["sent"] for figures in attacks) / lasted, 1),
        queries=round(asked["others"] / lasted, 1),
        most_queries=asked["most"],
        allowed=round(attack.allowed(lasted), 1) if resolver.startswith("fastvhost") else None,
        p99_ms=None if p99 is None else p99 / 1_000.0,
        calls=calls["sent"],
        lost=calls["lost"],
        memory=memory,
        core_used=round(cpu / lasted, 2),
        waited=round(waited / lasted, 2),
        wrong=wrong_verdicts(attack, verdicts, asked["others"])
        + calls["answered"]
        - calls["verdicts"].get(VerdictKind.HOSTED.name, 0),
        verdicts=verdicts,
        load_average=os.getloadavg()[0],
    )


def _resolving(
    attack: Attack, resolver: Resolver, upstream: Server, directory: Path, core: int | None
) -> AbstractContextManager[Server]:
    match resolver:
        case "fastvhost, PDB" | "fastvhost, DNS":
            return _daemon(attack, upstream, directory, core)
        case "Unbound":
            return running_unbound(directory, upstream.port, ratelimit=0, core=core)
        case "Unbound, ratelimit":
            return running_unbound(directory, upstream.port, ratelimit=RATELIMIT, core=core)
        case _:
            assert_never(resolver)


@contextmanager
def _daemon(attack: Attack, upstream: Server, directory: Path, core: int | None) -> Iterator[Server]:
    """`fastvhost serve`; the port is that of PDB, and the DNS face's is in the file `dns`."""
    dns = free_port()
    (directory / "dns").write_text(str(dns))
    lines = attack.lines or {}
    sections = (f"[{name}]\n{text}\n{lines.get(name, '')}\n" for name, text in _SECTIONS.items())
    config = directory / "fastvhost.toml"
    text = "".join(sections).replace("{dns}", f"{_LOOPBACK}:{dns}").replace("{upstream}", str(upstream.port))
    config.write_text(text)
    command = [sys.executable, "-m", "fastvhost", "serve", "--config", str(config)]
    with running(command, ready=r"ready: PDB on [^,]*:(\d+)", core=core) as server:
        yield server


def _warm_up(server: Server, resolver: Resolver, directory: Path) -> None:
    """Ask for every known host until all are HOSTED at a time."""
    kind: Kind = "pdb" if resolver == "fastvhost, PDB" else "dns"
    endpoint, suffix = _face(server, resolver, directory)
    (directory / "known").write_text("\n".join(KNOWN))
    for _ in range(_WARM_UPS):
        hosts = (f"{host}.{suffix}" if suffix else host for host in KNOWN)
        stream = Stream(kind=kind, server=endpoint, hosts=hosts, rate=200.0, count=len(KNOWN))
        if run(stream).verdicts[VerdictKind.HOSTED] == len(KNOWN):
            return
    raise BenchError(f"{resolver}: the known hosts are not HOSTED after {_WARM_UPS} rounds of questions")


def _face(server: Server, resolver: Resolver, directory: Path) -> tuple[Endpoint, str]:
    """Whom to ask, and what is appended to each host."""
    if resolver == "fastvhost, DNS":
        return Endpoint(_LOOPBACK, int((directory / "dns").read_text())), _ZONE
    return Endpoint(_LOOPBACK, server.port), ""


def _caller(resolver: Resolver, server: Server, directory: Path, seconds: float) -> list[str]:
    endpoint, suffix = _face(server, resolver, directory)
    asked = ["--server", str(endpoint), "--hosts", str(directory / "known")]
    asked += ["--rate", str(CALLS), "--count", str(round(CALLS * seconds))]
    if resolver == "fastvhost, PDB":
        return ["tools.load", "--json", *asked]
    return ["bench.datagrams", "--kind", "dns", "--suffix", suffix, *asked]


def _attackers(
    attack: Attack, resolver: Resolver, server: Server, directory: Path, seconds: float
) -> list[list[str]]:
    """The command of each process that attacks."""
    endpoint, suffix = _face(server, resolver, directory)
    how_much = ["--rate", str(attack.rate), "--count", str(round(attack.rate * seconds))]
    at = ["--server", str(endpoint), *how_much]
    match attack.load:
        case "none":
            return []
        case "hosts" if resolver == "fastvhost, PDB":
            return [["tools.load", "--json", "--unknown", "1", "--under", attack.under, *at]]
        case "hosts":
            return [["bench.datagrams", "--kind", "dns", "--under", attack.under, "--suffix", suffix, *at]]
        case "fan-out":
            hosts = directory / "fan-out"
            hosts.write_text("\n".join(fan_out_hosts()))
            return [["tools.load", "--json", "--hosts", str(hosts), *at]]
        case "spoofed":
            return [["bench.datagrams", "--kind", "spoofed", *at]]
        case "unlisted":
            return [["bench.datagrams", "--kind", "pdb", "--source", UNLISTED, *at]]
        case "garbage":
            faces = (str(endpoint), f"{_LOOPBACK}:{(directory / 'dns').read_text()}")
            garbage = ["bench.datagrams", "--kind", "garbage", *how_much]
            return [[*garbage, "--server", face] for face in faces]
        case _:
            assert_never(attack.load)


@contextmanager
def _child(module_and_arguments: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
    """A Python program whose stdout is kept, for the length of the block at most."""
    command = [sys.executable, "-m", *module_and_arguments]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        try:
            pin(process.pid, core)
            yield process
        finally:
            process.kill()


def _figures(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a load generator says when it has ended."""
    line, _ = process.communicate(timeout=_GRACE_SECONDS)
    if not line:
        raise BenchError(f"{process.args!r}: exit status {process.returncode}")
    figures: dict[str, Any] = json.loads(line)
    return figures
