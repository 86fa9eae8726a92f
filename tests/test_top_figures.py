"""From two looks to rates and levels, as values."""

import pytest

from fastvhost.admin.exposition import exposition
from fastvhost.faces.latency import Latencies
from fastvhost.model import VerdictKind
from fastvhost.top.figures import FaceRates, LaneLevel, levels, rates
from fastvhost.top.metrics import UnreadableError
from fastvhost.top.scrape import read_scrape
from tests.top_scrapes import BUILD, scrape


def test_rates_are_differences_a_second() -> None:
    before = {
        "pdb.replies.hosted": 1_000,
        "dns.replies.not_hosted": 50,
        "pdb.repeated": 900,
        "lookup.hits_hosted": 100,
        "lookup.limited_zone": 4,
        "upstream.udp": 60,
        "upstream.tcp": 1,
        "upstream.outcome.NXDOMAIN": 50,
        "upstream.outcome.time-out": 0,
        "upstream.outcome.NOERROR": 7,
        "process.cpu": 1.0,
    }
    after = {
        "pdb.replies.hosted": 1_180,
        "dns.replies.not_hosted": 70,
        "pdb.repeated": 1_060,
        "lookup.hits_hosted": 120,
        "lookup.limited_zone": 14,
        "upstream.udp": 80,
        "upstream.tcp": 3,
        "upstream.outcome.NXDOMAIN": 52,
        "upstream.outcome.time-out": 20,
        "upstream.outcome.NOERROR": 7,
        "process.cpu": 2.5,
    }
    found = rates(scrape(10.0, before), scrape(12.0, after))
    assert found is not None
    assert found.seconds == 2
    assert found.replies == dict.fromkeys(VerdictKind, 0.0) | {
        VerdictKind.HOSTED: 90.0,
        VerdictKind.NOT_HOSTED: 10.0,
    }
    assert found.total == 100
    assert found.hit_rate == pytest.approx(0.9)
    assert found.refused == {"zone": 5.0}
    assert found.upstream == 11
    assert list(found.answers.items()) == [("time-out", 10.0), ("NXDOMAIN", 1.0)]
    assert found.cpu == 0.75
    assert found.troubles == []


def test_first_look_makes_no_rates() -> None:
    assert rates(None, scrape(1.0, {})) is None


def test_two_looks_at_one_instant_make_no_rates() -> None:
    assert rates(scrape(1.0, {}), scrape(1.0, {})) is None


def test_daemon_that_was_started_between_two_looks_makes_no_rates() -> None:
    before = scrape(1.0, {"pdb.replies.hosted": 10})
    restarted = scrape(3.0, {"pdb.replies.hosted": 1_000_000, "process.start": 1_795_425_000.0})
    assert rates(before, restarted) is None
    again = rates(restarted, scrape(5.0, {"pdb.replies.hosted": 1_000_010, "process.start": 1_795_425_000.0}))
    assert again is not None
    assert again.total == 5


def test_counter_that_fell_within_a_process_began_anew() -> None:
    found = rates(scrape(1.0, {"pdb.replies.hosted": 500}), scrape(3.0, {"pdb.replies.hosted": 8}))
    assert found is not None
    assert found.total == 4


def test_no_replies_have_neither_hit_rate_nor_percentiles() -> None:
    found = rates(scrape(1.0, {}, {"pdb": Latencies()}), scrape(2.0, {}, {"pdb": Latencies()}))
    assert found is not None
    assert found.hit_rate is None
    assert found.faces == [FaceRates(name="pdb", replies=0.0, p50=None, p99=None)]


