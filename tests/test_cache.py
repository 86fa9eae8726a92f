"""The cache of verdicts: how long each class lives, and who can push out whom."""

import sys
from collections.abc import Callable
from math import inf, nextafter

import pytest

from fastvhost import config
from fastvhost.cache import VerdictCache
from fastvhost.model import ABSENT, Finding, Step, Verdict, VerdictKind
from tests.support import as_kept

HOST = "example.com"
STEPS = (Step(depth=0, question="NAPTR example.com", rcode="NXDOMAIN"),)
BACK_OFF = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def just_before(instant: float) -> float:
    return nextafter(instant, -inf)


def hosted(ttl: float = 100.0) -> Finding:
    return Finding(kind=VerdictKind.HOSTED, ttl=ttl, reason="ours", steps=STEPS)


def not_hosted(ttl: float = 100.0) -> Finding:
    return Finding(kind=VerdictKind.NOT_HOSTED, ttl=ttl, reason="elsewhere", steps=STEPS)


FAILED = Finding(kind=VerdictKind.UNDETERMINED, ttl=inf, reason="SERVFAIL", steps=STEPS)
LIMITED = Finding(kind=VerdictKind.LIMITED, ttl=inf, reason="limits.upstream_qps is spent")


def cache(**limits: object) -> VerdictCache:
    return VerdictCache(config.Cache(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ttl", "lives"),
    [
        (0.0, 30.0),
        (29.0, 30.0),
        (30.0, 30.0),
        (31.0, 31.0),
        (86_399.0, 86_399.0),
        (86_400.0, 86_400.0),
        (86_401.0, 86_400.0),
        (2.0**32 - 1, 86_400.0),
        (inf, 86_400.0),
    ],
)
def test_settle_hosted_lives_within_its_floor_and_ceiling(ttl: float, lives: float) -> None:
    assert cache().settle(HOST, hosted(ttl), 1_000.0).expires == 1_000.0 + lives


@pytest.mark.parametrize(
    ("ttl", "lives"),
    [
        (0.0, 5.0),
        (4.0, 5.0),
        (5.0, 5.0),
        (6.0, 6.0),
        (3_599.0, 3_599.0),
        (3_600.0, 3_600.0),
        (3_601.0, 3_600.0),
        (inf, 3_600.0),
    ],
)
def test_settle_not_hosted_lives_within_its_floor_and_ceiling(ttl: float, lives: float) -> None:
    assert cache().settle(HOST, not_hosted(ttl), 1_000.0).expires == 1_000.0 + lives


@pytest.mark.parametrize("finding", [hosted(), not_hosted(), FAILED], ids=lambda finding: finding.kind.name)
def test_settle_any_finding_becomes_a_verdict_with_its_reason_and_steps(finding: Finding) -> None:
    verdict = cache().settle(HOST, finding, 0.0)
    assert (verdict.kind, verdict.host, verdict.reason, verdict.steps) == (
        finding.kind,
        HOST,
        finding.reason,
        finding.steps,
    )


def test_settle_ttl_zero_without_floor_is_over_at_once() -> None:
    verdicts = cache(hosted_ttl=(0.0, 60.0), not_hosted_ttl=(0.0, 60.0))
    verdicts.settle("no.example", not_hosted(0.0), 10.0)
    verdict = verdicts.settle("yes.example", hosted(0.0), 10.0)
    assert verdicts.unknown("no.example", 10.0) is None
    assert verdict.expires == 10.0
    entry = verdicts.hosted("yes.example")
    assert entry is not None
    assert entry.refresh_at == 10.0


def test_unknown_never_settled_is_none() -> None:
    assert cache().unknown(HOST, 0.0) is None
    assert cache().hosted(HOST) is None


@pytest.mark.parametrize("finding", [not_hosted(), FAILED], ids=lambda finding: finding.kind.name)
def test_unknown_at_the_instant_of_expiry_is_none(finding: Finding) -> None:
    verdicts = cache()
    verdict = verdicts.settle(HOST, finding, 7.0)
    assert verdicts.unknown(HOST, just_before(verdict.expires)) == as_kept(verdict)
    assert verdicts.unknown(HOST, verdict.expires) is None


def test_verdict_ttl_counts_down_to_zero_and_stays() -> None:
    verdict = cache().settle(HOST, not_hosted(100.0), 0.0)
    assert [verdict.ttl(now) for now in (0.0, 99.5, 100.0, 101.0)] == [100.0, 0.5, 0.0, 0.0]


def test_settle_hosted_after_not_hosted_replaces_it() -> None:
    verdicts = cache()
    verdicts.settle(HOST, not_hosted(), 0.0)
    verdict = verdicts.settle(HOST, hosted(), 1.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert entry.answer(1.0) is verdict
    assert verdicts.unknown(HOST, 1.0) is None
    assert verdicts.sizes() == (1, 0)


def test_settle_not_hosted_after_hosted_replaces_it() -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(), 0.0)
    verdict = verdicts.settle(HOST, not_hosted(), 1.0)
    assert verdicts.hosted(HOST) is None
    assert verdicts.unknown(HOST, 1.0) == as_kept(verdict)
    assert verdicts.sizes() == (0, 1)


def test_settle_failure_after_not_hosted_is_undetermined() -> None:
    verdicts = cache()
    verdicts.settle(HOST, not_hosted(5.0), 0.0)
    verdict = verdicts.settle(HOST, FAILED, 5.0)
    assert verdict.kind is VerdictKind.UNDETERMINED
    assert verdict.failures == 1
    assert verdicts.unknown(HOST, 5.5) == as_kept(verdict)


def test_settle_not_hosted_after_failure_replaces_it() -> None:
    verdicts = cache()
    verdicts.settle(HOST, FAILED, 0.0)
    verdict = verdicts.settle(HOST, not_hosted(), 1.0)
    assert verdicts.unknown(HOST, 1.0) == as_kept(verdict)
    assert verdict.failures == 0


def fail_in_a_row(verdicts: VerdictCache, times: int, now: float) -> list[Verdict]:
    """Each failure at the instant at which the one before it expires."""
    failures = []
    for _ in range(times):
        failures.append(verdicts.settle(HOST, FAILED, now))
        now = failures[-1].expires
    return failures


def test_settle_failures_in_a_row_back_off_to_a_minute() -> None:
    now, lives = 0.0, []
    for verdict in fail_in_a_row(cache(), len(BACK_OFF), 0.0):
        lives.append(verdict.expires - now)
        now = verdict.expires
    assert lives == BACK_OFF


def test_settle_a_thousand_failures_in_a_row_never_live_over_a_minute() -> None:
    failures = fail_in_a_row(cache(), 1_000, 0.0)
    assert failures[-1].expires - failures[-2].expires == 60.0
    assert failures[-1].failures == 1_000


@pytest.mark.parametrize(
    ("quiet", "failures"), [(0.0, 4), (just_before(60.0), 4), (60.0, 1), (61.0, 1), (1e6, 1)]
)
def test_settle_failure_after_a_quiet_minute_starts_over(quiet: float, failures: int) -> None:
    verdicts = cache()
    last = fail_in_a_row(verdicts, 3, -7.0)[-1]
    assert last.expires == 0.0
    verdict = verdicts.settle(HOST, FAILED, quiet)
    assert verdict.failures == failures
    assert verdict.expires == quiet + BACK_OFF[failures - 1]


@pytest.mark.parametrize("proof", [hosted(30.0), not_hosted(30.0)], ids=lambda finding: finding.kind.name)
def test_settle_failure_after_proof_starts_over(proof: Finding) -> None:
    verdicts = cache(stale=0.0)
    now = fail_in_a_row(verdicts, 5, 0.0)[-1].expires
    verdicts.settle(HOST, proof, now)
    assert verdicts.settle(HOST, FAILED, now + 30.0).expires == now + 31.0


def test_settle_limited_is_answered_and_not_kept() -> None:
    verdicts = cache()
    verdict = verdicts.settle(HOST, LIMITED, 3.0)
    assert (verdict.kind, verdict.expires) == (VerdictKind.LIMITED, 3.0)
    assert verdicts.sizes() == (0, 0)


def test_settle_limited_between_failures_does_not_count() -> None:
    verdicts = cache()
    now = fail_in_a_row(verdicts, 2, 0.0)[-1].expires
    verdicts.settle(HOST, LIMITED, now)
    assert verdicts.settle(HOST, FAILED, now).failures == 3


@pytest.mark.parametrize(("ttl", "refresh_at"), [(30.0, 27.0), (100.0, 90.0), (1_000.0, 900.0)])
def test_settle_hosted_is_refreshed_from_nine_tenths_of_its_ttl(ttl: float, refresh_at: float) -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(ttl), 0.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert entry.refresh_at == refresh_at


def test_answer_at_the_instant_of_expiry_is_stale() -> None:
    verdicts = cache(stale=1_000.0)
    verdict = verdicts.settle(HOST, hosted(100.0), 0.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert entry.answer(just_before(100.0)) is verdict
    stale = entry.answer(100.0)
    assert (stale.kind, stale.expires, stale.reason) == (VerdictKind.HOSTED, 130.0, "stale: ours")
    assert stale.steps == verdict.steps


@pytest.mark.parametrize(
    ("now", "expires"), [(1_069.0, 1_099.0), (1_070.0, 1_100.0), (1_071.0, 1_100.0), (1_099.5, 1_100.0)]
)
def test_answer_stale_never_lives_longer_than_stale_past_the_ttl(now: float, expires: float) -> None:
    verdicts = cache(stale=1_000.0)
    verdicts.settle(HOST, hosted(100.0), 0.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert entry.stale_until == 1_100.0
    assert entry.answer(now).expires == expires


def test_settle_failure_of_a_fresh_hosted_keeps_its_verdict() -> None:
    verdicts = cache()
    verdict = verdicts.settle(HOST, hosted(100.0), 0.0)
    assert verdicts.settle(HOST, FAILED, 90.0) is verdict
    assert verdicts.sizes() == (1, 0)


@pytest.mark.parametrize(("now", "served"), [(100.0, True), (just_before(1_100.0), True), (1_100.0, False)])
def test_settle_failure_of_an_expired_hosted_serves_it_until_stale_ends(now: float, served: bool) -> None:
    verdicts = cache(stale=1_000.0)
    verdicts.settle(HOST, hosted(100.0), 0.0)
    verdict = verdicts.settle(HOST, FAILED, now)
    assert verdict.kind is (VerdictKind.HOSTED if served else VerdictKind.UNDETERMINED)
    assert verdict.failures == 1
    assert (verdicts.unknown(HOST, now) == as_kept(verdict)) is not served


def test_settle_failure_without_stale_is_undetermined_at_the_instant_of_expiry() -> None:
    verdicts = cache(stale=0.0)
    verdict = verdicts.settle(HOST, hosted(100.0), 0.0)
    assert verdicts.settle(HOST, FAILED, just_before(100.0)) is verdict
    assert verdicts.settle(HOST, FAILED, 100.0).kind is VerdictKind.UNDETERMINED


def test_settle_failures_of_a_hosted_back_off_to_a_minute() -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(100.0), 0.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    now, waits = 100.0, []
    for _ in BACK_OFF:
        verdicts.settle(HOST, FAILED, now)
        waits.append(entry.refresh_at - now)
        now = entry.refresh_at
    assert waits == BACK_OFF


def test_settle_hosted_after_failures_starts_over() -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(100.0), 0.0)
    for now in (100.0, 101.0, 103.0):
        verdicts.settle(HOST, FAILED, now)
    verdicts.settle(HOST, hosted(100.0), 107.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert (entry.failures, entry.refresh_at, entry.stale_until) == (0, 197.0, 207.0 + 86_400.0)


def test_settle_limited_of_a_hosted_waits_a_second_and_counts_no_failure() -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(100.0), 0.0)
    verdict = verdicts.settle(HOST, LIMITED, 100.0)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert verdict.kind is VerdictKind.HOSTED
    assert (entry.failures, entry.refresh_at) == (0, 101.0)


@pytest.mark.parametrize(("hosts", "held"), [(2, 2), (3, 3), (4, 3), (50, 3)])
@pytest.mark.parametrize("finding", [hosted(), not_hosted(), FAILED], ids=lambda finding: finding.kind.name)
def test_settle_more_hosts_than_entries_holds_the_bound(finding: Finding, hosts: int, held: int) -> None:
    verdicts = cache(hosted_entries=3, unknown_entries=3)
    for number in range(hosts):
        verdicts.settle(f"h{number}.example", finding, 0.0)
    assert sum(verdicts.sizes()) == held


def test_was_denied_however_long_ago_and_while_dns_fails_until_it_is_hosted() -> None:
    verdicts = cache()
    assert not verdicts.was_denied(HOST)
    verdicts.settle(HOST, not_hosted(5.0), 0.0)
    assert verdicts.unknown(HOST, 1e6) is None
    assert verdicts.was_denied(HOST)
    for _ in range(3):
        verdicts.settle(HOST, FAILED, 1e6)
        assert verdicts.was_denied(HOST)
    verdicts.settle(HOST, hosted(), 1e6)
    assert not verdicts.was_denied(HOST)
    verdicts.forget(HOST)
    verdicts.settle(HOST, FAILED, 1e6)
    assert not verdicts.was_denied(HOST)


def test_settle_apart_hosted_is_kept_among_the_unknown_for_a_hosted_ttl_and_pushes_out_no_hosted() -> None:
    verdicts = cache(hosted_entries=1)
    verdicts.settle("known.test", hosted(), 0.0)
    for number in range(10):
        verdict = verdicts.settle(f"h{number}.test", hosted(7_200.0), 0.0, apart=True)
        assert verdict.expires == 7_200.0
        assert verdicts.unknown(f"h{number}.test", 7_199.0) == as_kept(verdict)
        assert verdicts.hosted(f"h{number}.test") is None
    assert verdicts.hosted("known.test") is not None
    assert verdicts.sizes() == (1, 10)


def test_settle_apart_host_that_was_hosted_stays_hosted() -> None:
    verdicts = cache()
    verdicts.settle(HOST, hosted(), 0.0)
    verdicts.settle(HOST, hosted(), 50.0, apart=True)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert entry.verdict.expires == 150.0
    assert verdicts.sizes() == (1, 0)


@pytest.mark.parametrize("finding", [not_hosted(), FAILED], ids=["not hosted", "failed"])
def test_settle_apart_what_is_not_hosted_is_kept_as_ever(finding: Finding) -> None:
    apart, plain = cache(), cache()
    assert apart.settle(HOST, finding, 0.0, apart=True) == plain.settle(HOST, finding, 0.0)
    assert apart.unknown(HOST, 0.5) == plain.unknown(HOST, 0.5)


def test_settle_at_the_bound_pushes_out_the_host_asked_for_longest_ago() -> None:
    verdicts = cache(hosted_entries=2, unknown_entries=2)
    for finding in (hosted(), not_hosted()):
        name = finding.kind.name.lower()
        verdicts.settle(f"a.{name}", finding, 0.0)
        verdicts.settle(f"b.{name}", finding, 0.0)
        assert verdicts.hosted(f"a.{name}") or verdicts.unknown(f"a.{name}", 0.0)
        verdicts.settle(f"c.{name}", finding, 0.0)
    assert [verdicts.hosted(f"{host}.hosted") is not None for host in "abc"] == [True, False, True]
    assert [verdicts.unknown(f"{host}.not_hosted", 0.0) is not None for host in "abc"] == [True, False, True]


@pytest.mark.parametrize("finding", [not_hosted(), FAILED, LIMITED], ids=lambda finding: finding.kind.name)
def test_settle_unknown_hosts_never_push_out_a_hosted_one(finding: Finding) -> None:
    verdicts = cache(hosted_entries=1, unknown_entries=10)
    verdicts.settle(HOST, hosted(), 0.0)
    for number in range(1_000):
        verdicts.settle(f"h{number}.example", finding, 0.0)
    assert verdicts.hosted(HOST) is not None


def calls_of(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, `work` calls, as a measure of cost that no machine changes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def costs_at_the_bound(entries: int) -> list[int]:
    """The cost of each call on a cache that is full of entries which expired together."""
    verdicts = cache(hosted_entries=entries, unknown_entries=entries)
    for number in range(entries):
        verdicts.settle(f"h{number}.example", hosted(30.0), 0.0)
        verdicts.settle(f"u{number}.example", not_hosted(30.0), 0.0)
    return [
        calls_of(lambda: verdicts.settle("new.example", not_hosted(), 1e6)),
        calls_of(lambda: verdicts.settle("failing.example", FAILED, 1e6)),
        calls_of(lambda: verdicts.settle("ours.example", hosted(), 1e6)),
        calls_of(lambda: verdicts.settle("ours.example", not_hosted(), 1e6)),
        calls_of(lambda: verdicts.unknown("new.example", 1e6)),
        calls_of(lambda: verdicts.hosted("gone.example")),
        calls_of(verdicts.sizes),
    ]


def test_calls_among_100_000_expired_entries_cost_the_same_as_among_ten() -> None:
    assert costs_at_the_bound(100_000) == costs_at_the_bound(10)


@pytest.mark.parametrize("reason", [ABSENT, "elsewhere"])
def test_host_that_is_not_ours_is_remembered_with_its_reason_and_end(reason: str) -> None:
    cache = VerdictCache(config.Cache(not_hosted_ttl=(0.0, 1e6)))
    verdict = cache.settle("a.test", Finding(kind=VerdictKind.NOT_HOSTED, ttl=7.0, reason=reason), 1.0)
    assert cache.unknown("a.test", 7.999) == verdict
    assert cache.unknown("a.test", 8.0) is None
    assert cache.was_denied("a.test")
    assert cache.doubts("a.test")


@pytest.mark.parametrize(
    "doubt",
    [lambda it: it.doubt(HOST, 10.0), lambda it: it.doubt_everything(10.0)],
    ids=["of the host", "of everything"],
)
def test_doubt_leaves_a_hosted_verdict_and_has_it_looked_up_again_at_once(
    doubt: Callable[[VerdictCache], None],
) -> None:
    verdicts = cache()
    verdict = verdicts.settle(HOST, hosted(100.0), 0.0)
    doubt(verdicts)
    entry = verdicts.hosted(HOST)
    assert entry is not None
    assert (entry.verdict, entry.refresh_at) == (verdict, 10.0)


@pytest.mark.parametrize("finding", [not_hosted(), FAILED], ids=["not hosted", "failed"])
@pytest.mark.parametrize(
    "doubt",
    [lambda it: it.doubt(HOST, 0.5), lambda it: it.doubt_everything(0.5)],
    ids=["of the host", "of everything"],
)
def test_doubt_forgets_what_is_not_hosted(doubt: Callable[[VerdictCache], None], finding: Finding) -> None:
    verdicts = cache()
    verdicts.settle(HOST, finding, 0.0)
    doubt(verdicts)
    assert verdicts.unknown(HOST, 0.5) is None
    assert verdicts.sizes() == (0, 0)


def test_configure_bounds_what_is_settled_from_then_on() -> None:
    verdicts = cache()
    verdicts.settle("before.test", hosted(100.0), 0.0)
    verdicts.configure(config.Cache(hosted_ttl=(1.0, 7.0)))
    assert verdicts.settle(HOST, hosted(100.0), 0.0).expires == 7.0
    before = verdicts.hosted("before.test")
    assert before is not None
    assert before.verdict.expires == 100.0


def test_doubt_everything_leaves_who_was_asked_for_last() -> None:
    verdicts = cache(hosted_entries=2)
    for host in ("first.test", "second.test"):
        verdicts.settle(host, hosted(100.0), 0.0)
    verdicts.hosted("first.test")
    verdicts.doubt_everything(1.0)
    verdicts.settle("third.test", hosted(100.0), 1.0)
    assert verdicts.hosted("first.test") is not None
    assert verdicts.hosted("second.test") is None


def taken_back(verdicts: VerdictCache, now: float, **limits: object) -> VerdictCache:
    """Another cache, by these limits, that takes back at `now` what `verdicts` hands out."""
    after = cache(**limits)
    for piece in list(verdicts.pieces()):
        after.take_back(piece, now)
    return after


def test_take_back_believes_what_was_believed_until_it_would_have_ended() -> None:
    before = cache()
    before.settle("hosted.test", hosted(), 0.0)
    before.settle("elsewhere.test", not_hosted(), 0.0)
    before.settle("absent.test", Finding(kind=VerdictKind.NOT_HOSTED, ttl=100.0, reason=ABSENT), 0.0)
    failed = as_kept(before.settle("failing.test", FAILED, 0.0))
    after = taken_back(before, 0.5)
    assert after.sizes() == (1, 3)
    entry = after.hosted("hosted.test")
    assert entry is not None
    assert (entry.verdict.expires, entry.refresh_at, entry.stale_until) == (100.0, 90.0, 86_500.0)
    assert after.unknown("failing.test", 0.5) == failed
    for host, reason in (("elsewhere.test", "elsewhere"), ("absent.test", ABSENT)):
        verdict = after.unknown(host, just_before(100.0))
        assert verdict is not None
        assert (verdict.kind, verdict.reason) == (VerdictKind.NOT_HOSTED, reason)
        assert after.unknown(host, 100.0) is None
        assert after.was_denied(host)


@pytest.mark.parametrize(
    ("finding", "most"),
    [
        (hosted(1_000.0), 50.0),
        (not_hosted(1_000.0), 20.0),
        (Finding(kind=VerdictKind.NOT_HOSTED, ttl=1_000.0, reason=ABSENT), 20.0),
    ],
)
def test_take_back_by_lower_ceilings_ends_at_these(finding: Finding, most: float) -> None:
    before = cache(hosted_ttl=(0.0, 5_000.0), not_hosted_ttl=(0.0, 5_000.0))
    before.settle(HOST, finding, 0.0)
    after = taken_back(before, 7.0, hosted_ttl=(0.0, 50.0), not_hosted_ttl=(0.0, 20.0), stale=30.0)
    entry, unknown = after.peek(HOST, 7.0)
    verdict = unknown if entry is None else entry.verdict
    assert verdict is not None
    assert verdict.expires == 7.0 + most
    if entry is not None:
        assert entry.stale_until == 7.0 + most + 30.0
        assert entry.refresh_at <= 67.0


def test_take_back_of_doubted_hosts_has_them_looked_up_again() -> None:
    before = cache()
    before.settle("hosted.test", hosted(), 0.0)
    before.settle("elsewhere.test", not_hosted(), 0.0)
    before.doubt_everything(10.0)
    after = taken_back(before, 11.0)
    entry = after.hosted("hosted.test")
    assert entry is not None
    assert entry.refresh_at == 10.0
    assert after.unknown("elsewhere.test", 11.0) is None


def test_take_back_of_a_host_that_became_hosted_meanwhile_is_hosted() -> None:
    before = cache()
    before.settle(HOST, not_hosted(), 0.0)
    pieces = before.pieces()
    taken = [next(pieces), next(pieces), next(pieces)]
    before.settle(HOST, hosted(), 1.0)
    after = cache()
    for piece in [*taken, *pieces]:
        after.take_back(piece, 2.0)
    assert after.hosted(HOST) is not None
    assert after.unknown(HOST, 2.0) is None


def test_take_back_more_than_there_may_be_holds_the_bounds() -> None:
    before = cache()
    for number in range(2_000):
        before.settle(f"h{number}.test", hosted(), 0.0)
        before.settle(f"n{number}.test", not_hosted(), 0.0)
    assert taken_back(before, 1.0, hosted_entries=3, unknown_entries=4).sizes() == (3, 4)
