"""Learning: which of the hosts that DNS finds ours become known domains, and as what."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from fastvhost.config import Domains, LearnMode
from fastvhost.domains import learner as subject
from fastvhost.domains.attributes import OWNER_PREFIX, AttributeRules
from fastvhost.domains.consent import domain_token
from fastvhost.domains.learner import Learner
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.rows import MAX_DOMAIN
from fastvhost.domains.stored import OperatorDids
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.domains.text import TextRecords
from fastvhost.model import Finding, VerdictKind

FOUND = Finding(kind=VerdictKind.HOSTED, ttl=60.0, reason="A 203.0.113.10")
SECRET = b"0123456789abcdef0123456789abcdef"
ACTIVE, PENDING = DomainState.ACTIVE, DomainState.PENDING


def first_record(host: str, finding: Finding) -> DomainRecord:
    return DomainRecord(
        domain=host,
        state=ACTIVE,
        first_seen=1.0,
        last_seen=1.0,
        last_verified=1.0,
        next_check=1.0,
        evidence=finding.reason,
    )


class Bench:
    """A learner whose DNS is `texts`: strings by domain; a missing domain publishes none, None fails."""

    def __init__(self, secret: bytes | None = None, **domains: Any) -> None:
        config = Domains(store="", **domains)
        self.table = DomainTable(config)
        self.texts: dict[str, tuple[str, ...] | None] = {}
        self.asked: list[str] = []
        self.kept: dict[str, DomainRecord] = {}
        self.has_room = True
        self.gate: trio.Event | None = None
        self.under_way = self.most_under_way = 0
        self.learner = Learner(
            config,
            AttributeRules(),
            secret=secret,
            table=self.table,
            registrable_domain=lambda host: ".".join(host.split(".")[-2:]),
            first_record=first_record,
            keep=self._keep,
            ask_text=self._ask_text,
        )

    def _keep(self, record: DomainRecord) -> bool:
        if self.has_room:
            self.kept[record.domain] = record
        return self.has_room

    async def _ask_text(self, name: str) -> TextRecords | None:
        domain = name.removeprefix(OWNER_PREFIX)
        self.asked.append(domain)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        strings = self.texts.get(domain, ())
        if strings is None:
            return None
        record = [string.encode() for string in ("v=vhost1", *strings)]
        return TextRecords(records=[record] if strings else [], authentic=False)

    async def find(self, *hosts: str) -> None:
        """Find hosts, and read all that is to be read of them."""
        for host in hosts:
            self.learner.found(host, FOUND)
        await self.read()

    async def read(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.learner.run)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    @property
    def states(self) -> Mapping[str, DomainState]:
        return {domain: record.state for domain, record in self.kept.items()}

    def knows(self, host: str) -> bool:
        return self.table.standing(host) is Standing.LEARNED


# Modes


async def test_open_host_is_known_at_once_and_kept_with_its_attributes_soon() -> None:
    bench = Bench()
    bench.texts["a.test"] = ("max-calls=7", "nonsense=1")
    bench.learner.found("a.test", FOUND)
    assert bench.knows("a.test")
    assert not bench.asked, "nobody waits for TXT"
    await bench.read()
    record = bench.kept["a.test"]
    assert (record.state, record.did, record.evidence) == (ACTIVE, None, FOUND.reason)
    assert [(one.name, one.value) for one in record.attributes] == [("dns.max-calls", "7")]
    assert bench.learner.counters.learned == 1


async def test_off_learns_nothing() -> None:
    bench = Bench(learn=LearnMode.OFF)
    await bench.find("a.test")
    assert (bench.asked, bench.kept, len(bench.table)) == ([], {}, 0)


async def test_approve_keeps_pending_and_knows_nothing() -> None:
    bench = Bench(learn=LearnMode.APPROVE)
    await bench.find("a.test")
    assert bench.states == {"a.test": PENDING}
    assert not bench.knows("a.test")
    assert bench.learner.counters.pending == 1


async def test_token_takes_its_own_and_refuses_another_s_and_none() -> None:
    bench = Bench(SECRET, learn=LearnMode.TOKEN)
    token = f"token={domain_token('good.test', SECRET)}"
    bench.texts = {"good.test": (token,), "bad.test": (token,)}
    bench.learner.found("good.test", FOUND)
    assert not bench.knows("good.test"), "not before its token was read"
    await bench.find("bad.test", "none.test")
    assert bench.states == {"good.test": ACTIVE}
    assert [bench.knows(host) for host in ("good.test", "bad.test", "none.test")] == [True, False, False]
    assert bench.learner.counters.refused == 2


# DNS fails


async def test_open_with_failing_txt_learns_without_attributes() -> None:
    bench = Bench()
    bench.texts["a.test"] = None
    await bench.find("a.test")
    assert bench.kept["a.test"] == first_record("a.test", FOUND)


async def test_token_with_failing_txt_is_undecided_and_asked_again_at_the_next_finding() -> None:
    bench = Bench(SECRET, learn=LearnMode.TOKEN)
    bench.texts["a.test"] = None
    await bench.find("a.test")
    assert (bench.kept, bench.learner.counters.undecided, bench.learner.counters.refused) == ({}, 1, 0)
    bench.texts["a.test"] = (f"token={domain_token('a.test', SECRET)}",)
    await bench.find("a.test")
    assert bench.asked == ["a.test", "a.test"]
    assert bench.states == {"a.test": ACTIVE}


# The did


async def test_did_is_granted_only_when_both_sides_say_so() -> None:
    bench = Bench()
    bench.table.enter("main.test", Standing.LEARNED)
    bench.texts = {
        "main.test": ("alias=agreed.test",),
        "agreed.test": ("did=main.test",),
        "alone.test": ("did=main.test",),
        "stray.test": ("did=elsewhere.test",),
    }
    await bench.find("agreed.test", "alone.test", "stray.test")
    dids = {domain: record.did for domain, record in bench.kept.items()}
    assert dids == {"agreed.test": "main.test", "alone.test": None, "stray.test": None}
    assert "elsewhere.test" not in bench.asked, "what is not ours grants nothing"


async def test_checked_domain_keeps_its_did_while_the_other_s_txt_fails_and_loses_it_when_that_is_gone() -> (
    None
):
    bench = Bench()
    bench.table.enter("main.test", Standing.LEARNED)
    bench.texts = {"main.test": ("alias=a.test",), "a.test": ("did=main.test",)}
    await bench.find("a.test")
    record = bench.kept["a.test"]
    bench.texts = {"main.test": None, "a.test": ("did=main.test", "max-calls=7")}
    record = await bench.learner.with_attributes(record)
    assert (record.did, len(record.attributes)) == ("main.test", 1)
    bench.texts["a.test"] = None
    assert await bench.learner.with_attributes(record) == record
    bench.texts = {"a.test": ("did=main.test",)}
    assert (await bench.learner.with_attributes(record)).did is None


@pytest.mark.parametrize("texts", [{"a.test": None}, {"a.test": ("did=main.test",), "main.test": None}])
async def test_failing_dns_does_not_let_a_new_domain_into_an_operator_s_virtual_domain(
    texts: dict[str, tuple[str, ...] | None], caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.table.enter("main.test", Standing.LEARNED)
    bench.texts = texts
    bench.learner.operator_dids = OperatorDids(of_attributes=frozenset({"a.test"}))
    await bench.find("a.test")
    assert bench.states == {"a.test": PENDING}
    assert ["no row: a.test" in entry.getMessage() for entry in caplog.records] == [True]


async def test_learned_domain_stays_when_the_operator_adds_an_attribute_to_it() -> None:
    bench = Bench()
    bench.texts["a.test"] = ("max-calls=7",)
    await bench.find("a.test")
    bench.learner.operator_dids = OperatorDids(of_attributes=frozenset({"a.test"}))
    kept = bench.kept["a.test"]
    assert await bench.learner.with_attributes(kept) == kept
    joined = await bench.learner.with_attributes(replace(kept, did="main.test"))
    assert joined.state is PENDING, "leaving another's virtual domain is not to enter the operator's"
    bench.learner.operator_dids = OperatorDids(of_domains=frozenset({"a.test"}))
    assert (await bench.learner.with_attributes(kept)).state is PENDING, "a row of `domain` is not for it"


async def test_operator_s_did_counts_also_while_txt_fails() -> None:
    bench = Bench(did={"a.test": "customer7"})
    bench.texts["a.test"] = None
    await bench.find("a.test")
    assert bench.kept["a.test"].did == "customer7"


# Quotas and bounds


async def test_quota_of_a_zone_takes_so_many_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(learn_per_zone=3)
    await bench.find(*(f"h{number}.wild.test" for number in range(2)), "a.other.test")
    assert len(bench.kept) == 3
    await bench.find("h2.wild.test")
    assert bench.learner.counters.over_quota == 0
    assert not caplog.records
    bench = Bench(learn_per_zone=3)
    await bench.find(*(f"h{number}.wild.test" for number in range(5)), "a.else.example")
    assert set(bench.kept) == {"h0.wild.test", "h1.wild.test", "h2.wild.test", "a.else.example"}
    assert bench.learner.counters.over_quota == 2
    assert [entry.getMessage() for entry in caplog.records] == [
        "wild.test has 3 learned names, the most that learn_per_zone allows"
    ]


async def test_quota_of_all_takes_so_many_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(learn_most=3)
    await bench.find("a.test", "b.test")
    await bench.find("c.test")
    assert (len(bench.kept), len(caplog.records)) == (3, 0)
    await bench.find("d.test", "e.test")
    assert (len(bench.kept), bench.learner.counters.over_quota) == (3, 2)
    assert [entry.getMessage() for entry in caplog.records] == [
        "3 learned names, the most that domains.learn_most allows"
    ]


async def test_name_that_leaves_makes_room_in_both_quotas() -> None:
    bench = Bench(learn_per_zone=1, learn_most=1)
    await bench.find("a.wild.test", "b.wild.test")
    assert set(bench.kept) == {"a.wild.test"}
    bench.learner.leave("a.wild.test")
    await bench.find("b.wild.test")
    assert set(bench.kept) == {"a.wild.test", "b.wild.test"}


async def test_what_was_learned_before_counts_once_towards_the_quota() -> None:
    bench = Bench(learn_per_zone=3)
    for host in ("a.wild.test", "b.wild.test"):
        bench.table.enter(host, Standing.LEARNED)
    bench.learner.count_known(bench.learner.zones_of(["a.wild.test", "b.wild.test"]))
    bench.learner.enter("a.wild.test")
    await bench.find("c.wild.test", "d.wild.test")
    assert set(bench.kept) == {"c.wild.test"}


async def test_name_too_long_for_the_table_is_not_learned_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for length in (MAX_DOMAIN - 1, MAX_DOMAIN, MAX_DOMAIN + 1, MAX_DOMAIN + 2):
        await bench.find(f"{'a' * 40}.{'b' * (length - 46)}.zone")
    assert sorted(len(host) for host in bench.kept) == [MAX_DOMAIN - 1, MAX_DOMAIN]
    assert (bench.learner.counters.too_long, len(caplog.records)) == (2, 1)


async def test_waiting_hosts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_MOST_WAITING", 3)
    bench = Bench()
    await bench.find("a.test", "b.test")
    await bench.find("c.test", "d.test", "e.test", "f.test")
    assert set(bench.kept) == {f"{letter}.test" for letter in "abcde"}
    assert bench.learner.counters.no_room == 1
    assert not bench.knows("f.test")
    await bench.find("f.test")
    assert bench.knows("f.test")


@pytest.mark.parametrize("count", [7, 8, 9, 30])
async def test_side_by_side_are_at_most_eight(count: int) -> None:
    bench = Bench(learn_per_zone=100)
    bench.gate = trio.Event()
    for number in range(count):
        bench.learner.found(f"h{number}.test", FOUND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.learner.run)
        await wait_all_tasks_blocked()
        assert bench.under_way == min(count, 8)
        bench.gate.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(bench.kept) == count
    assert bench.most_under_way == min(count, 8)


async def test_host_found_again_while_it_is_read_is_read_once() -> None:
    bench = Bench(learn=LearnMode.APPROVE)
    await bench.find("a.test", "a.test")
    assert bench.asked == ["a.test"]


async def test_full_store_queue_leaves_the_host_unknown_so_that_it_is_found_again() -> None:
    bench = Bench(learn_per_zone=1)
    bench.has_room = False
    await bench.find("a.test")
    assert not bench.knows("a.test")
    assert (bench.learner.counters.no_room, bench.learner.counters.learned) == (1, 0)
    bench.has_room = True
    await bench.find("a.test")
    assert bench.knows("a.test")
    assert bench.states == {"a.test": ACTIVE}


# The operator's no


@pytest.mark.parametrize("learn", [LearnMode.OPEN, LearnMode.APPROVE])
async def test_rejected_name_is_not_asked_and_stays_rejected(learn: LearnMode) -> None:
    bench = Bench(learn=learn)
    bench.table.enter("a.test", Standing.REJECTED)
    await bench.find("a.test")
    assert (bench.asked, bench.kept) == ([], {})
    assert bench.table.standing("a.test") is Standing.REJECTED


async def test_name_rejected_while_its_txt_is_read_stays_rejected() -> None:
    bench = Bench()
    bench.gate = trio.Event()
    bench.learner.found("a.test", FOUND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.learner.run)
        await wait_all_tasks_blocked()
        bench.table.enter("a.test", Standing.REJECTED)
        bench.gate.set()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.kept == {}
    assert bench.table.standing("a.test") is Standing.REJECTED


async def test_cancelled_learner_keeps_nothing_half_read_and_frees_its_places() -> None:
    bench = Bench(learn=LearnMode.APPROVE)
    bench.gate = trio.Event()
    await bench.find(*(f"h{number}.test" for number in range(8)))
    assert (bench.kept, len(bench.asked)) == ({}, 8)
    bench.gate = None
    await bench.find("h0.test", "b.test")
    assert set(bench.kept) == {"h0.test", "b.test"}