def test_percentiles_are_of_the_time_between_the_looks_alone() -> None:
    latencies = Latencies()
    latencies.observe(VerdictKind.HOSTED, 5.0, 1_000)
    before = scrape(1.0, {"pdb.replies.hosted": 1_000}, {"pdb": latencies})
    latencies.observe(VerdictKind.HOSTED, 0.0004, 90)
    latencies.observe(VerdictKind.NOT_HOSTED, 0.02, 10)
    found = rates(
        before, scrape(2.0, {"pdb.replies.hosted": 1_090, "pdb.replies.not_hosted": 10}, {"pdb": latencies})
    )
    assert found is not None
    (face,) = found.faces
    assert face.replies == 100
    assert face.p50 == pytest.approx(0.00025 + 0.00025 * 50 / 90)
    assert face.p99 == pytest.approx(0.01 + 0.015 * 9 / 10)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("pdb.dropped", "3 datagrams lost in full sockets"),
        ("domains.store_failures", "3 store failures"),
        ("domains.store_refused", "3 records lost: the store is behind"),
        ("lookup.walk_faults", "3 faults in walks: see the log"),
        ("domains.reload.failed", "3 proxy reloads failed"),
    ],
)
def test_counter_that_should_stand_still_is_said_when_it_grows(figure: str, said: str) -> None:
    found = rates(scrape(1.0, {figure: 2}), scrape(2.0, {figure: 5}))
    assert found is not None
    assert found.troubles == [said]
    still = rates(scrape(1.0, {figure: 5}), scrape(2.0, {figure: 5, "pdb.not_allowed": 9}))
    assert still is not None
    assert still.troubles == []


def test_levels_are_those_of_the_gauges() -> None:
    found = levels(
        scrape(
            1.0,
            {
                "process.resident": 65e6,
                "lookup.under_way": 12,
                "budget.unknown.tokens": -4.0,
                "budget.unknown.burst": 80.0,
                "budget.unknown.slots_free": 104,
                "budget.known.tokens": 5.0,
                "budget.known.burst": 10.0,
                "budget.known.slots_free": 26,
                "limit.limits.upstream_qps": 1_000,
                "limit.limits.upstream_inflight": 256,
                "limit.cache.hosted_entries": 10,
                "limit.cache.unknown_entries": 20,
                "cache.hosted_entries": 3,
                "cache.unknown_entries": 20,
                "domains.known": 44,
                "domains.queued": 2,
                "domains.braked": 1,
            },
        )
    )
    assert (found.version, found.started, found.resident) == ("0.1.0", 1_795_424_400, 65e6)
    assert (found.flights, found.in_flight, found.most_in_flight) == (12, 126, 256)
    assert found.most_upstream == 1_000
    assert found.lanes == [LaneLevel(name="unknown", share=0.0), LaneLevel(name="known", share=0.5)]
    assert (found.hosted, found.most_hosted, found.unknown, found.most_unknown) == (3, 10, 20, 20)
    assert (found.known, found.queued, found.braked) == (44, 2, True)


def test_levels_without_a_store_are_zero() -> None:
    found = levels(scrape(1.0, {}, not_ready="stopping"))
    assert (found.known, found.queued, found.braked, found.not_ready) == (0, 0, False, "stopping")


GOOD = {
    "at": 1.0,
    "metrics": exposition({}, {}, BUILD),
    "not_ready": None,
    "talkers": '{"sources": [{"name": "192.0.2.1/32", "asked": 3}], "zones": []}',
    "changes": '{"changes": [{"domain": "a.test", "state": "active", "at": "2026-11-23T08:40:00Z"}]}',
}


def test_scrape_is_read_from_what_the_admin_face_says() -> None:
    found = read_scrape(**GOOD)  # type: ignore[arg-type]
    assert [(one.name, one.asked) for one in found.sources] == [("192.0.2.1/32", 3)]
    assert [(one.domain, one.state, one.at) for one in found.changes] == [
        ("a.test", "active", "2026-11-23T08:40:00Z")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrics": "other_total 1\n"},
        {"metrics": "<html>"},
        {"talkers": "<html>"},
        {"talkers": "[]"},
        {"talkers": '{"sources": 1, "zones": []}'},
        {"talkers": '{"sources": [{"name": "x", "asked": "many"}], "zones": []}'},
        {"talkers": '{"sources": [{"name": 1, "asked": 1}], "zones": []}'},
        {"changes": '{"changes": ["x"]}'},
        {"changes": "[" * 100_000},
    ],
)
def test_answer_of_something_else_is_unreadable(wrong: dict[str, str]) -> None:
    with pytest.raises(UnreadableError):
        read_scrape(**GOOD | wrong)  # type: ignore[arg-type]
