"""Kamailio asking over DNS, by the lines of docs/kamailio.md, through a real Unbound on port 53."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_config
from fastvhost.service import open_service
from tests.documents import documented_block
from tests.kamailio_server import running_kamailio
from tests.own_network import in_own_network, run_in_own_network
from tests.support import ZONE, config_on
from tests.test_kamailio_docs import ROUTE, WITHOUT_ANSWER, block, until_statuses
from tests.unbound_server import running_unbound
from tools.dnslab import Effect, Fault, open_lab

RESOLVER = "127.0.0.1"
DAEMON = Endpoint("127.0.0.1", 5381)

STATUS = {
    "hosted.example": 200,
    "HOSTED.example": 200,
    "203.0.113.10": 200,
    "[2001:db8::10]": 503,
    "elsewhere.example": 503,
    "broken.example": 503,
    "foo_bar.example": 503,
}


@pytest.mark.server("kamailio", "unbound", "unshare")
def test_dns_lines_answer_and_without_daemon_do_as_told(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if in_own_network():
        trio.run(check_dns_lines)
    else:
        run_in_own_network(request.node.nodeid, folder=tmp_path, resolver=RESOLVER)


async def check_dns_lines() -> None:
    """Both policies side by side, since each request without a daemon takes Unbound seconds."""
    always = documented_block("docs/kamailio.md", "alive")
    domains = parse_config(f'[own]\nnames = ["sip.example"]\n{always}', name="docs/kamailio.md").domains
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(open_lab([ZONE], unknown="nxdomain"))
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="broken.example")]
        stack.enter_context(running_unbound(documented_block("docs/kamailio.md", "unbound"), port=53))
        kamailios = {}
        for policy in WITHOUT_ANSWER:
            script = block("replies", policy) + block("dns") + ROUTE
            kamailios[policy] = stack.enter_context(running_kamailio(script))
        async with open_service(config_on(lab, listen={"dns": DAEMON}, domains={"always": domains.always})):
            for kamailio in kamailios.values():
                await until_statuses(kamailio, STATUS)
        async with trio.open_nursery() as nursery:
            for policy, kamailio in kamailios.items():
                # Until the name of the next second is asked for, the daemon seems to be there.
                without = {"hosted.example": 200, "address.example": WITHOUT_ANSWER[policy]}
                nursery.start_soon(until_statuses, kamailio, without)
