"""How the steps of a walk hang together, and which of them a verdict's TTL is from."""

import pytest

from fastvhost.evidence import branches, ttl_source
from fastvhost.model import Step, VerdictKind

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED


def step(depth: int, question: str, ttl: int | None = None, kind: VerdictKind | None = None) -> Step:
    return Step(depth=depth, question=question, rcode="", ttl=ttl, kind=kind)


def test_step_hangs_below_the_last_one_that_is_less_deep() -> None:
    steps = [
        step(0, "NAPTR h"),
        step(0, "SRV u"),
        step(1, "A a"),
        step(2, "A b"),
        step(1, "A c"),
        step(0, "SRV t"),
    ]
    naptr, udp, tcp = branches(steps)
    assert [branch.step.question for branch in (naptr, udp, tcp)] == ["NAPTR h", "SRV u", "SRV t"]
    assert [branch.step.question for branch in udp.below] == ["A a", "A c"]
    assert [branch.step.question for branch in udp.below[0].below] == ["A b"]
    assert naptr.below == tcp.below == []
    assert [one for root in (naptr, udp, tcp) for one in root] == steps


@pytest.mark.parametrize("depths", [[1, 0], [0, 2, 1], [-1, 5]])
def test_step_of_a_depth_that_nothing_leads_to_is_not_lost(depths: list[int]) -> None:
    steps = [step(depth, f"A {place}") for place, depth in enumerate(depths)]
    assert [one for root in branches(steps) for one in root] == steps


@pytest.mark.parametrize(
    ("steps", "question"),
    [
        # What leads to us, and what had to be in vain before it: not what was tried beside it.
        ([("NAPTR h", 50, None), ("SRV u", 60, HOSTED)], "NAPTR h"),
        ([("NAPTR h", 50, None), ("SRV u", 10, NOT_HOSTED), ("SRV t", 60, HOSTED)], "NAPTR h"),
        ([("NAPTR h", 50, None), ("SRV u", 10, NOT_HOSTED), ("A h", 60, HOSTED)], "SRV u"),
        ([("NAPTR h", 50, None), ("A h", 10, NOT_HOSTED), ("AAAA h", 60, HOSTED)], "NAPTR h"),
        # Of the same TTL the last.
        ([("NAPTR h", 50, None), ("SRV u", 50, HOSTED)], "SRV u"),
        # The first that leads to us.
        ([("NAPTR h", 50, None), ("SRV u", 40, HOSTED), ("SRV t", 30, HOSTED)], "SRV u"),
    ],
)
def test_ttl_of_hosted_is_from_its_path_and_what_was_in_vain_before(
    steps: list[tuple[str, int, VerdictKind | None]], question: str
) -> None:
    source = ttl_source(HOSTED, [step(0, *one) for one in steps])
    assert source is not None
    assert source.question == question


def test_ttl_of_not_hosted_is_from_the_shortest_of_all() -> None:
    steps = [
        step(0, "NAPTR h", 50),
        step(0, "SRV u", 40),
        step(1, "A a", 30, NOT_HOSTED),
        step(0, "SRV t", 35),
    ]
    assert ttl_source(NOT_HOSTED, steps) is steps[2]


@pytest.mark.parametrize("kind", [VerdictKind.UNDETERMINED, VerdictKind.LIMITED, VerdictKind.PENDING])
def test_ttl_of_what_is_undecided_is_from_no_step(kind: VerdictKind) -> None:
    assert ttl_source(kind, [step(0, "NAPTR h", 50)]) is None


@pytest.mark.parametrize("kind", [HOSTED, NOT_HOSTED])
def test_ttl_without_steps_or_without_a_ttl_is_from_none(kind: VerdictKind) -> None:
    assert ttl_source(kind, []) is None
    assert ttl_source(kind, [step(0, "target us.test", None, HOSTED)]) is None
