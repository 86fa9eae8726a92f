"""Who may share a virtual domain: both sides agree, or the operator says so."""

from collections.abc import Callable, Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.domains.attributes import Published
from fastvhost.domains.did import DidDecision, DidRefused, decide_did

A, B, C = "a.example", "b.example", "c.example"
LONG = ".".join(["l" * 31, "l" * 31, "l"])  # 65 octets


def decide(
    domain: str,
    zones: Mapping[str, Published],
    *,
    operator_dids: Collection[str] = frozenset(),
    operator_says: Mapping[str, str] | None = None,
) -> DidDecision | DidRefused:
    """Decide where exactly `zones` are hosted."""
    return decide_did(
        domain,
        zones.get(domain),
        published_of=zones.get,
        operator_dids=operator_dids,
        operator_says=operator_says or {},
    )


AGREED = {A: Published(aliases=(C, B)), B: Published(did=A)}


def test_claim_with_the_other_sides_consent_joins() -> None:
    assert decide(B, AGREED) == DidDecision(did=A, why="did=a.example, and a.example says alias=b.example")


def test_joined_domain_itself_keeps_its_own() -> None:
    assert decide(A, AGREED) == DidDecision(did=A, why="its own")


@pytest.mark.parametrize("published", [None, Published(), Published(did=B), Published(aliases=(A,))])
def test_domain_without_a_claim_has_its_own(published: Published | None) -> None:
    zones = {A: Published(aliases=(B,))} | ({} if published is None else {B: published})
    assert decide(B, zones) == DidDecision(did=B, why="its own")


@pytest.mark.parametrize(
    ("zones", "missing"),
    [
        ({}, "a.example is not hosted here"),
        ({A: Published()}, "a.example does not say alias=b.example"),
        ({A: Published(aliases=(C,))}, "a.example does not say alias=b.example"),
        ({A: Published(aliases=("x.b.example", "example"))}, "a.example does not say alias=b.example"),
        (
            {A: Published(did=C, aliases=(B,)), C: Published(aliases=(A, B))},
            "a.example itself belongs to another virtual domain",
        ),
        (
            {A: Published(did=B, aliases=(B,))},
            "a.example itself belongs to another virtual domain",
        ),
    ],
)
def test_claim_without_consent_leaves_the_own_did_and_says_why(
    zones: Mapping[str, Published], missing: str
) -> None:
    assert decide(B, {**zones, B: Published(did=A, aliases=(A,))}) == DidDecision(
        did=B, why=f"its own; did=a.example not granted: {missing}"
    )


def test_other_that_claims_its_own_name_can_be_joined() -> None:
    zones = {A: Published(did=A, aliases=(B,)), B: Published(did=A)}
    assert decide(B, zones).why == "did=a.example, and a.example says alias=b.example"


def test_chain_is_not_followed() -> None:
    zones = {
        A: Published(aliases=(B, C)),
        B: Published(did=A, aliases=(C,)),
        C: Published(did=B),
    }
    decision = decide(C, zones)
    assert isinstance(decision, DidDecision)
    assert decision.did == C


def test_did_of_the_operator_is_not_granted_though_the_other_consents() -> None:
    assert decide(B, AGREED, operator_dids={A}) == DidDecision(
        did=B, why="its own; did=a.example not granted: a row of the operator's has this did"
    )


def test_did_of_the_operator_is_granted_where_he_says_so() -> None:
    decision = decide(B, {}, operator_dids={"tenant 7"}, operator_says={B: "tenant 7"})
    assert decision == DidDecision(did="tenant 7", why="domains.did says so")


def test_operators_word_goes_before_what_both_sides_agree_on() -> None:
    decision = decide(B, AGREED, operator_says={B: C})
    assert decision == DidDecision(did=C, why="domains.did says so")


def test_other_that_the_operator_placed_elsewhere_cannot_be_joined() -> None:
    decision = decide(B, AGREED, operator_says={A: "tenant7"})
    assert decision.why.endswith("a.example itself belongs to another virtual domain")


def test_other_that_the_operator_placed_at_its_own_name_can_be_joined() -> None:
    assert decide(B, AGREED, operator_says={A: A}).why.startswith("did=a.example, and")


@pytest.mark.parametrize("published", [Published(), Published(did=C)])
def test_domain_whose_own_name_is_the_operators_did_is_refused(published: Published) -> None:
    decision = decide(B, {B: published}, operator_dids={B})
    assert decision == DidRefused(
        why="a row of the operator's has the did b.example, which is not its own; domains.did can say so"
    )
    assert decide(B, {B: published}, operator_dids={B}, operator_says={B: B}) == DidDecision(
        did=B, why="domains.did says so"
    )


@pytest.mark.parametrize("published", [Published(), Published(did=C)])
def test_domain_that_has_its_own_did_keeps_it_when_the_operator_adds_to_that(published: Published) -> None:
    decision = decide_did(
        B, published, published_of=lambda _: None, operator_dids={B}, operator_says={}, has_own=True
    )
    assert isinstance(decision, DidDecision)
    assert decision.did == B


def test_domain_whose_name_is_the_operators_did_may_still_join_another() -> None:
    assert decide(B, AGREED, operator_dids={B}).why.startswith("did=a.example, and")


@pytest.mark.parametrize(("domain", "fits"), [(LONG[2:], True), (LONG[1:], True), (LONG, False)])
def test_own_did_takes_up_to_64_octets(domain: str, fits: bool) -> None:
    assert isinstance(decide(domain, {}), DidDecision if fits else DidRefused)


@pytest.mark.parametrize(("octets", "fits"), [(0, False), (1, True), (64, True), (65, False)])
def test_operators_did_takes_1_to_64_octets(octets: int, fits: bool) -> None:
    decision = decide(B, {}, operator_says={B: "d" * octets})
    assert isinstance(decision, DidDecision if fits else DidRefused)


def test_other_is_asked_at_most_once_and_only_for_a_claim() -> None:
    asked: list[str] = []

    def published_of(zones: Mapping[str, Published]) -> Callable[[str], Published | None]:
        def find(name: str) -> Published | None:
            asked.append(name)
            return zones.get(name)

        return find

    for domain in (A, B):
        decide_did(
            domain,
            AGREED[domain],
            published_of=published_of(AGREED),
            operator_dids=(),
            operator_says={},
        )
    assert asked == [A]


NAMES = st.sampled_from([A, B, C, "d.example"])
PUBLISHED = st.builds(
    Published, did=st.none() | NAMES, aliases=st.lists(NAMES, max_size=4, unique=True).map(tuple)
)


@given(
    zones=st.dictionaries(NAMES, PUBLISHED),
    operator_dids=st.frozensets(NAMES, max_size=2),
    operator_says=st.dictionaries(NAMES, NAMES, max_size=1),
    domain=NAMES,
)
def test_did_of_another_is_granted_only_with_its_consent(
    zones: dict[str, Published], operator_dids: frozenset[str], operator_says: dict[str, str], domain: str
) -> None:
    decision = decide(domain, zones, operator_dids=operator_dids, operator_says=operator_says)
    if isinstance(decision, DidRefused):
        assert domain in operator_dids
        return
    if domain in operator_says:
        assert decision.did == operator_says[domain]
        return
    assert decision.did not in operator_dids
    if decision.did != domain:
        assert zones[domain].did == decision.did
        assert domain in zones[decision.did].aliases
        # Whoever is joined has that did, so nobody shares one with a domain that does not consent.
        of_joined = decide(decision.did, zones, operator_dids=operator_dids, operator_says=operator_says)
        assert isinstance(of_joined, DidDecision)
        assert of_joined.did == decision.did
