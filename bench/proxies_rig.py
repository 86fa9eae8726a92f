"""One run of `bench.proxies`: DNS in some state, a proxy that asks in one of two ways, and its calls."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from bench.processes import Server, running
from fastvhost.model import VerdictKind
from tests.daemon_process import running_daemon
from tests.documents import documented_block
from tests.kamailio_server import running_kamailio
from tests.sipp import Call, Outcome, calling, flooding
from tests.support import OURS
from tests.traffic import ELSEWHERE, HOSTED, ZONE, flood_hosts, mixed_calls

__all__ = ["CHILDREN", "PROXIES", "RATE", "SCENES", "Measured", "Proxy", "Scene", "measure"]

CHILDREN = 4
"""Workers of each Kamailio."""

RATE = 500
"""Calls a second."""

Scene: TypeAlias = Literal["quick", "one in 100 slow", "dead", "dead, flood"]
SCENES: tuple[Scene, ...] = get_args(Scene)
Proxy: TypeAlias = Literal["fastvhost", "alone"]
PROXIES: tuple[Proxy, ...] = get_args(Proxy)

_FLOOD_RATE = 2_000
_FLOODER = "127.0.0.66"
_IN_TIME_MS = 500
"""Before the caller sends its request again (RFC 3261, T1)."""

_FAULTS: dict[Scene, list[str]] = {
    "quick": [],
    "one in 100 slow": ["--delay", "2", "--only", "*.slow.test"],
    "dead": ["--drop", "1"],
    "dead, flood": ["--drop", "1"],
}

# All else is default. The floor of 30 s would hide that the domains are past their TTL of 5.
_DAEMON = (
    f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
    '[dns]\nservers = ["127.0.0.1"]\n'
    "[cache]\nhosted_ttl = [1, 86_400]\n[domains]\nstore = ''\n"
)

# What an operator can write without fastvhost, and tuned: one attempt of 3 s where the default is two of 5.
_ALONE = f"""
loadmodule "ipops.so"
use_dns_cache=on
dns_cache_mem=20000
dns_try_ipv6=no
dns_use_search_list=no
dns_servers_no=1
dns_retr_time=3
dns_retr_no=1
request_route {{
    if (dns_int_match_ip("$rd", "{OURS}")) {{
        sl_send_reply("200", "OK");
    }} else {{
        sl_send_reply("404", "Not Here");
    }}
}}
"""
_ASKING = '\nrequest_route {\n    route(IS_OURS);\n    sl_send_reply("200", "OK");\n}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What became of the calls of one run."""

    scene: Scene
    proxy: Proxy
    turn: int
    sent: int
    """Calls to hosted domains, as are the next five."""
    served: int
    """Answered 200, be it after retransmissions."""
    refused: int
    """Answered otherwise, which is wrong."""
    lost: int
    p50: int | None
    """Milliseconds from the first sending to the answer, lost ones counted as the slowest; None: lost."""
    p99: int | None
    in_time_per_second: float
    """Calls of any kind that were answered before they were sent again, for each second of calls."""
    load_average: float
    """Of the machine over the minute that ended with the run; over its cores, slowness may be others'."""


def measure(scene: Scene, proxy: Proxy, seconds: int, turn: int) -> Measured:
    """One run, everything started anew, all domains looked up once while DNS is quick.

    Raises:
        BenchError: the DNS server did not come up.
        KamailioError: Kamailio did not.
        SippError: sipp did not run.
    """
    with ExitStack() as stack, ExitStack() as while_quick:
        while_quick.enter_context(_dns("quick"))
        port = stack.enter_context(_asking() if proxy == "fastvhost" else _alone())
        while_quick.close()
        stack.enter_context(_dns(scene))
        if scene == "dead, flood":
            hosts = flood_hosts(seconds * _FLOOD_RATE)
            stack.enter_context(flooding(hosts, port=port, rate=_FLOOD_RATE, source=_FLOODER))
        outcomes = stack.enter_context(calling(_calls(scene, seconds), port=port, rate=RATE)).wait()
    hosted = outcomes["hosted"]
    in_time = sum(sum(ms < _IN_TIME_MS for ms in each.milliseconds) for each in outcomes.values())
    run = Measured(
        scene=scene,
        proxy=proxy,
        turn=turn,
        sent=hosted.sent,
        served=hosted.statuses[200],
        refused=hosted.statuses.total() - hosted.statuses[200],
        lost=hosted.lost,
        p50=_percentile(hosted, 50),
        p99=_percentile(hosted, 99),
        in_time_per_second=round(in_time / seconds, 1),
        load_average=os.getloadavg()[0],
    )
    print(f"{turn}: {run}", file=sys.stderr)
    return run


@contextmanager
def _asking() -> Iterator[int]:
    """Kamailio with the README's lines and a daemon; yields its SIP port."""
    with running_daemon(_DAEMON) as daemon:
        script = documented_block("README.md", "kamailio").replace("127.0.0.1:5380", str(daemon.pdb))
        with running_kamailio(script + _ASKING, children=CHILDREN) as kamailio:
            daemon.warm_up(HOSTED, VerdictKind.HOSTED)
            daemon.warm_up(ELSEWHERE, VerdictKind.NOT_HOSTED)
            yield kamailio.sip_port


@contextmanager
def _alone() -> Iterator[int]:
    """Kamailio that asks DNS; yields its SIP port."""
    with running_kamailio(_ALONE, children=CHILDREN) as kamailio:
        once = [Call(kind="warm-up", host=host) for host in (*HOSTED, *ELSEWHERE)]
        with calling(once, port=kamailio.sip_port, rate=RATE) as calls:
            calls.wait()
        yield kamailio.sip_port


@contextmanager
def _dns(scene: Scene) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name:
        zone = Path(name) / "test.zone"
        zone.write_text(f"$ORIGIN test.\n{ZONE}")
        command = [sys.executable, "-m", "tools.dnslab", "--zone", str(zone), "--port", "53", *_FAULTS[scene]]
        lab: AbstractContextManager[Server] = running(command, ready=r"listening on .*:(\d+)", core=None)
        with lab:
            yield


def _calls(scene: Scene, seconds: int) -> list[Call]:
    calls = mixed_calls(seconds * RATE)
    if scene == "one in 100 slow":
        # Each a new one, so that no cache knows it.
        for number in range(0, len(calls), 100):
            calls[number] = Call(kind="slow", host=f"s{number}.slow.test")
    return calls


def _percentile(outcome: Outcome, percent: int) -> int | None:
    """Of all that were sent, by the nearest rank."""
    rank = -(-outcome.sent * percent // 100)
    return outcome.milliseconds[rank - 1] if rank <= len(outcome.milliseconds) else None
