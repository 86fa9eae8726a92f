"""The admin face of a running service, over real sockets and in a real browser."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from fastvhost import __version__
from fastvhost.admin import site
from fastvhost.admin.process import build
from fastvhost.config import Endpoint
from fastvhost.domains.table import Standing
from fastvhost.errors import ListenError
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.http_client import get
from tests.support import ZONE, PdbClient, config_on, free_endpoint, until
from tools.dnslab import Effect, Fault, Lab, open_lab


@asynccontextmanager
async def serving(lab: Lab, **sections: Any) -> AsyncIterator[tuple[Service, Endpoint]]:
    listen = {"admin": free_endpoint()} | sections.pop("listen", {})
    async with open_service(config_on(lab, listen=listen, **sections)) as service:
        assert service.admin_endpoint is not None
        yield service, service.admin_endpoint


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/explain?host=hosted.example", "application/json"),
        ("/sources", "application/json"),
        ("/changes", "application/json"),
    ],
)
async def test_path_is_answered_by_get_and_head(path: str, content_type: str) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        reply = await get(admin, path)
        head = await get(admin, path, method="HEAD")
    for one in (reply, head):
        assert one.status == 200
        assert one.headers["content-type"] == content_type
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in one.headers["content-security-policy"]
    assert reply.body
    assert head.body == b""


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/nothing", 404, "not here"),
        ("/metrics/", 404, "not here"),
        ("/domains", 404, "nothing is stored"),
        ("/explain", 400, "parameter 'host': missing"),
        ("/explain?host=", 400, "parameter 'host': missing"),
        ("/explain?host=a.test&source=nobody", 400, "'nobody' is no IP address"),
        ("/explain?host=a.test&walk=2", 400, "allowed: 0 or 1"),
        ("/explain?host=192.0.2.1&walk=1", 400, "no name"),
        ("/explain?hots=a.test", 400, "parameter 'hots': unknown; allowed: host, source, walk"),
        ("/sources?limit=0", 400, "allowed: 1 to 100"),
        ("/sources?limit=101", 400, "allowed: 1 to 100"),
        ("/sources?limit=%D9%A3", 400, "allowed: 1 to 100"),
        ("/metrics?x=1", 400, "parameter 'x': unknown; allowed: none"),
    ],
)
async def test_mistake_is_one_line_that_says_what_is_allowed(target: str, status: int, said: str) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        reply = await get(admin, target)
    assert (reply.status, reply.text.count("\n")) == (status, 1)
    assert said in reply.text


async def test_explain_says_what_is_believed_and_with_walk_what_dns_says() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (service, admin):
        unknown = (await get(admin, "/explain?host=Hosted.Example.")).json
        assert unknown == {
            "host": "hosted.example",
            "station": "unknown",
            "why": "whoever asks first starts a walk",
            "verdict": None,
            "behind": [],
            "stored": None,
            "store_error": "",
        }
        assert lab.total == 0
        walked = (await get(admin, "/explain?host=hosted.example&walk=1")).json
        assert walked["station"] == "unknown"
        assert (walked["walk"]["kind"], walked["walk"]["ttl"]) == ("HOSTED", 300)
        assert "SRV _sip._udp.hosted.example" in [step["question"] for step in walked["walk"]["steps"]]
        assert service.counters()["lookup.walks"] == 0
        await service.lookup("hosted.example")
        cached = (await get(admin, "/explain?host=hosted.example")).json
        assert cached["station"] == "cached"
        assert cached["verdict"]["kind"] == "HOSTED"
        assert 299 < cached["verdict"]["ttl"] <= 300
        service._lookup._table.enter("hosted.example", Standing.LEARNED)
        learned = (await get(admin, "/explain?host=hosted.example")).json
        assert (learned["station"], learned["verdict"]["ttl"]) == ("learned", None)
        assert [one["station"] for one in learned["behind"]] == ["cached"]
        assert learned["behind"][0]["verdict"]["ttl_from"]["ttl"] == 300
        kinds = [step["kind"] for step in learned["behind"][0]["verdict"]["steps"]]
        assert kinds[:3] == [None, None, "HOSTED"]


async def test_explain_says_what_is_stored_or_why_it_cannot(tmp_path: Path) -> None:
    async with (
        open_lab([ZONE]) as lab,
        serving(lab, domains={"store": f"sqlite:///{tmp_path}/x.db"}) as (service, admin),
    ):
        assert (await get(admin, "/explain?host=hosted.example")).json["stored"] is None
        await service.lookup("hosted.example")
        await until(lambda: service.counters()["domains.learned"] == 1)
        await until(lambda: service.counters()["domains.queued"] == 0)
        stored = (await get(admin, "/explain?host=Hosted.example.")).json["stored"]
        assert (stored["domain"], stored["state"]) == ("hosted.example", "active")
        assert (await get(admin, "/explain?host=203.0.113.10")).json["stored"] is None
        with sqlite3.connect(tmp_path / "x.db") as other:
            other.execute("ALTER TABLE fastvhost_domain RENAME TO away")
        other.close()
        broken = (await get(admin, "/explain?host=hosted.example")).json
        assert (broken["station"], broken["stored"]) == ("learned", None)
        assert "fastvhost_domain" in broken["store_error"]


async def test_walks_asked_for_here_are_four_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "_WALKS_AT_ONCE", 1)
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        lab.faults = [Fault(effect=Effect.DROP, name="slow.example")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, admin, "/explain?host=slow.example&walk=1")
            await until(lambda: lab.total > 0)
            refused = await get(admin, "/explain?host=hosted.example&walk=1")
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            nursery.cancel_scope.cancel()


async def test_host_that_a_stranger_chose_is_json_and_never_markup() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        reply = await get(admin, "/explain?host=%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E%00%22")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["host"] == '</script><script>alert(1)</script>\x00"'
    assert reply.json["station"] == "malformed"


async def test_domains_are_paged_by_name_and_state(tmp_path: Path) -> None:
    async with (
        open_lab([ZONE]) as lab,
        serving(lab, domains={"store": f"sqlite:///{tmp_path}/x.db", "poll": 0.1}) as (service, admin),
    ):
        names = ["address.example", "edge.example", "hosted.example"]
        for name in names:
            await service.lookup(name)
        await until(lambda: service.counters()["domains.learned"] == 3)
        await until(lambda: service.counters()["domains.queued"] == 0)
        first = (await get(admin, "/domains?limit=2&state=active")).json
        assert [one["domain"] for one in first["domains"]] == names[:2]
        assert first["next"] == names[1]
        second = (await get(admin, f"/domains?limit=2&after={first['next']}")).json
        assert ([one["domain"] for one in second["domains"]], second["next"]) == (names[2:], None)
        assert (await get(admin, "/domains?state=rejected")).json["domains"] == []
        for mistake in ("state=gone", "after=%00", "after=a_b", "limit=1001", "limit="):
            assert (await get(admin, f"/domains?{mistake}")).status == 400
        await until(lambda: len(service._keeper.recent.latest()) == 3)  # type: ignore[union-attr]
        page = (await get(admin, "/")).text
        assert all(name in page for name in names)
        changes = (await get(admin, "/changes")).json["changes"]
        assert {(one["domain"], one["state"]) for one in changes} == {(name, "active") for name in names}
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["at"]) for one in changes)


async def test_sources_are_listed_with_what_they_asked() -> None:
    async with open_lab([ZONE], unknown="nxdomain") as lab, serving(lab) as (service, admin):
        for number in range(3):
            await service.lookup(f"h{number}.bad.test", source="192.0.2.1")
        answer = (await get(admin, "/sources?limit=1")).json
    assert answer["sources"] == [{"name": "192.0.2.1/32", "asked": 3}]
    assert answer["zones"] == [{"name": "bad.test", "asked": 3}]


async def test_service_that_stops_is_healthy_and_not_ready_while_flights_land() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="slow.example", delay=1.0)]
        config = config_on(lab, listen={"admin": free_endpoint(), "answer_within": 5.0})
        replies: list[tuple[int, str]] = []

        async def watch(admin: Endpoint, service: Service) -> None:
            await until(lambda: service.stopped)
            for path in ("/readyz", "/healthz"):
                reply = await get(admin, path)
                replies.append((reply.status, reply.text))
            assert "\nfastvhost_ready 0\n" in (await get(admin, "/metrics")).text

        async with trio.open_nursery() as nursery, open_service(config) as service:
            assert service.admin_endpoint is not None
            assert service.pdb_endpoint is not None
            assert (await get(service.admin_endpoint, "/readyz")).text == "ready\n"
            assert "\nfastvhost_ready 1\n" in (await get(service.admin_endpoint, "/metrics")).text
            nursery.start_soon(watch, service.admin_endpoint, service)
            client = PdbClient(service.pdb_endpoint)
            nursery.start_soon(client.ask, "slow.example")
            await until(lambda: service.counters()["lookup.under_way"] == 1)
        client.socket.close()
    assert replies == [(503, "stopping: no more requests are taken\n"), (200, "ok\n")]


async def test_request_by_a_name_is_misdirected() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        assert (await get(admin, "/metrics", host="evil.example")).status == 421
        assert (await get(admin, "/metrics", host=f"localhost:{admin.port}")).status == 200


async def test_address_in_use_is_one_clear_error() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (_, admin):
        with pytest.raises(ListenError, match=f"cannot listen on TCP {admin}: Address already in use"):
            async with open_service(config_on(lab, listen={"admin": admin})):
                pass


async def test_daemon_answers_beside_a_flood_of_connections_to_its_admin_face() -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (service, admin):
        assert service.pdb_endpoint is not None
        await service.lookup("hosted.example")
        async with AsyncExitStack() as held:
            for _ in range(60):
                await held.enter_async_context(await trio.open_tcp_stream(*admin))
            await until(lambda: service.counters()["admin.no_room"] == 28)
            with PdbClient(service.pdb_endpoint) as client:
                assert await client.ask("hosted.example") is VerdictKind.HOSTED


CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
)


async def browse(folder: Path, *arguments: str) -> str:
    """What headless Chromium says, on stdout and stderr, of the last of `arguments`, an address."""
    command = [*CHROMIUM, f"--user-data-dir={folder}", *arguments]
    with trio.fail_after(60.0):
        ended = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return (ended.stdout + ended.stderr).decode(errors="replace")


@pytest.mark.server("chromium")
async def test_browser_runs_the_script_within_the_policy_and_the_figures_move(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab, serving(lab) as (service, admin):
        seen = await browse(
            tmp_path,
            "--enable-logging=stderr",
            "--virtual-time-budget=9000",
            "--dump-dom",
            f"http://{admin}/",
        )
        assert "Content Security Policy" not in seen
        assert "Replies a second" in seen
        assert 'class="gone"' not in seen
        assert service.counters()["admin.requests"] >= 3  # the page, and its script for it again
        assert service.counters()["admin.refused"] <= 1  # /favicon.ico


def test_version_of_the_metrics_is_the_one_of_the_package() -> None:
    assert build()["version"] in (__version__, "unknown")
    assert re.fullmatch(r"3\.\d+\.\d+.*", build()["python"])
