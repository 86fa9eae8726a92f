"""Retractions: who changes its mind says so to every listener."""

from collections.abc import Callable

import pytest

from fastvhost.cache import VerdictCache
from fastvhost.config import Cache, Domains
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.model import Finding, VerdictKind
from fastvhost.retractions import Retractions

HOST = "example.com"


class Told:
    """What listeners hear."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.everything = 0
        self.retractions = Retractions()
        for _ in range(2):
            self.retractions.listen(host=self.hosts.append, everything=self._count)

    def _count(self) -> None:
        self.everything += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.enter(HOST, Standing.LEARNED),
        lambda table: table.leave(HOST),
        lambda table: table.enter(HOST, Standing.REJECTED),
        lambda table: table.replace_proxy_rows([HOST]),
    ],
    ids=["learned", "left", "rejected", "row"],
)
def test_table_that_changes_a_host_retracts_it(told: Told, change: Callable[[DomainTable], object]) -> None:
    table = DomainTable(Domains(), told.retractions)
    table.enter(HOST, Standing.PENDING)
    told.hosts.clear()
    change(table)
    assert told.hosts == [HOST, HOST]


def test_table_that_is_loaded_anew_retracts_everything(told: Told) -> None:
    DomainTable(Domains(), told.retractions).replace_all({})
    assert told.everything == 2


@pytest.mark.parametrize("kind", [VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED])
def test_cache_that_settles_a_host_retracts_what_was_said_before(told: Told, kind: VerdictKind) -> None:
    cache = VerdictCache(Cache(), told.retractions)
    cache.settle(HOST, Finding(kind=kind, ttl=10.0, reason=""), 0.0)
    assert told.hosts == [HOST, HOST]


@pytest.mark.parametrize(
    ("finding", "is_retracted"),
    [
        (Finding(kind=VerdictKind.HOSTED, ttl=100.0, reason=""), False),
        (Finding(kind=VerdictKind.HOSTED, ttl=9.0, reason=""), True),
        (Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason=""), False),
        (Finding(kind=VerdictKind.LIMITED, ttl=0.0, reason=""), False),
        (Finding(kind=VerdictKind.NOT_HOSTED, ttl=100.0, reason=""), True),
    ],
    ids=["confirmed", "confirmed-for-less", "failed", "limited", "refuted"],
)
def test_cache_that_looks_again_at_a_hosted_host_retracts_it_unless_the_answer_stands(
    told: Told, finding: Finding, is_retracted: bool
) -> None:
    """What is said of it ends at 100 s, and at 90 s it was looked up again."""
    cache = VerdictCache(Cache(hosted_ttl=(0.0, 1e6)), told.retractions)
    cache.settle(HOST, Finding(kind=VerdictKind.HOSTED, ttl=100.0, reason=""), 0.0)
    told.hosts.clear()
    cache.settle(HOST, finding, 90.0)
    assert told.hosts == [HOST, HOST] * is_retracted


@pytest.mark.parametrize("kind", [VerdictKind.HOSTED, VerdictKind.UNDETERMINED])
def test_cache_that_settles_a_host_past_its_ttl_retracts_it(told: Told, kind: VerdictKind) -> None:
    cache = VerdictCache(Cache(hosted_ttl=(0.0, 1e6), stale=50.0), told.retractions)
    cache.settle(HOST, Finding(kind=VerdictKind.HOSTED, ttl=100.0, reason=""), 0.0)
    for now in (100.0, 160.0):  # stale, and too old for that
        told.hosts.clear()
        cache.settle(HOST, Finding(kind=kind, ttl=1.0, reason=""), now)
        assert told.hosts == [HOST, HOST]


def test_cache_that_forgets_a_host_retracts_it(told: Told) -> None:
    VerdictCache(Cache(), told.retractions).forget(HOST)
    assert told.hosts == [HOST, HOST]


def test_listener_that_has_stopped_hears_nothing_and_others_do(told: Told) -> None:
    heard: list[str] = []
    stop = told.retractions.listen(host=heard.append, everything=lambda: heard.append("everything"))
    told.retractions.retract(HOST)
    stop()
    told.retractions.retract(HOST)
    told.retractions.retract_everything()
    assert heard == [HOST]
    assert told.hosts == [HOST] * 4


def test_table_whose_list_changes_retracts_everything(told: Told) -> None:
    DomainTable(Domains(), told.retractions).list_names(Domains(always=(HOST,)))
    assert told.everything == 2


def test_cache_that_doubts_retracts_the_host_or_everything(told: Told) -> None:
    cache = VerdictCache(Cache(), told.retractions)
    cache.doubt(HOST, 0.0)
    assert (told.hosts, told.everything) == ([HOST, HOST], 0)
    cache.doubt_everything(0.0)
    assert told.everything == 2
