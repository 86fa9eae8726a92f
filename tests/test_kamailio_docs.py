"""What the documents give to paste into Kamailio, as it stands there, in a real one before a real daemon."""

import socket
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from fastvhost.config import Config, Endpoint
from fastvhost.config_file import parse_config
from fastvhost.domains.jsonrpc import Done, open_rpc
from fastvhost.service import open_service
from fastvhost.target import parse_target
from tests.documents import documented_block
from tests.kamailio_server import Kamailio, create_tables, running_kamailio
from tests.support import ZONE, config_on, free_port, until_true
from tools.dnslab import Effect, Fault, Lab, open_lab

KAMAILIO = "docs/kamailio.md"
CLIENTS = Path(__file__).parents[1] / "tools/kamailio"

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
FAULTS = [Fault(effect=Effect.SERVFAIL, name="broken.example"), Fault(name="slow.example", delay=0.3)]

ROUTE = """
request_route {
    route(IS_OURS);
    sl_send_reply("200", "OK $avp(s:dns.peering)");
}
"""

WITHOUT_ANSWER = {"closed": 503, "open": 200}
either_policy = pytest.mark.parametrize("policy", ["closed", "open"])


def block(name: str, policy: str = "closed") -> str:
    """A block of docs/kamailio.md; "open" changes the one line that the block says it takes."""
    text = documented_block(KAMAILIO, name)
    if policy == "open":
        for closed, opened in (
            ("#!define NO_ANSWER 3\n", "#!define NO_ANSWER 1\n"),
            ("NO_ANSWER = pdb.UNDETERMINED\n", "NO_ANSWER = pdb.HOSTED\n"),
        ):
            text = text.replace(closed, opened)
    return text


def placed(text: str, port: int, folder: Path) -> str:
    """The same with the addresses and paths of a test."""
    for documented, ours in (
        ("5380", str(port)),
        ("/var/lib/fastvhost", str(folder)),
        ("/etc/kamailio", str(folder)),
    ):
        text = text.replace(documented, ours)
    return text


def config_at(lab: Lab, port: int, **sections: Mapping[str, object]) -> Config:
    return config_on(lab, listen={"pdb": Endpoint("127.0.0.1", port), "answer_within": 0.04}, **sections)


async def statuses(kamailio: Kamailio, hosts: Iterable[str]) -> dict[str, int]:
    return {host: (await kamailio.options(f"sip:{host}")).status for host in hosts}


async def until_statuses(kamailio: Kamailio, expected: Mapping[str, int]) -> None:
    """Ask until all are as expected: on a busy machine a reply may take longer than the scripts wait."""

    async def are_as_expected() -> bool:
        return await statuses(kamailio, expected) == expected

    await until_true(are_as_expected, within=60.0)


async def is_not_here(kamailio: Kamailio, host: str) -> bool:
    return (await kamailio.options(f"sip:{host}")).status == 404


async def is_told_when_to_try_again(kamailio: Kamailio, host: str) -> bool:
    reply = await kamailio.options(f"sip:{host}")
    return (reply.status, reply.retry_after) == (503, 5)


def host_of(octets: int) -> str:
    """A host that is not there, of so many octets."""
    label = "a" * 49 + "."
    return (label * 5)[: octets - len(".example")].rstrip(".").ljust(
        octets - len(".example"), "a"
    ) + ".example"


def test_readme_configuration_is_accepted() -> None:
    own = parse_config(documented_block("README.md", "configuration"), name="README.md").own
    assert own.names == {"sip.example.net"}


@pytest.mark.server("kamailio")
async def test_readme_lines_answer_by_verdict(tmp_path: Path) -> None:
    port = free_port()
    script = placed(documented_block("README.md", "kamailio"), port, tmp_path) + ROUTE
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = FAULTS
        async with open_service(config_at(lab, port)) as service:
            with running_kamailio(script) as kamailio:
                await until_statuses(kamailio, STATUS)
            assert service.counters()["pdb.replies.pending"] > 0


