"""Known domains in a running service: learned, stored, followed, checked, lost; on real DNS and SQLite."""

import sqlite3
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fastvhost.config import AttributeType, Config, LearnMode
from fastvhost.domains.consent import domain_token
from fastvhost.domains.record import Attribute, DecidedBy, DomainRecord, DomainState
from fastvhost.domains.store import Store
from fastvhost.errors import ConfigError, StoreError
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tests.kamailio_server import Kamailio, create_tables, domain_script, running_kamailio
from tests.support import ZONE, config_on, until, until_true
from tools.dnslab import Effect, Fault, Lab, open_lab, parse_zone

PUBLISHED = parse_zone("""
$ORIGIN pub.test.
$TTL 60
@ SOA ns h 1 2 3 4 60
@ NS ns
_sip._udp.a SRV 0 0 5060 edge.example.
_vhost._sip.a TXT "v=vhost1" "max-calls=7" "nonsense=1"
""")


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'proxy.db'}"


def config(lab: Lab, folder: Path, **sections: dict[str, object]) -> Config:
    domains = {"store": url(folder), "poll": 0.1} | sections.pop("domains", {})
    return config_on(lab, domains=domains, **sections)


def rows(
    folder: Path, statement: str = "SELECT domain FROM domain ORDER BY domain"
) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "proxy.db") as connection:
        return connection.execute(statement).fetchall()


async def stored(service: Service) -> None:
    await until(lambda: service.counters()["domains.learned"] > 0)
    await until(lambda: service.counters()["domains.queued"] == 0)


def record(domain: str, state: DomainState = DomainState.ACTIVE) -> DomainRecord:
    return DomainRecord(
        domain=domain,
        state=state,
        decided_by=DecidedBy.OPERATOR,
        first_seen=0.0,
        last_seen=0.0,
        last_verified=0.0,
        next_check=4e9,
    )


def put(folder: Path, *records: DomainRecord) -> None:
    """What the command line, or another daemon, does."""
    store = Store(url(folder), proxy="kamailio")
    try:
        store.prepare()
        store.put(records)
    finally:
        store.close()


async def test_hosted_domain_is_learned_at_once_stored_soon_and_known_after_a_restart(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        async with open_service(config(lab, tmp_path)) as service:
            assert (await service.lookup("hosted.example")).kind is VerdictKind.HOSTED
            again = await service.lookup("hosted.example")
            assert (again.kind, again.reason) == (VerdictKind.HOSTED, "learned from DNS")
            await stored(service)
            assert rows(tmp_path) == [("hosted.example",)]
        lab.clear_counts()
        async with open_service(config(lab, tmp_path)) as service:
            verdict = await service.lookup("Hosted.Example.")
            assert (verdict.kind, verdict.reason) == (VerdictKind.HOSTED, "learned from DNS")
        assert lab.total == 0


async def test_domain_learned_just_before_the_end_is_stored(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        async with open_service(config(lab, tmp_path)) as service:
            await service.lookup("hosted.example")
            await until(lambda: service.counters()["domains.learned"] == 1)
        assert rows(tmp_path) == [("hosted.example",)]


async def test_not_hosted_domain_leaves_no_row(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path)) as service:
        await service.lookup("elsewhere.example")
        await service.lookup("hosted.example")
        await stored(service)
        assert rows(tmp_path) == [("hosted.example",)]


async def test_learn_off_keeps_nothing(tmp_path: Path) -> None:
    settings = {"learn": LearnMode.OFF}
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path, domains=settings)) as service:
        await service.lookup("hosted.example")
        assert (await service.lookup("hosted.example")).reason != "learned from DNS"
        assert rows(tmp_path) == []


