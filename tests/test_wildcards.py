"""When a wildcard is looked for, which names it speaks for, and until when. Time is an argument."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import inf, nextafter
from typing import Any

import pytest

from fastvhost import wildcards as subject
from fastvhost.config import Cache, Config, Limits, Own
from fastvhost.model import Finding, Verdict, VerdictKind
from fastvhost.wildcards import Settle, Wildcards

ZONE = "evil.test"
TTL = 100.0


def found(kind: VerdictKind, ttl: float = TTL) -> Finding:
    return Finding(kind=kind, ttl=ttl, reason=f"found {kind.name}")


HOSTED, NOT_HOSTED = found(VerdictKind.HOSTED), found(VerdictKind.NOT_HOSTED)
FAILED, LIMITED = found(VerdictKind.UNDETERMINED), found(VerdictKind.LIMITED)


class Bench:
    """Wildcards whose probes wait in `probes` until they are settled by hand."""

    def __init__(
        self,
        *,
        upstream_qps: float = 1e6,
        registrable_domain: Callable[[str], str] = lambda host: ".".join(host.split(".")[-2:]),
        **cache: Any,
    ) -> None:
        limits = {"hosted_ttl": (0.0, 1e6), "not_hosted_ttl": (0.0, 1e6), "stale": 1_000.0} | cache
        config = Config(own=Own(), cache=Cache(**limits), limits=Limits(upstream_qps=upstream_qps))
        self.probes: dict[str, Settle] = {}
        self.wildcards = Wildcards(
            config, registrable_domain=registrable_domain, probe=self.probes.__setitem__
        )
        self.counters = self.wildcards.counters

    def note(self, *hosts: str, now: float = 0.0) -> None:
        for host in hosts:
            self.wildcards.note(host, now)

    def settle(self, finding: Finding, now: float = 0.0) -> str:
        """End the only probe; return its name."""
        ((name, settle),) = self.probes.items()
        self.probes.clear()
        settle(finding, now)
        return name

    def has_wildcard(self, zone: str = ZONE, ttl: float = TTL) -> None:
        """There is one at `zone` as of the instant 0."""
        self.note(f"a.{zone}", f"b.{zone}", f"c.{zone}")
        self.settle(found(VerdictKind.HOSTED, ttl))

    def presumed(self, host: str, now: float = 0.0) -> Verdict:
        verdict = self.wildcards.presumed(host, now)
        assert verdict is not None
        return verdict


def just_before(instant: float) -> float:
    return nextafter(instant, -inf)


# When a probe is made


@pytest.mark.parametrize(("names", "probes"), [(2, 0), (3, 1), (4, 1)])
def test_note_third_name_under_a_parent_probes_a_random_sibling_once(names: int, probes: int) -> None:
    bench = Bench()
    bench.note(*(f"h{number}.{ZONE}" for number in range(names)))
    assert len(bench.probes) == bench.counters.probes == probes
    assert all(re.fullmatch(rf"[0-9a-f]{{16}}\.{ZONE}", name) for name in bench.probes)


def test_note_one_name_many_times_probes_nothing() -> None:
    bench = Bench()
    bench.note(*[f"a.{ZONE}"] * 10)
    assert not bench.probes


def test_note_names_of_several_zones_are_counted_apart() -> None:
    bench = Bench()
    bench.note("a.one.test", "a.two.test", "a.three.test", "b.one.test")
    assert not bench.probes


def test_note_registrable_domains_themselves_probe_no_public_suffix() -> None:
    bench = Bench()
    bench.note("one.test", "two.test", "three.test", "test")
    assert not bench.probes


def test_note_names_below_different_parents_of_one_zone_probe_the_zone() -> None:
    """Or else whoever asks for two names under each of many made-up parents is never found out."""
    bench = Bench()
    bench.note(f"x.a1.{ZONE}", f"x.a2.{ZONE}", f"x.a3.{ZONE}")
    (name,) = bench.probes
    assert name.split(".", 1)[1] == ZONE


def test_note_parent_whose_zone_has_no_wildcard_is_probed_next() -> None:
    bench = Bench()
    bench.note(f"x.sub.{ZONE}", f"y.sub.{ZONE}", f"z.sub.{ZONE}")
    assert bench.settle(NOT_HOSTED).split(".", 1)[1] == ZONE
    bench.note(f"w.sub.{ZONE}")
    assert bench.settle(HOSTED).split(".", 1)[1] == f"sub.{ZONE}"
    assert bench.wildcards.presumed(f"v.{ZONE}", 0.0) is None
    assert bench.presumed(f"v.sub.{ZONE}").kind is VerdictKind.HOSTED


def test_note_every_probe_has_another_label() -> None:
    bench = Bench()
    for number in range(5):
        bench.note(f"a.z{number}.test", f"b.z{number}.test", f"c.z{number}.test")
    assert len({name.split(".")[0] for name in bench.probes}) == 5


@pytest.mark.parametrize(
    ("finding", "again"),
    [(NOT_HOSTED, 310.0), (FAILED, 40.0), (LIMITED, 40.0)],
    ids=lambda value: str(value)[:40],
)
def test_note_parent_without_wildcard_is_probed_again_at_the_instant_and_not_before(
    finding: Finding, again: float
) -> None:
    bench = Bench()
    bench.note(f"a.{ZONE}", f"b.{ZONE}", f"c.{ZONE}")
    bench.settle(finding, now=10.0)
    bench.note(f"d.{ZONE}", f"e.{ZONE}", f"f.{ZONE}", now=just_before(again))
    assert not bench.probes
    bench.note(f"g.{ZONE}", now=again)
    assert len(bench.probes) == 1


def test_note_probes_under_way_are_bounded_and_the_next_name_asks_again() -> None:
    bench = Bench()
    for number in range(subject._AT_ONCE + 1):
        bench.note(*(f"{label}.z{number}.test" for label in "abc"), now=float(number))
    assert len(bench.probes) == subject._AT_ONCE
    assert bench.counters.put_off == 1
    bench.probes.popitem()[1](NOT_HOSTED, 20.0)
    bench.note(f"d.z{subject._AT_ONCE}.test", now=20.0)
    assert len(bench.probes) == subject._AT_ONCE


def test_note_probes_are_a_thousandth_of_the_upstream_s_queries_after_a_burst() -> None:
    bench = Bench(upstream_qps=1_000.0)
    for number in range(1_000):
        now = number / 100.0
        bench.note(*(f"{label}.z{number}.test" for label in "abc"), now=now)
        for settle in bench.probes.values():
            settle(NOT_HOSTED, now)
        bench.probes.clear()
    assert bench.counters.probes == subject._PROBES_BURST + 9
    assert bench.counters.put_off == 1_000 - bench.counters.probes


@pytest.mark.parametrize(("octets", "probes"), [(236, 1), (237, 0)])
def test_note_parent_that_leaves_no_room_for_the_label_is_not_probed(octets: int, probes: int) -> None:
    parent = ".".join(["p" * 63] * 3 + ["q" * (octets - 3 * 64 - 1 - len(ZONE)), ZONE])
    assert len(parent) == octets
    bench = Bench(registrable_domain=lambda _: parent)
    bench.note(*(f"{label}.{parent}" for label in "abc"))
    assert len(bench.probes) == probes
    assert all(len(name) == 253 for name in bench.probes)


def test_note_counts_as_many_levels_as_are_considered() -> None:
    bench = Bench()
    deep = ".".join(["d"] * 100)
    bench.note(f"{deep}.{ZONE}")
    assert len(bench.wildcards._noted) == subject._LEVELS


@pytest.mark.parametrize("count", [subject._PARENTS, subject._PARENTS + 1])
def test_note_more_parents_than_the_table_holds_the_bound(count: int) -> None:
    bench = Bench()
    for number in range(count):
        bench.note(f"a.z{number}.test")
    assert len(bench.wildcards._noted) == subject._PARENTS


def test_wildcards_more_than_the_table_holds_the_bound() -> None:
    bench = Bench()
    for number in range(subject._PARENTS + 1):
        bench.note(*(f"{label}.z{number}.test" for label in "abc"), now=float(number))
        bench.settle(HOSTED, now=float(number))
    assert len(bench.wildcards) == subject._PARENTS
    assert bench.counters.found == subject._PARENTS + 1


# What a wildcard says


def test_presumed_names_the_wildcard_and_holds_for_seconds_only() -> None:
    bench = Bench()
    bench.has_wildcard()
    verdict = bench.presumed(f"x.{ZONE}", now=1.0)
    assert (verdict.kind, verdict.host, verdict.expires) == (VerdictKind.HOSTED, f"x.{ZONE}", 6.0)
    assert verdict.reason == f"below the wildcard *.{ZONE}: found HOSTED"
    assert bench.presumed(f"x.{ZONE}", now=98.0).expires == TTL
    assert bench.counters.presumed == 2


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        (f"x.{ZONE}", True),
        (f"x.y.z.{ZONE}", True),
        (ZONE, False),
        ("xevil.test", False),
        ("x.other.test", False),
        ("test", False),
    ],
)
def test_presumed_covers_all_below_the_parent_and_nothing_else(host: str, covered: bool) -> None:
    bench = Bench()
    bench.has_wildcard()
    assert (bench.wildcards.presumed(host, 0.0) is not None) is covered
    assert bench.wildcards.above(host, 0.0) is covered


def test_presumed_nearer_parent_proved_to_have_none_hides_the_wildcard_above() -> None:
    bench = Bench()
    bench.note(*(f"{label}.sub.{ZONE}" for label in "abc"))
    bench.settle(FAILED)  # the zone's
    bench.note(f"d.sub.{ZONE}")
    bench.settle(NOT_HOSTED)  # that of sub
    bench.note(f"a.{ZONE}", now=30.0)
    bench.settle(HOSTED, now=30.0)
    assert bench.wildcards.presumed(f"x.{ZONE}", 30.0) is not None
    assert bench.wildcards.presumed(f"x.sub.{ZONE}", just_before(TTL)) is None
    assert bench.wildcards.presumed(f"x.sub.{ZONE}", TTL) is not None, "that proof is over"


def test_above_while_the_probe_is_under_way_and_no_more_when_there_is_none() -> None:
    bench = Bench()
    bench.note(f"a.{ZONE}", f"b.{ZONE}")
    assert not bench.wildcards.above(f"x.{ZONE}", 0.0)
    bench.note(f"c.{ZONE}")
    assert bench.wildcards.above(f"x.{ZONE}", 0.0)
    assert bench.wildcards.presumed(f"x.{ZONE}", 0.0) is None
    bench.settle(NOT_HOSTED)
    assert not bench.wildcards.above(f"x.{ZONE}", 0.0)


# Until when


@pytest.mark.parametrize(("ttl", "lives"), [(29.0, 30.0), (60.0, 60.0), (86_401.0, 86_400.0)])
def test_presumed_ends_with_the_ttl_of_the_probe_within_floor_and_ceiling(ttl: float, lives: float) -> None:
    bench = Bench(hosted_ttl=(30.0, 86_400.0))
    bench.has_wildcard(ttl=ttl)
    assert bench.wildcards.presumed(f"x.{ZONE}", just_before(lives)) is not None
    assert bench.wildcards.presumed(f"x.{ZONE}", lives) is None
    assert bench.wildcards.above(f"x.{ZONE}", lives), "its names are no domains before DNS says so"


def test_presumed_asked_from_nine_tenths_of_the_ttl_is_probed_again_once() -> None:
    bench = Bench()
    bench.has_wildcard()
    bench.presumed(f"x.{ZONE}", just_before(90.0))
    assert not bench.probes
    bench.presumed(f"x.{ZONE}", 90.0)
    bench.presumed(f"y.{ZONE}", 91.0)
    assert bench.counters.probes == 2
    bench.settle(HOSTED, now=92.0)
    assert bench.presumed(f"x.{ZONE}", just_before(192.0)).kind is VerdictKind.HOSTED
    assert (bench.counters.found, bench.counters.ended) == (1, 0)


def test_above_asked_from_nine_tenths_of_the_ttl_is_probed_again_too() -> None:
    bench = Bench()
    bench.has_wildcard()
    assert bench.wildcards.above(f"x.{ZONE}", just_before(90.0))
    assert not bench.probes
    assert bench.wildcards.above(f"x.{ZONE}", 90.0)
    assert len(bench.probes) == 1


def test_presumed_after_a_probe_that_is_not_hosted_is_over_at_once() -> None:
    bench = Bench()
    bench.has_wildcard()
    bench.presumed(f"x.{ZONE}", 95.0)
    bench.settle(NOT_HOSTED, now=95.0)
    assert bench.wildcards.presumed(f"x.{ZONE}", 95.0) is None
    assert not bench.wildcards.above(f"x.{ZONE}", 95.0)
    assert (len(bench.wildcards), bench.counters.ended) == (0, 1)


@pytest.mark.parametrize("failure", [FAILED, LIMITED], ids=["failed", "limited"])
def test_presumed_while_probes_fail_goes_on_within_the_ttl(failure: Finding) -> None:
    bench = Bench()
    bench.has_wildcard()
    bench.presumed(f"x.{ZONE}", 90.0)
    bench.settle(failure, now=90.0)
    assert bench.presumed(f"x.{ZONE}", just_before(91.0)).kind is VerdictKind.HOSTED
    assert not bench.probes
    bench.presumed(f"x.{ZONE}", 91.0)
    assert len(bench.probes) == 1, "after a second it is tried again"


def test_presumed_while_dns_fails_is_stale_until_stale_ends() -> None:
    bench = Bench(stale=50.0)
    bench.has_wildcard()
    now = 99.0
    bench.presumed(f"x.{ZONE}", now)
    while now < 150.0:
        if bench.probes:
            bench.settle(FAILED, now)
        verdict = bench.presumed(f"x.{ZONE}", now)
        assert verdict.expires <= 150.0
        now += 0.5
    assert ": stale: " in verdict.reason
    assert bench.wildcards.presumed(f"x.{ZONE}", 150.0) is None


def test_label_of_a_probe_never_repeats_a_finding_of_another_parent() -> None:
    bench = Bench()
    bench.note(*(f"{label}.one.test" for label in "abc"))
    bench.note(*(f"{label}.two.test" for label in "abc"))
    for name, settle in bench.probes.items():
        settle(replace(HOSTED, reason=name.split(".", 1)[1]), 0.0)
    assert bench.presumed("x.one.test").reason == "below the wildcard *.one.test: one.test"
    assert bench.presumed("x.two.test").reason == "below the wildcard *.two.test: two.test"


# After a reload


def test_doubt_everything_probes_a_wildcard_again_for_the_next_name_below_it() -> None:
    bench = Bench()
    bench.has_wildcard()
    bench.wildcards.doubt_everything(1.0)
    assert bench.presumed(f"x.{ZONE}", 2.0).kind is VerdictKind.HOSTED
    bench.settle(NOT_HOSTED, 2.0)
    assert bench.wildcards.presumed(f"x.{ZONE}", 2.0) is None


def test_doubt_everything_has_a_parent_without_a_wildcard_probed_as_if_never_before() -> None:
    bench = Bench()
    bench.note(f"a.{ZONE}", f"b.{ZONE}", f"c.{ZONE}")
    bench.settle(NOT_HOSTED)
    bench.wildcards.doubt_everything(1.0)
    bench.note(f"a.{ZONE}", f"b.{ZONE}", now=1.0)
    assert not bench.probes
    bench.note(f"c.{ZONE}", now=1.0)
    assert bench.probes


@pytest.mark.parametrize("finding", [HOSTED, NOT_HOSTED, FAILED])
def test_probe_that_was_under_way_when_everything_was_doubted_settles_nothing(finding: Finding) -> None:
    bench = Bench()
    bench.note(f"a.{ZONE}", f"b.{ZONE}", f"c.{ZONE}")
    bench.wildcards.doubt_everything(0.0)
    bench.settle(finding, 1.0)
    assert bench.wildcards.presumed(f"x.{ZONE}", 1.0) is None
    bench.note(f"a.{ZONE}", f"b.{ZONE}", f"c.{ZONE}", now=1.0)
    bench.settle(HOSTED, 1.0)
    assert bench.presumed(f"x.{ZONE}", 1.0).kind is VerdictKind.HOSTED


def test_configure_keeps_wildcards_and_holds_for_what_is_found_from_then_on() -> None:
    bench = Bench(stale=0.0)
    bench.has_wildcard()
    config = Config(
        own=Own(), cache=Cache(hosted_ttl=(0.0, 10.0), stale=0.0), limits=Limits(upstream_qps=1e6)
    )
    bench.wildcards.configure(config)
    assert bench.presumed(f"x.{ZONE}", just_before(TTL)).kind is VerdictKind.HOSTED
    bench.settle(HOSTED, 99.0)
    assert bench.presumed(f"x.{ZONE}", just_before(109.0)).kind is VerdictKind.HOSTED
    assert bench.wildcards.presumed(f"x.{ZONE}", 109.0) is None


@pytest.mark.parametrize(("upstream_qps", "put_off"), [(1.0, True), (2.0, False)])
def test_configure_forgets_which_probes_were_spent_only_where_their_rate_changes(
    upstream_qps: float, put_off: bool
) -> None:
    bench = Bench(upstream_qps=1.0)
    for number in range(8):  # the burst
        bench.has_wildcard(f"w{number}.test")
    bench.wildcards.configure(Config(own=Own(), limits=Limits(upstream_qps=upstream_qps)))
    bench.note(f"a.{ZONE}", f"b.{ZONE}", f"c.{ZONE}")
    assert (bench.counters.put_off == 1) is put_off
