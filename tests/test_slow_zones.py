"""Zones that are set aside: when, for how long, and that no outage of our own does it."""

import pytest

from fastvhost.slow_zones import SLOW_SECONDS, SlowZones

ZONE = "slow.example"


def fail(zones: SlowZones, times: int, *, zone: str = ZONE, at: float = 10.0, took: float = 2.0) -> None:
    """Walks that end undecided at `at`, while another zone is answered."""
    for _ in range(times):
        zones.answered("sound.example", at)
        zones.failed(zone, at - took, at)


@pytest.mark.parametrize(("failures", "probe_at"), [(4, None), (5, 11.0), (6, 11.0)])
def test_zone_with_five_slow_failures_in_a_row_is_set_aside(failures: int, probe_at: float | None) -> None:
    zones = SlowZones()
    fail(zones, failures)
    assert zones.probe_at(ZONE, 10.0) == probe_at
    assert zones.probe_at("other.example", 10.0) is None
    assert zones.set_aside == (probe_at is not None)


@pytest.mark.parametrize(("took", "counts"), [(SLOW_SECONDS - 0.01, False), (SLOW_SECONDS + 0.01, True)])
def test_failure_that_was_quick_does_not_count(took: float, counts: bool) -> None:
    zones = SlowZones()
    fail(zones, 5, took=took)
    assert (zones.probe_at(ZONE, 10.0) is not None) is counts


def test_failures_with_an_answer_between_are_no_streak() -> None:
    zones = SlowZones()
    fail(zones, 4)
    zones.answered(ZONE, 10.0)
    fail(zones, 4)
    assert zones.probe_at(ZONE, 10.0) is None


def test_failures_while_no_other_zone_is_answered_are_an_outage_and_set_nothing_aside() -> None:
    zones = SlowZones()
    zones.answered("sound.example", 7.9)
    zones.answered(ZONE, 8.1)
    for number in range(100):
        zones.failed(f"z{number % 10}.example" if number % 2 else ZONE, 8.2, 10.0)
    assert zones.set_aside == 0
    assert len(zones) == 0


def test_own_answer_is_no_proof_that_the_way_to_dns_is_open() -> None:
    zones = SlowZones()
    for _ in range(10):
        zones.answered(ZONE, 9.0)
        zones.failed(ZONE, 8.0, 10.0)
    assert zones.probe_at(ZONE, 10.0) is None


def test_probe_is_one_walk_and_the_next_is_refused_until_it_is_due() -> None:
    zones = SlowZones()
    fail(zones, 5)
    assert zones.probe_at(ZONE, 10.99) == 11.0
    assert zones.probe_at(ZONE, 11.0) is None
    zones.started(ZONE, 11.0)
    assert zones.probe_at(ZONE, 11.0) == 12.0


def test_probes_that_fail_come_twice_as_late_each_up_to_a_minute() -> None:
    zones = SlowZones()
    fail(zones, 5)
    now, pauses = 10.0, []
    for _ in range(8):
        probe_at = zones.probe_at(ZONE, now)
        assert probe_at is not None
        zones.started(ZONE, probe_at)
        now = probe_at + 2.0
        fail(zones, 1, at=now)
        due = zones.probe_at(ZONE, now)
        assert due is not None
        pauses.append(due - now)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_walks_from_before_that_fail_late_do_not_put_the_probe_off() -> None:
    zones = SlowZones()
    fail(zones, 5)
    fail(zones, 60, at=10.5)
    assert zones.probe_at(ZONE, 10.5) == 11.0


def test_probe_that_is_answered_ends_it() -> None:
    zones = SlowZones()
    fail(zones, 5)
    zones.started(ZONE, 11.0)
    zones.answered(ZONE, 11.1)
    assert zones.probe_at(ZONE, 11.1) is None
    fail(zones, 4, at=20.0)
    assert zones.probe_at(ZONE, 20.0) is None


def test_table_at_its_bound_forgets_the_zone_heard_of_longest_ago() -> None:
    zones = SlowZones(entries=2)
    fail(zones, 5)
    fail(zones, 1, zone="a.example")
    fail(zones, 1, zone="b.example")
    assert len(zones) == 2
    assert zones.probe_at(ZONE, 10.0) is None