async def test_learn_approve_waits_for_the_operator_and_follows_his_word(tmp_path: Path) -> None:
    settings = {"learn": LearnMode.APPROVE}
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path, domains=settings)) as service:
        await service.lookup("hosted.example")
        await until(lambda: service.counters()["domains.pending"] == 1)
        await until(lambda: service.counters()["domains.queued"] == 0)
        assert rows(tmp_path) == []
        put(tmp_path, record("hosted.example"))
        assert rows(tmp_path) == [("hosted.example",)]
        await until_true(partial(is_because, service, "learned from DNS"))
        put(tmp_path, record("hosted.example", DomainState.REJECTED))
        await until_true(partial(is_because, service, "rejected by the operator"))
        assert (await service.lookup("hosted.example")).kind is VerdictKind.NOT_HOSTED
        assert rows(tmp_path) == []


async def is_because(service: Service, reason: str) -> bool:
    return (await service.lookup("hosted.example")).reason == reason


async def test_pending_domains_count_towards_the_quota_and_are_found_once(tmp_path: Path) -> None:
    wildcard = parse_zone("$ORIGIN wild.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\n* A 203.0.113.10\n")
    sections = {
        "domains": {"learn": LearnMode.APPROVE, "learn_per_zone": 2},
        "cache": {"hosted_ttl": (0.01, 0.01)},
    }
    async with open_lab([wildcard]) as lab, open_service(config(lab, tmp_path, **sections)) as service:
        for number in (1, 2, 3, 1, 2):
            assert (await service.lookup(f"h{number}.wild.test")).kind is VerdictKind.HOSTED
            await until(lambda: service.counters()["domains.queued"] == 0)
            await until(lambda: service.counters()["domains.pending"] >= 1)
        await until(lambda: service.counters()["domains.over_quota"] >= 1)
        assert service.counters()["domains.pending"] == 2


async def test_learn_token_takes_only_a_domain_that_publishes_its_own(tmp_path: Path) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_bytes(secret)
    zone = f"""
$ORIGIN tok.test.
$TTL 60
@ SOA ns h 1 2 3 4 60
@ NS ns
_sip._udp.good SRV 0 0 5060 edge.example.
_sip._udp.bad SRV 0 0 5060 edge.example.
_vhost._sip.good TXT "v=vhost1" "token={domain_token("good.tok.test", secret)}"
_vhost._sip.bad TXT "v=vhost1" "token={domain_token("good.tok.test", secret)}"
"""
    settings = {"learn": LearnMode.TOKEN, "secret_file": str(tmp_path / "secret")}
    zones = [ZONE, parse_zone(zone)]
    async with open_lab(zones) as lab, open_service(config(lab, tmp_path, domains=settings)) as service:
        assert (await service.lookup("bad.tok.test")).kind is VerdictKind.HOSTED
        assert (await service.lookup("good.tok.test")).kind is VerdictKind.HOSTED
        await stored(service)
        await until(lambda: service.counters()["domains.refused"] == 1)
    assert rows(tmp_path) == [("good.tok.test",)]


async def test_token_mode_without_secret_is_one_clear_line(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        settings = {"learn": LearnMode.TOKEN, "secret_file": str(tmp_path / "none")}
        with pytest.raises(ConfigError, match=r"domains\.secret_file: .*none: No such file"):
            async with open_service(config(lab, tmp_path, domains=settings)):
                pytest.fail("it started")


async def test_published_attributes_become_rows_under_the_prefix(tmp_path: Path) -> None:
    async with open_lab([ZONE, PUBLISHED]) as lab, open_service(config(lab, tmp_path)) as service:
        await service.lookup("a.pub.test")
        await stored(service)
        attributes = rows(tmp_path, "SELECT did, name, type, value FROM domain_attrs")
    assert attributes == [("a.pub.test", "dns.max-calls", 0, "7")]


async def test_operator_s_row_is_hosted_without_dns_and_never_touched(tmp_path: Path) -> None:
    put(tmp_path)
    with sqlite3.connect(tmp_path / "proxy.db") as connection:
        connection.execute("INSERT INTO domain (domain, did) VALUES ('Mine.Example', 'mine')")
    before = rows(tmp_path, "SELECT * FROM domain")
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path)) as service:
        verdict = await service.lookup("mine.example")
        assert (verdict.kind, verdict.reason) == (VerdictKind.HOSTED, "a row of the proxy's own table")
        assert lab.total == 0
        put(tmp_path, record("mine.example", DomainState.REMOVED))
    assert rows(tmp_path, "SELECT * FROM domain") == before


