"""What is measured side by side: who is asked, for what, and how one run of that is measured."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.generator import Load, generate
from bench.peers import DNS_PEERS, find_program, running_redis, start_dns_peer
from bench.processes import BenchError, Server, on_core
from bench.rig import HOSTS, ZONE, Rig

__all__ = ["CASES", "Case", "Run", "open_cases"]

_GRACE_SECONDS = 30.0
_HITS_WINDOW = 128
_REDIS_FIRST_REQUESTS = 20_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table."""

    name: str
    """What is asked for: `hits`, `mixed`, `misses`, `flood`, or `limit` for the C echo."""
    asked: str
    """Who is asked, and how."""
    window: int
    """Requests outstanding."""
    measure: Callable[[float], Run]
    """One run of so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traffic:
    name: str
    unknown_share: float
    """The share of requests for a host that nobody has asked for before."""
    window: int


_HITS = _Traffic(name="hits", unknown_share=0.0, window=_HITS_WINDOW)
# Each unknown host is a walk of one upstream query.
_WALKED = (
    _Traffic(name="mixed", unknown_share=0.1, window=64),
    _Traffic(name="misses", unknown_share=1.0, window=64),
)
# With the default limits: nearly all are refused.
_FLOOD = _Traffic(name="flood", unknown_share=1.0, window=64)

_LIMIT = "limit"
CASES = (_LIMIT, *(traffic.name for traffic in (_HITS, *_WALKED, _FLOOD)))
"""Names of cases, in the order of their turns."""


@contextmanager
def open_cases(
    rig: Rig, directory: Path, *, peers: bool, only: Sequence[str] = CASES
) -> Iterator[tuple[list[Case], list[str]]]:
    """The cases of these names in the order of their turns, and who is not measured for want of a program.

    Everything that is asked runs for the length of the block, and nothing else.

    Raises:
        BenchError: a part does not come up.
    """
    with ExitStack() as stack:
        cases: list[Case] = []
        absent: list[str] = []
        echo = rig.start_echo() if _LIMIT in only else None
        if echo is not None:
            load = Load(port=echo.port, hosts=rig.hosts, window=_HITS_WINDOW)
            cases.append(_case(_LIMIT, "C echo, PDB", rig, echo, load))
        elif _LIMIT in only:
            absent.append("C echo (cc)")
        for traffics, limited in (((_HITS, *_WALKED), False), ((_FLOOD,), True)):
            wanted = [traffic for traffic in traffics if traffic.name in only]
            if wanted:
                cases += _own_cases(rig, stack, wanted, limited=limited)
        if peers and _HITS.name in only:
            for case in _peer_cases(rig, directory, stack):
                if isinstance(case, Case):
                    cases.append(case)
                else:
                    absent.append(case)
        yield sorted(cases, key=lambda case: CASES.index(case.name)), absent


def _own_cases(rig: Rig, stack: ExitStack, traffics: Sequence[_Traffic], *, limited: bool) -> list[Case]:
    """By PDB, by DNS and in process."""
    name = "limited" if limited else "unlimited"
    daemon = rig.start_daemon(rig.config(name, limited=limited, given=limited))
    service = _Api(rig, rig.config(f"api-{name}", limited=limited, given=limited), stack)
    cases = []
    for traffic in traffics:
        load = Load(
            port=daemon.ports[0],
            hosts=rig.hosts,
            unknown_share=traffic.unknown_share,
            window=traffic.window,
        )
        by_dns = replace(load, port=daemon.ports[1], zone=ZONE)
        cases += [
            _case(traffic.name, "fastvhost, PDB", rig, daemon, load),
            _case(traffic.name, "fastvhost, DNS", rig, daemon, by_dns),
            service.case(traffic),
        ]
    return cases


def _peer_cases(rig: Rig, directory: Path, stack: ExitStack) -> Iterator[Case | str]:
    for peer in DNS_PEERS:
        program = find_program(peer.program)
        if program is None:
            yield f"{peer.name} ({peer.package})"
            continue
        server = start_dns_peer(peer, program, rig, stack, directory / peer.program)
        load = Load(port=server.port, zone="", hosts=rig.hosts, window=_HITS_WINDOW)
        yield _case("hits", f"{peer.name}, DNS", rig, server, load)
    redis = find_program("redis-server")
    if redis is None or find_program("redis-benchmark") is None:
        yield "Redis (redis-server)"
        return
    server = stack.enter_context(running_redis(redis, rig, directory / "redis"))
    yield _redis_case("Redis GET, one connection, pipelined", rig, server, clients=1, pipelined=_HITS_WINDOW)
    yield _redis_case("Redis GET, a connection each", rig, server, clients=_HITS_WINDOW, pipelined=1)


def _case(name: str, asked: str, rig: Rig, server: Server, load: Load) -> Case:
    def measure(seconds: float) -> Run:
        queries, cpu = rig.lab_queries(), server.cpu_seconds()
        generator = generate(load, seconds, rig.other_core)
        return _run_of(generator, server.cpu_seconds() - cpu, rig.lab_queries() - queries)

    return Case(name=name, asked=asked, window=load.window, measure=measure)


def _run_of(generator: dict[str, Any], cpu_seconds: float, queries: int) -> Run:
    seconds = generator["seconds"] + generator.get("rehearsal_seconds", 0.0)
    return Run(
        answers_per_second=generator["answers_per_second"],
        lost=generator["lost"],
        server_core_used=round(cpu_seconds / seconds, 3) if seconds else 0.0,
        upstream_queries=queries,
        generator=generator,
    )


class _Api:
    """The in-process API, in a process that has the servers' core; see `bench.in_process`."""

    def __init__(self, rig: Rig, config: Path, stack: ExitStack) -> None:
        self._rig = rig
        command = [sys.executable, "-m", "bench.in_process"]
        command += ["--config", str(config), "--hosts", str(rig.hosts)]
        with on_core(rig.server_core):
            process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.enter_context(process)
        stack.callback(process.terminate)
        self._process = process
        self._server = Server(process.pid, 0)
        if self._line() != "ready\n":
            raise BenchError("bench.in_process did not get ready")

    def case(self, traffic: _Traffic) -> Case:
        def measure(seconds: float) -> Run:
            assert self._process.stdin is not None
            queries, cpu = self._rig.lab_queries(), self._server.cpu_seconds()
            asked = {"unknown_share": traffic.unknown_share, "window": traffic.window, "seconds": seconds}
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            generator = json.loads(self._line())
            return _run_of(generator, self._server.cpu_seconds() - cpu, self._rig.lab_queries() - queries)

        return Case(name=traffic.name, asked="fastvhost, in process", window=traffic.window, measure=measure)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _redis_case(asked: str, rig: Rig, server: Server, *, clients: int, pipelined: int) -> Case:
    """Redis' own load program, which is told how many requests: those of a first run, scaled to the time."""

    def benchmark(requests: int) -> float:
        program = find_program("redis-benchmark")
        assert program is not None
        command = [program, "-p", str(server.port), "-c", str(clients), "-P", str(pipelined), "--csv"]
        command += ["-n", str(requests), "-r", str(HOSTS), "GET", "h__rand_int__.hosted.example"]
        with on_core(rig.other_core):
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GRACE_SECONDS)
        # The name of the test, then requests a second.
        return float(said.stdout.splitlines()[-1].split(",")[1].strip('"'))

    def measure(seconds: float) -> Run:
        requests = max(_REDIS_FIRST_REQUESTS, int(benchmark(_REDIS_FIRST_REQUESTS) * seconds))
        cpu = server.cpu_seconds()
        rate = benchmark(requests)
        generator = {
            "answers_per_second": rate,
            "seconds": requests / rate,
            "answered": requests,
            "lost": 0,
        }
        return _run_of(generator, server.cpu_seconds() - cpu, 0)

    return Case(name="hits", asked=asked, window=clients * pipelined, measure=measure)