@pytest.mark.server("kamailio")
@either_policy
async def test_pdb_lines_ask_for_what_the_table_lacks_and_without_daemon_do_as_told(
    policy: str, tmp_path: Path
) -> None:
    database = tmp_path / "fastvhost.db"
    create_tables(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO domain (domain, did) VALUES ('table.example', 'table.example')")
        connection.execute(
            "INSERT INTO domain_attrs (did, name, type, value)"
            " VALUES ('table.example', 'dns.peering', 2, 'open')"
        )
    port = free_port()
    script = placed(block("replies", policy) + block("pdb"), port, tmp_path) + ROUTE
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = FAULTS
        with running_kamailio(script) as kamailio:
            async with open_service(config_at(lab, port)):
                await until_statuses(kamailio, STATUS)
                await until_true(lambda: is_told_when_to_try_again(kamailio, "broken.example"))
                await until_statuses(kamailio, {host_of(200): 404})
                local = await kamailio.options("sip:Table.example")
                assert (local.status, local.reason) == (200, "OK open")
            assert await statuses(kamailio, ["table.example", "hosted.example", host_of(201)]) == {
                "table.example": 200,
                "hosted.example": WITHOUT_ANSWER[policy],
                host_of(201): 400,
            }
            async with open_service(config_at(lab, port)):
                await until_statuses(kamailio, STATUS)


@pytest.mark.server("kamailio")
async def test_pdb_lines_with_two_daemons_lose_nothing_while_either_is_gone(tmp_path: Path) -> None:
    create_tables(tmp_path / "fastvhost.db")
    ports = [free_port(), free_port()]
    one = 'modparam("pdb", "server", "127.0.0.1:5380")\n'
    script = (block("replies") + block("pdb")).replace(one, block("two daemons"))
    script = placed(script, ports[0], tmp_path).replace("5390", str(ports[1])) + ROUTE
    expected = {"hosted.example": 200, "elsewhere.example": 404}
    async with open_lab([ZONE]) as lab:
        with running_kamailio(script) as kamailio:
            async with open_service(config_at(lab, ports[0])):
                async with open_service(config_at(lab, ports[1])):
                    await until_statuses(kamailio, expected)
                await until_statuses(kamailio, expected)
            async with open_service(config_at(lab, ports[1])):
                await until_statuses(kamailio, expected)


@pytest.mark.server("kamailio")
@either_policy
async def test_htable_lines_outlive_the_daemon(policy: str, tmp_path: Path) -> None:
    port = free_port()
    script = placed(block("replies", policy) + block("htable"), port, tmp_path) + ROUTE
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = FAULTS
        with running_kamailio(script) as kamailio:
            config = config_at(
                lab,
                port,
                domains={"store": f"sqlite:///{tmp_path}/fastvhost.db"},
                proxies={"kamailio": (kamailio.rpc,), "htable": "vh"},
            )
            async with open_service(config) as service:
                await until_statuses(kamailio, STATUS)

                async def is_learned() -> bool:
                    # Failing open, 200 does not say that the daemon was asked.
                    await kamailio.options("sip:hosted.example")
                    return service.counters()["domains.htable.pushed"] >= 1

                await until_true(is_learned, within=60.0)
            assert await statuses(kamailio, ["Hosted.example", "other.example", host_of(201)]) == {
                "Hosted.example": 200,
                "other.example": WITHOUT_ANSWER[policy],
                host_of(201): 400,
            }


@pytest.mark.server("kamailio")
async def test_htable_lines_ask_a_silent_daemon_once_a_second(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.setblocking(False)
        deaf.bind(("127.0.0.1", 0))
        script = placed(block("replies") + block("htable"), deaf.getsockname()[1], tmp_path) + ROUTE
        with running_kamailio(script) as kamailio:
            hosts = [f"{number}.example" for number in range(30)]
            assert await statuses(kamailio, hosts) == dict.fromkeys(hosts, 503)
            asked = []
            with suppress(BlockingIOError):
                while True:
                    asked.append(deaf.recv(512))
            assert asked
            assert sum(b"ready.invalid" not in frame for frame in asked) < len(hosts)


@pytest.mark.server("kamailio")
async def test_htable_lines_keep_what_is_not_hosted_in_slots_of_a_fixed_number(tmp_path: Path) -> None:
    port = free_port()
    script = placed(block("replies") + block("htable"), port, tmp_path) + ROUTE
    hosts = [f"{number}.example" for number in range(60)]
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        generous = {"source_rate": 1000.0, "zone_rate": 1000.0}
        async with open_service(config_at(lab, port, limits=generous)) as service:
            with running_kamailio(script) as kamailio:
                for host in hosts:
                    await until_true(partial(is_not_here, kamailio, host))
                    await until_true(partial(is_not_here, kamailio, host))
                assert service.counters()["pdb.replies.not_hosted"] < 2 * len(hosts)
                async with trio.open_nursery() as nursery:
                    with open_rpc(parse_target(kamailio.rpc)) as client:
                        nursery.start_soon(client.receive)
                        dump = await client.call("htable.dump", ["elsewhere"])
                        nursery.cancel_scope.cancel()
    assert isinstance(dump, Done)
    entries = [slot for bucket in dump.result for slot in bucket["slot"]]
    assert {entry["value"] for entry in entries} & set(hosts)
    assert all(0 <= int(entry["name"]) < 4096 for entry in entries)


@pytest.mark.server("kamailio")
@either_policy
@pytest.mark.parametrize(("language", "suffix"), [("python", "py"), ("lua", "lua")])
async def test_kemi_script_answers_by_verdict_and_without_daemon_does_as_told(
    language: str, suffix: str, policy: str, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / f"vhosts.{suffix}").write_text(placed(block(language, policy), port, tmp_path))
    client = f"fastvhost_pdb.{suffix}"
    (tmp_path / client).write_text((CLIENTS / client).read_text())
    async with open_lab([ZONE], unknown="nxdomain") as lab:
        lab.faults = FAULTS
        with running_kamailio(placed(block(f"{language} cfg"), port, tmp_path)) as kamailio:
            for _ in range(2):
                async with open_service(config_at(lab, port)) as service:
                    await until_statuses(kamailio, STATUS)
                    await until_true(lambda: is_told_when_to_try_again(kamailio, "broken.example"))
                    assert service.counters()["pdb.replies.pending"] > 0
                hosts = ["hosted.example", "other.example"]
                assert await statuses(kamailio, hosts) == dict.fromkeys(hosts, WITHOUT_ANSWER[policy])
