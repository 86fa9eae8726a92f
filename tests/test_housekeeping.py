"""Housekeeping: what a check changes in a record, and when many negatives at once are not believed."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.domains.housekeeping import (
    Brake,
    Braking,
    Census,
    Housekeeping,
    after_check,
    first_check,
    longest_wait,
)
from fastvhost.domains.record import DecidedBy, DomainRecord, DomainState
from fastvhost.model import Finding, VerdictKind

NOW = 1_700_000_000.0
HOUR, DAY, YEAR = 3_600.0, 86_400.0, 365 * 86_400.0
RULES = Housekeeping()
NAMES = [f"d{number}.example" for number in range(1_000)]


def found(kind: VerdictKind, ttl: float = 300.0) -> Finding:
    return Finding(kind=kind, ttl=ttl, reason=f"found {kind.name}")


HOSTED, NEGATIVE = found(VerdictKind.HOSTED), found(VerdictKind.NOT_HOSTED)
FAILED, LIMITED = found(VerdictKind.UNDETERMINED), found(VerdictKind.LIMITED)


def active(domain: str = "example.com", **known: object) -> DomainRecord:
    record = DomainRecord(
        domain=domain,
        state=DomainState.ACTIVE,
        first_seen=NOW - DAY,
        last_seen=NOW - DAY,
        last_verified=NOW - HOUR,
        next_check=NOW,
    )
    return replace(record, **known)  # type: ignore[arg-type]


def disabled(since: float = NOW) -> DomainRecord:
    return active(state=DomainState.DISABLED, negatives=3, negative_since=since - HOUR, disabled_at=since)


def checked(record: DomainRecord, *findings: Finding, rules: Housekeeping = RULES) -> DomainRecord:
    """The record after checks that each come when they are due."""
    for finding in findings:
        record = after_check(record, finding, record.next_check, rules, may_disable=True)
    return record


# When


@pytest.mark.parametrize(
    ("ttl", "counts_for"),
    [
        (0.0, 300.0),
        (299.0, 300.0),
        (300.0, 300.0),
        (301.0, 301.0),
        (86_399.0, 86_399.0),
        (86_400.0, 86_400.0),
        (86_401.0, 86_400.0),
        (inf, 86_400.0),
    ],
)
def test_first_check_is_due_between_half_and_nine_tenths_of_the_clamped_ttl(
    ttl: float, counts_for: float
) -> None:
    shares = [(first_check(name, ttl, 0.0, RULES)) / counts_for for name in NAMES]
    assert 0.5 <= min(shares) < 0.51
    assert 0.89 < max(shares) < 0.9


def test_first_check_of_many_names_is_spread_evenly() -> None:
    tenths = [0] * 10
    for name in NAMES:
        tenths[int((first_check(name, 1_000.0, 0.0, RULES) - 500.0) / 40.0)] += 1
    assert all(70 <= count <= 130 for count in tenths), tenths


def test_after_check_hosted_is_due_before_the_new_ttl_ends() -> None:
    after = after_check(active(), found(VerdictKind.HOSTED, 1_000.0), NOW + 5.0, RULES, may_disable=True)
    assert after.next_check == first_check("example.com", 1_000.0, NOW + 5.0, RULES)
    assert after.last_verified == NOW + 5.0


def test_after_check_failures_back_off_from_a_minute_to_an_hour() -> None:
    record, waits = active(), []
    for _ in range(9):
        due = record.next_check
        record = checked(record, FAILED)
        waits.append(record.next_check - due)
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1_920.0, 3_600.0, 3_600.0, 3_600.0]
    assert record.failures == 9
    assert checked(active(failures=10_000), FAILED).next_check == NOW + 3_600.0


def test_after_check_limited_only_moves_the_next_check() -> None:
    record = active(failures=3, negatives=1, negative_since=NOW - HOUR)
    assert checked(record, LIMITED) == replace(record, next_check=NOW + 60.0)


@pytest.mark.parametrize(("ttl", "least"), [(0.0, 1_800.0), (7_200.0, 7_200.0), (DAY, 10_800.0)])
def test_after_check_negative_waits_until_the_answer_has_left_the_resolvers_cache(
    ttl: float, least: float
) -> None:
    wait = checked(active(), found(VerdictKind.NOT_HOSTED, ttl)).next_check - NOW
    assert least <= wait <= least * 1.1


# Leaving and coming back


def test_after_check_third_negative_over_an_hour_disables() -> None:
    second = checked(active(), NEGATIVE, NEGATIVE)
    assert (second.state, second.negatives, second.negative_since) == (DomainState.ACTIVE, 2, NOW)
    third = checked(second, NEGATIVE)
    assert (third.state, third.negatives, third.evidence) == (DomainState.DISABLED, 3, "found NOT_HOSTED")
    assert third.disabled_at == second.next_check
    assert NOW + HOUR <= second.next_check <= NOW + 1.1 * HOUR


def test_after_check_hosted_forgets_negatives_and_failures() -> None:
    after = checked(active(), NEGATIVE, NEGATIVE, FAILED, HOSTED)
    assert (after.negatives, after.negative_since, after.failures) == (0, None, 0)
    assert checked(after, NEGATIVE, NEGATIVE).state is DomainState.ACTIVE


def test_after_check_failure_in_between_neither_adds_nor_resets() -> None:
    after = checked(active(), NEGATIVE, *[FAILED] * 100, NEGATIVE)
    assert (after.state, after.negatives, after.negative_since) == (DomainState.ACTIVE, 2, NOW)
    assert checked(after, FAILED, NEGATIVE).state is DomainState.DISABLED


def test_after_check_negative_that_may_not_disable_is_kept_and_counts_later() -> None:
    record = active()
    for _ in range(10):
        record = after_check(record, NEGATIVE, record.next_check, RULES, may_disable=False)
    assert (record.state, record.negatives) == (DomainState.ACTIVE, 10)
    assert checked(record, NEGATIVE).state is DomainState.DISABLED


@pytest.mark.parametrize(("negatives", "over"), [(1, 0.0), (1, HOUR), (2, HOUR), (3, 0.0), (10, DAY)])
def test_after_check_disables_with_the_nth_negative_but_never_within_over(
    negatives: int, over: float
) -> None:
    rules = Housekeeping(negatives=negatives, over=over)
    record, asked, now = active(), 0, NOW
    while record.state is DomainState.ACTIVE:
        now = record.next_check
        record = checked(record, NEGATIVE, rules=rules)
        asked += 1
    assert asked == max(negatives, 2 if over else 1)
    assert over <= now - NOW <= 1.1 * max(over, 300.0 * negatives)


def test_after_check_disabled_found_hosted_is_active_again() -> None:
    record = replace(disabled(), decided_by=DecidedBy.OPERATOR)
    after = checked(record, HOSTED)
    assert (after.state, after.decided_by, after.disabled_at) == (DomainState.ACTIVE, DecidedBy.DNS, None)
    assert (after.negatives, after.negative_since) == (0, None)


def test_after_check_disabled_is_checked_ever_less_often_until_it_is_removed_on_the_day() -> None:
    record, waits = disabled(), []
    while record.state is DomainState.DISABLED:
        due = record.next_check
        record = checked(record, NEGATIVE)
        waits.append(record.next_check - due)
    assert record.state is DomainState.REMOVED
    assert due == NOW + RULES.grace
    assert waits[0] == 1_800.0
    assert max(waits) == DAY
    assert len(waits) < 45


@pytest.mark.parametrize(
    ("age", "finding", "state"),
    [
        (RULES.grace - 1, NEGATIVE, DomainState.DISABLED),
        (RULES.grace, NEGATIVE, DomainState.REMOVED),
        (RULES.grace, FAILED, DomainState.REMOVED),
        (RULES.grace, LIMITED, DomainState.DISABLED),
        (RULES.grace, HOSTED, DomainState.ACTIVE),
        (2 * RULES.grace, HOSTED, DomainState.ACTIVE),
    ],
)
def test_after_check_disabled_past_its_grace_is_removed_unless_hosted(
    age: float, finding: Finding, state: DomainState
) -> None:
    assert checked(disabled(NOW - age), finding).state is state


@pytest.mark.parametrize("state", [DomainState.PENDING, DomainState.REJECTED, DomainState.REMOVED])
@pytest.mark.parametrize(
    "finding", [HOSTED, NEGATIVE, FAILED, LIMITED], ids=lambda finding: finding.kind.name
)
def test_after_check_state_that_is_not_checked_stays(state: DomainState, finding: Finding) -> None:
    assert checked(active(state=state), finding) == active(state=state)


def test_after_check_evidence_is_at_most_255_octets_of_printable_ascii() -> None:
    finding = Finding(kind=VerdictKind.HOSTED, ttl=300.0, reason="ä\n\x7f~ " + "x" * 300)
    assert checked(active(), finding).evidence == "???~ " + "x" * 250


# Checks before their time, and clocks that step


def test_after_check_before_its_time_hastens_nothing() -> None:
    first = checked(active(), NEGATIVE)
    for finding in (NEGATIVE, FAILED, LIMITED, NEGATIVE):
        early = after_check(first, finding, NOW + 100.0, RULES, may_disable=True)
        assert (early.negatives, early.next_check) == (1, first.next_check)
    assert after_check(first, NEGATIVE, first.next_check, RULES, may_disable=True).negatives == 2


def test_after_check_clock_a_year_ahead_stands_for_one_wait_at_most() -> None:
    second = after_check(checked(active(), NEGATIVE), NEGATIVE, NOW + YEAR, RULES, may_disable=True)
    assert (second.state, second.negatives) == (DomainState.ACTIVE, 2)
    hastened = after_check(second, NEGATIVE, NOW + YEAR + 1_799.0, RULES, may_disable=True)
    assert (hastened.state, hastened.negatives) == (DomainState.ACTIVE, 2)


def test_after_check_clock_a_year_back_begins_the_negatives_anew() -> None:
    second = checked(active(), NEGATIVE, NEGATIVE)
    back = after_check(second, NEGATIVE, NOW - YEAR, RULES, may_disable=True)
    assert (back.state, back.negatives, back.negative_since) == (DomainState.ACTIVE, 1, NOW - YEAR)
    ahead = after_check(back, NEGATIVE, NOW + HOUR, RULES, may_disable=True)
    assert (ahead.state, ahead.negatives) == (DomainState.ACTIVE, 2)


def test_after_check_grace_that_began_in_the_future_begins_now() -> None:
    after = checked(replace(disabled(NOW + YEAR), next_check=NOW), NEGATIVE)
    assert (after.state, after.disabled_at) == (DomainState.DISABLED, NOW)


RECORDS = st.builds(
    active,
    state=st.sampled_from([DomainState.ACTIVE, DomainState.DISABLED]),
    next_check=st.floats(NOW - YEAR, NOW + YEAR),
    failures=st.integers(0, 100),
    negatives=st.integers(0, 10),
    negative_since=st.none() | st.floats(NOW - YEAR, NOW + YEAR),
    disabled_at=st.none() | st.floats(NOW - YEAR, NOW + YEAR),
)
FINDINGS = st.builds(
    found,
    st.sampled_from(
        [VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED, VerdictKind.LIMITED]
    ),
    st.floats(0.0, inf),
)
RULE_SETS = st.builds(
    Housekeeping, negatives=st.integers(1, 100), over=st.floats(0.0, 30 * DAY), grace=st.floats(0.0, YEAR)
)


@given(RECORDS, FINDINGS, RULE_SETS, st.floats(NOW - YEAR, NOW + YEAR))
def test_after_check_of_anything_plans_ahead_and_within_the_longest_wait(
    record: DomainRecord, finding: Finding, rules: Housekeeping, now: float
) -> None:
    after = after_check(record, finding, now, rules, may_disable=True)
    assert after.state is DomainState.REMOVED or now < after.next_check <= now + longest_wait(rules)


@given(RECORDS, RULE_SETS, st.floats(NOW - YEAR, NOW + YEAR))
def test_after_check_failure_of_an_active_domain_changes_neither_state_nor_negatives(
    record: DomainRecord, rules: Housekeeping, now: float
) -> None:
    record = replace(record, state=DomainState.ACTIVE)
    for finding in (FAILED, LIMITED):
        after = after_check(record, finding, now, rules, may_disable=True)
        assert replace(after, failures=record.failures, next_check=record.next_check) == record


@given(
    RULE_SETS,
    st.lists(st.tuples(FINDINGS, st.floats(-10.0, 2 * HOUR), st.floats(0.0, DAY)), max_size=40),
)
def test_after_check_in_any_order_disables_only_by_enough_negatives_over_the_time(
    rules: Housekeeping, steps: list[tuple[Finding, float, float]]
) -> None:
    """`steps`: what is found, how late after it was due (early: below 0), how much of the time passed."""
    record, now = active(), NOW
    negative_at: list[float] = []
    for finding, late, passed in steps:
        now = max(now + min(passed, 60.0), record.next_check + late)
        if finding.kind is VerdictKind.HOSTED:
            negative_at.clear()
        elif finding.kind is VerdictKind.NOT_HOSTED:
            negative_at.append(now)
        record = after_check(record, finding, now, rules, may_disable=True)
        if record.state is not DomainState.ACTIVE:
            assert len(negative_at) >= rules.negatives
            assert now - negative_at[0] >= rules.over
            return
        assert record.negatives <= len(negative_at)


# The brake


def braking(brake: Brake) -> Braking | None:
    return brake.braking


def note(brake: Brake, names: list[str], finding: Finding, now: float = NOW) -> None:
    for name in names:
        brake.note(active(name), finding, now)


@pytest.mark.parametrize(
    ("hosted", "turned", "brakes"),
    [
        (0, 2, False),
        (0, 3, True),
        (4, 1, False),
        (2, 3, True),
        (27, 3, False),
        (26, 3, True),
        (90, 10, False),
        (89, 11, True),
    ],
)
def test_brake_brakes_on_three_domains_and_over_a_tenth(hosted: int, turned: int, brakes: bool) -> None:
    brake = Brake(RULES)
    note(brake, NAMES[:hosted], HOSTED)
    note(brake, NAMES[-turned:], NEGATIVE)
    assert braking(brake) == (Braking(since=NOW, negative=turned, of=hosted + turned) if brakes else None)


def test_brake_counts_neither_repeats_nor_failures_nor_domains_that_are_not_active() -> None:
    brake = Brake(RULES)
    note(brake, NAMES[:2], NEGATIVE)
    note(brake, NAMES[:90], FAILED)
    note(brake, NAMES[:90], LIMITED)
    for name in NAMES[:90]:
        brake.note(active(name, negatives=1, negative_since=NOW), NEGATIVE, NOW)
        brake.note(replace(disabled(), domain=name), NEGATIVE, NOW)
        brake.note(replace(disabled(), domain=name), HOSTED, NOW)
    assert braking(brake) is None
    note(brake, NAMES[2:3], NEGATIVE)
    assert braking(brake) == Braking(since=NOW, negative=3, of=3)


def test_braking_share_is_that_of_the_domains_that_were_looked_at() -> None:
    assert Braking(since=NOW, negative=3, of=12).share == 0.25


def test_brake_looks_at_the_latest_hundred_domains_only() -> None:
    brake = Brake(RULES)
    note(brake, NAMES, HOSTED)
    note(brake, [f"x{name}" for name in NAMES[:11]], NEGATIVE)
    assert braking(brake) == Braking(since=NOW, negative=11, of=100)


def test_brake_lets_go_by_itself_at_half_of_the_limit() -> None:
    brake = Brake(RULES)
    note(brake, NAMES[:80], HOSTED)
    note(brake, NAMES[80:100], NEGATIVE)
    note(brake, NAMES[80:94], HOSTED, NOW + 1.0)
    assert braking(brake) == Braking(since=NOW, negative=6, of=100)
    note(brake, NAMES[94:95], HOSTED, NOW + 1.0)
    assert braking(brake) is None


def test_brake_holds_on_by_the_census_when_all_have_turned() -> None:
    brake = Brake(RULES)
    brake.note_census(Census(active=1_000, negative=101), NOW)
    assert braking(brake) == Braking(since=NOW, negative=101, of=1_000)
    note(brake, NAMES, HOSTED, NOW + 1.0)
    assert braking(brake) is not None
    brake.note_census(Census(active=1_000, negative=50), NOW + 2.0)
    assert braking(brake) is None
    brake.note_census(Census(active=1_000, negative=100), NOW + 3.0)
    assert braking(brake) is None
    brake.note_census(Census(active=0, negative=0), NOW + 3.0)
    assert braking(brake) is None


def test_brake_forgets_turned_domains_after_a_day_so_that_months_do_not_add_up() -> None:
    brake = Brake(RULES)
    for month, name in enumerate(NAMES[:12]):
        note(brake, [name], NEGATIVE, NOW + month * 30 * DAY)
    assert braking(brake) is None


def test_brake_allows_nothing_while_it_brakes() -> None:
    brake = Brake(RULES)
    note(brake, NAMES[:5], HOSTED)
    brake.note_census(Census(active=20, negative=10), NOW)
    leaving = active(negatives=2, negative_since=NOW - 1.0)
    assert not brake.allows(leaving, NOW)
    brake.note_census(Census(active=10, negative=0), NOW + HOUR)
    note(brake, NAMES[:1], HOSTED, NOW + HOUR)
    assert brake.allows(leaving, NOW + HOUR)


def test_brake_allows_only_once_another_was_hosted_since_or_none_for_a_day() -> None:
    brake = Brake(RULES)
    leaving = active(negatives=2, negative_since=NOW)
    note(brake, NAMES[:4], HOSTED, NOW - 1.0)
    assert not brake.allows(leaving, NOW + HOUR)
    assert not brake.allows(leaving, NOW + DAY - 1.0)
    assert brake.allows(leaving, NOW + DAY)
    note(brake, NAMES[:1], HOSTED, NOW)
    assert brake.allows(leaving, NOW + HOUR)


def test_brake_forgets_what_a_clock_that_stepped_back_noted_in_the_future() -> None:
    brake = Brake(RULES)
    note(brake, NAMES[:90], HOSTED, NOW + YEAR)
    note(brake, NAMES[90:93], NEGATIVE, NOW)
    assert braking(brake) == Braking(since=NOW, negative=3, of=3)
    note(brake, NAMES[:60], HOSTED, NOW)
    assert brake.allows(active(negatives=2, negative_since=NOW), NOW + HOUR)
    assert not brake.allows(active(negatives=2, negative_since=NOW), NOW - YEAR)
