"""Behind a real Kamailio: a daemon that is killed and comes back, and two of which one is killed."""

from collections import Counter

import pytest

from fastvhost.model import VerdictKind
from tests.daemon_process import Daemon, running_daemon
from tests.documents import documented_block
from tests.kamailio_server import Kamailio, running_kamailio
from tests.knot import running_knot
from tests.sipp import Call, calling
from tests.support import OURS, until, until_true
from tests.traffic import HOSTED, ZONE

RATE = 500

ROUTE = 'request_route {\n    route(IS_OURS);\n    sl_send_reply("200", "OK");\n}\n'

pytestmark = pytest.mark.server("sipp", "kamailio", "knotd")


def config(dns: object) -> str:
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
        f'[dns]\nservers = ["{dns}"]\n'
        "[domains]\nstore = ''\n"
    )


def script(*daemons: Daemon) -> str:
    """The README's lines with these daemons as the servers."""
    servers = ",".join(str(daemon.pdb) for daemon in daemons)
    return documented_block("README.md", "kamailio").replace("127.0.0.1:5380", servers) + ROUTE


def patient(script: str) -> str:
    """Waits a second for an answer, so that a machine that stalls makes no 503."""
    return script.replace('"timeout", 50)', '"timeout", 1000)')


def hosted_calls(count: int) -> list[Call]:
    return [Call(kind="hosted", host=HOSTED[number % len(HOSTED)]) for number in range(count)]


async def status(kamailio: Kamailio) -> int:
    return (await kamailio.options(f"sip:{HOSTED[0]}")).status


async def is_served(kamailio: Kamailio) -> bool:
    return await status(kamailio) == 200


async def test_daemon_killed_and_started_again_answers_the_very_next_query() -> None:
    with running_knot({"test": ZONE}) as dns, running_daemon(config(dns)) as daemon:
        daemon.warm_up(HOSTED[:1], VerdictKind.HOSTED)
        with running_kamailio(patient(script(daemon)), children=1) as kamailio:
            assert await status(kamailio) == 200
            daemon.kill()
            assert await status(kamailio) == 503
            daemon.start()
            daemon.warm_up(HOSTED[:1], VerdictKind.HOSTED)
            assert await status(kamailio) == 200


async def test_daemon_killed_under_load_and_started_again_serves_the_rest_and_none_is_lost() -> None:
    with running_knot({"test": ZONE}) as dns, running_daemon(config(dns)) as daemon:
        daemon.warm_up(HOSTED, VerdictKind.HOSTED)
        with (
            running_kamailio(script(daemon), children=4) as kamailio,
            calling(hosted_calls(4 * RATE), port=kamailio.sip_port, rate=RATE) as calls,
        ):
            await until(lambda: calls.answered() >= RATE)
            daemon.kill()
            assert await status(kamailio) == 503
            daemon.start()
            daemon.warm_up(HOSTED, VerdictKind.HOSTED)
            outcome = calls.wait()["hosted"]
            await until_true(lambda: is_served(kamailio))
    assert outcome.lost == 0
    assert outcome.statuses.keys() <= {200, 503}


async def test_one_of_two_daemons_killed_under_load_loses_no_call() -> None:
    with (
        running_knot({"test": ZONE}) as dns,
        running_daemon(config(dns)) as first,
        running_daemon(config(dns)) as second,
    ):
        for daemon in (first, second):
            daemon.warm_up(HOSTED, VerdictKind.HOSTED)
        with (
            running_kamailio(patient(script(first, second)), children=4) as kamailio,
            calling(hosted_calls(3 * RATE), port=kamailio.sip_port, rate=RATE) as calls,
        ):
            await until(lambda: calls.answered() >= RATE)
            first.kill()
            outcome = calls.wait()["hosted"]
    assert outcome.statuses == Counter({200: 3 * RATE})
