"""The README's lines for Kamailio, as they stand there, in a real Kamailio in front of a real daemon."""

import pytest

from fastvhost.config_file import parse_config
from fastvhost.service import open_service
from tests.documents import documented_block
from tests.kamailio_server import running_kamailio
from tests.support import ZONE, config_on
from tools.dnslab import Effect, Fault, open_lab

STATUS = {
    "hosted.example": 200,
    "HOSTED.example": 200,
    "203.0.113.10": 200,
    "[2001:db8::10]": 200,
    "elsewhere.example": 404,
    "madeup.example": 404,
    "slow.example": 404,
    "broken.example": 503,
    "foo_bar.example": 400,
}

ROUTE = """
request_route {
    route(IS_OURS);
    sl_send_reply("200", "OK");
}
"""


@pytest.mark.server("kamailio")
async def test_readme_lines_in_kamailio_answer_by_verdict() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = [
            Fault(effect=Effect.SERVFAIL, name="broken.example"),
            Fault(name="slow.example", delay=0.3),
        ]
        async with open_service(config_on(lab)) as service:
            snippet = documented_block("README.md", "kamailio").replace(
                "127.0.0.1:5380", str(service.pdb_endpoint)
            )
            with running_kamailio(snippet + ROUTE) as kamailio:
                statuses = {host: (await kamailio.options(f"sip:{host}")).status for host in STATUS}
            assert statuses == STATUS
            assert service.counters()["pdb.replies.pending"] > 0


def test_readme_configuration_is_accepted() -> None:
    own = parse_config(documented_block("README.md", "configuration"), name="README.md").own
    assert own.names == {"sip.example.net"}
