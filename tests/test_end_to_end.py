"""sipp, a real Kamailio with the README's lines, a real daemon, a real Knot DNS: 500 calls a second.

The figures of the same scenes are those of `bench.proxies`; here nothing depends on how fast the machine is.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest

from fastvhost.config import Endpoint
from fastvhost.model import VerdictKind
from tests.daemon_process import Daemon, running_daemon
from tests.documents import documented_block
from tests.kamailio_server import running_kamailio
from tests.knot import running_knot
from tests.sipp import Outcome, calling, flooding
from tests.support import OURS
from tests.traffic import ELSEWHERE, HOSTED, ZONE, flood_hosts, mixed_calls

SECONDS = 10
RATE = 500
FLOOD_RATE = 2_000
FLOODER = "127.0.0.66"

pytestmark = pytest.mark.server("sipp", "kamailio", "knotd")


def config(dns: Endpoint) -> str:
    """Defaults, but a TTL of 5 s is taken at its word, a dead server is known as such sooner, and a sipp that
    was stalled may make up for it."""
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n[dns]\n'
        f'servers = ["{dns}"]\ntimeout = 0.5\n'
        "[cache]\nhosted_ttl = [1, 86_400]\n[limits]\nsource_rate = 40\n[domains]\nstore = ''\n"
    )


@contextmanager
def proxy_in_front_of(daemon: Daemon) -> Iterator[int]:
    """A Kamailio with the README's lines; yields its SIP port.

    It waits a second for the daemon, so that a machine that stalls makes calls late and not refused.
    """
    lines = documented_block("README.md", "kamailio").replace("127.0.0.1:5380", str(daemon.pdb))
    lines = lines.replace('"timeout", 50)', '"timeout", 1000)')
    route = 'request_route {\n    route(IS_OURS);\n    sl_send_reply("200", "OK");\n}\n'
    with running_kamailio(lines + route, children=4) as kamailio:
        daemon.warm_up(HOSTED, VerdictKind.HOSTED)
        daemon.warm_up(ELSEWHERE, VerdictKind.NOT_HOSTED)
        yield kamailio.sip_port


@contextmanager
def black_hole(endpoint: Endpoint) -> Iterator[None]:
    """Takes datagrams there and answers none, so that nothing is refused either."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(endpoint)
        yield


def statuses(outcomes: Mapping[str, Outcome]) -> dict[str, Counter[int]]:
    return {kind: outcome.statuses for kind, outcome in outcomes.items()}


def test_mixed_calls_at_500_a_second_each_get_the_status_of_their_kind() -> None:
    with running_knot({"test": ZONE}) as dns, running_daemon(config(dns)) as daemon:
        with (
            proxy_in_front_of(daemon) as port,
            calling(mixed_calls(SECONDS * RATE), port=port, rate=RATE) as calls,
        ):
            outcomes = calls.wait()
        counters = daemon.stop()
    expected = {"hosted": 200, "elsewhere": 404, "random": 404, "malformed": 400}
    assert statuses(outcomes) == {
        kind: Counter({status: outcomes[kind].sent}) for kind, status in expected.items()
    }
    assert counters["lookup.refreshes"] >= len(HOSTED)


def test_black_hole_and_flood_leave_each_hosted_call_answered() -> None:
    with ExitStack() as until_dns_dies:
        dns = until_dns_dies.enter_context(running_knot({"test": ZONE}))
        with running_daemon(config(dns)) as daemon, proxy_in_front_of(daemon) as port:
            until_dns_dies.close()
            with (
                black_hole(dns),
                flooding(flood_hosts(SECONDS * FLOOD_RATE), port=port, rate=FLOOD_RATE, source=FLOODER),
                calling(mixed_calls(SECONDS * RATE), port=port, rate=RATE) as calls,
            ):
                outcomes = calls.wait()
            counters = daemon.stop()
    made_up = outcomes.pop("random")
    expected = {"hosted": 200, "elsewhere": 404, "malformed": 400}
    assert statuses(outcomes) == {
        kind: Counter({status: outcomes[kind].sent}) for kind, status in expected.items()
    }
    # A failure is never a "no": what cannot be known now is 503, or silence while it is being looked up.
    assert made_up.statuses.keys() <= {503}
    assert counters["lookup.hits_stale"] > 0
    assert counters["lookup.limited_source"] > 0