async def test_domain_that_leaves_dns_is_disabled_after_its_negatives_and_not_hosted_then(
    tmp_path: Path,
) -> None:
    gone = parse_zone("$ORIGIN example.\n$TTL 1\n@ SOA ns h 1 2 3 4 1\n@ NS ns\n")
    sections = {
        "housekeeping": {"negatives": 2, "over": 0.0, "check_floor": 10.0, "check_ceiling": 10.0},
        "cache": {"hosted_ttl": (0.1, 0.2), "not_hosted_ttl": (0.1, 0.2), "stale": 0.0},
    }
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path, **sections)) as service:
        await service.lookup("hosted.example")
        await stored(service)
        lab.faults = [Fault(effect=Effect.SERVFAIL)]
        due_now(tmp_path)
        await until(lambda: known(tmp_path).failures == 1)
        assert rows(tmp_path) == [("hosted.example",)], "a failure counts for nothing"
        lab.faults = []
        lab.replace_zones([gone])
        due_now(tmp_path)
        await until(lambda: known(tmp_path).negatives == 1)
        assert rows(tmp_path) == [("hosted.example",)], "nor does one negative"
        due_now(tmp_path, negative_since=0.0)
        await until(lambda: rows(tmp_path) == [])
        assert known(tmp_path).state is DomainState.DISABLED
        await until(lambda: service.counters()["domains.known"] == 0)
        assert (await service.lookup("hosted.example")).kind is VerdictKind.NOT_HOSTED


def known(folder: Path) -> DomainRecord:
    store = Store(url(folder), proxy="kamailio")
    try:
        record = store.get("hosted.example")
    finally:
        store.close()
    assert record is not None
    return record


def due_now(folder: Path, **changes: float) -> None:
    """As if the time had passed that housekeeping waits."""
    put(folder, replace(known(folder), next_check=1.0, **changes))


@pytest.mark.parametrize(
    ("quota", "told"),
    [
        ("learn_per_zone", "many.test has 3 learned names, the most that learn_per_zone allows"),
        ("learn_most", "3 learned names, the most that domains.learn_most allows"),
    ],
)
async def test_at_the_quota_hosted_is_still_answered_nothing_stored_and_the_operator_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, quota: str, told: str
) -> None:
    names = "\n".join(f"h{number} A 203.0.113.10" for number in range(6))
    many = parse_zone(f"$ORIGIN many.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\n{names}\n")
    settings = {quota: 3}
    async with open_lab([many]) as lab, open_service(config(lab, tmp_path, domains=settings)) as service:
        for number in range(6):
            assert (await service.lookup(f"h{number}.many.test")).kind is VerdictKind.HOSTED
            # While a wildcard is suspected nothing is learned.
            await until(lambda: service.counters()["wildcards.under_way"] == 0)
        await until(lambda: service.counters()["domains.learned"] == 3)
        await until(lambda: service.counters()["domains.queued"] == 0)
        assert service.counters()["domains.over_quota"] == 3
        for number in range(6):
            assert (await service.lookup(f"h{number}.many.test")).kind is VerdictKind.HOSTED
    assert rows(tmp_path) == [("h0.many.test",), ("h1.many.test",), ("h2.many.test",)]
    assert [entry.getMessage() for entry in caplog.records if "learned names" in entry.getMessage()] == [told]


async def test_two_services_on_one_store_share_what_they_learn_without_duplicates(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        settings = config(lab, tmp_path)
        async with open_service(settings) as first, open_service(settings) as second:
            await first.lookup("hosted.example")
            await stored(first)
            await until(lambda: second.counters()["domains.known"] == 1)
            asked = lab.total
            assert (await second.lookup("hosted.example")).reason == "learned from DNS"
            assert lab.total == asked
            await second.lookup("address.example")
            await first.lookup("address.example")
            await until(lambda: len(rows(tmp_path)) == 2)
    assert rows(tmp_path) == [("address.example",), ("hosted.example",)]


async def test_store_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab:
        for store in ("nonsense", f"sqlite:///{tmp_path}/none/proxy.db", "oracle://x"):
            with pytest.raises(StoreError):
                async with open_service(config(lab, tmp_path, domains={"store": store})):
                    pytest.fail("it started")


@pytest.mark.server("kamailio")
@pytest.mark.parametrize("unix", [False, True], ids=["udp", "unix"])
async def test_real_kamailio_serves_a_domain_that_appears_in_dns_and_no_more_when_it_has_left(
    tmp_path: Path, unix: bool
) -> None:
    database = tmp_path / "proxy.db"
    create_tables(database)
    gone = parse_zone("$ORIGIN example.\n$TTL 1\n@ SOA ns h 1 2 3 4 1\n@ NS ns\n")
    async with open_lab([gone]) as lab:
        with running_kamailio(domain_script(database), unix=unix) as kamailio:
            sections = {
                "proxies": {"kamailio": (kamailio.rpc,), "htable": "vh", "reload_interval": 1.0},
                "housekeeping": {"negatives": 1, "over": 0.0, "check_floor": 10.0, "check_ceiling": 10.0},
                "cache": {"not_hosted_ttl": (0.1, 0.2)},
            }
            async with open_service(config(lab, tmp_path, **sections)) as service:
                assert not await kamailio.is_local("hosted.example")
                lab.replace_zones([ZONE])
                await service.lookup("hosted.example")
                await until_true(lambda: kamailio.is_local("hosted.example"), within=15.0)
                await until_true(lambda: has(kamailio, VerdictKind.HOSTED), within=15.0)
                lab.replace_zones([gone])
                due_now(tmp_path)
                await until(lambda: known(tmp_path).negatives == 1)
                due_now(tmp_path, negative_since=0.0)
                await until_true(lambda: has(kamailio, None), within=15.0)
                await until_true(lambda: is_gone(kamailio), within=15.0)


async def has(kamailio: Kamailio, verdict: int | None) -> bool:
    return await kamailio.verdict("hosted.example") == verdict


async def is_gone(kamailio: Kamailio) -> bool:
    return not await kamailio.is_local("hosted.example")


async def test_text_of_a_learned_domain_is_what_it_publishes_before_and_after_a_restart(
    tmp_path: Path,
) -> None:
    async with open_lab([ZONE, PUBLISHED]) as lab:
        for _ in range(2):
            async with open_service(config(lab, tmp_path)) as service:
                keeper = service._keeper
                assert keeper is not None
                await service.lookup("a.pub.test")
                await until(lambda keeper=keeper: keeper.text("a.pub.test") == (b"max-calls=7",))
                assert keeper.text("hosted.example") == ()


async def test_text_of_a_domain_that_others_change_or_disable_follows(tmp_path: Path) -> None:
    attributes = (Attribute(name="dns.color", type=AttributeType.STRING, value="red"),)
    # Not due: a check under way would write back the attributes that it began with.
    plain = replace(record("one.test"), next_check=time.time() + 3_600.0)  # noqa: TID251 - what is stored
    dressed = replace(plain, attributes=attributes)
    async with open_lab([ZONE]) as lab, open_service(config(lab, tmp_path)) as service:
        keeper = service._keeper
        assert keeper is not None
        put(tmp_path, dressed)
        await until(lambda: keeper.text("one.test") == (b"color=red",))
        put(tmp_path, plain)
        await until(lambda: keeper.text("one.test") == ())
        put(tmp_path, dressed)
        await until(lambda: keeper.text("one.test") == (b"color=red",))
        put(tmp_path, replace(dressed, state=DomainState.DISABLED))
        await until(lambda: keeper.text("one.test") == ())
