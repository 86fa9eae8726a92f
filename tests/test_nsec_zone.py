"""What the NSEC records of one zone prove: against the lab's zones, and where nothing may follow."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.resolve.nsec_zone import NsecZone, Proof, key_of
from fastvhost.resolve.reply import Nsec, RrType

NS, CNAME, SOA, DNAME, A, NAPTR = 2, 5, 6, 39, 1, 35


def nsec(
    owner: str,
    next_name: str,
    *types: int,
    signer: str = "example",
    labels: int | None = None,
) -> Nsec:
    counted = len(key_of(owner)) - owner.startswith("*.") if labels is None else labels
    return Nsec(
        owner=owner,
        next_name=next_name,
        types=frozenset(types),
        ttl=60,
        signatures=frozenset({(signer, counted)}),
    )


def zone_of(*nsecs: Nsec, most: int = 100) -> NsecZone:
    zone = NsecZone("example", most=most)
    for one in nsecs:
        zone.add(one, 60.0)
    return zone


def proved(zone: NsecZone, name: str, rrtype: RrType = RrType.NAPTR, now: float = 0.0) -> str | None:
    proof = zone.proof(key_of(name), rrtype, now)
    return None if proof is None else "NXDOMAIN" if proof.nxdomain else "NODATA"


APEX = nsec("example", "b.example", NS, SOA)
"""Covers the wildcard at the apex."""
B = nsec("b.example", "g.example", A)
G = nsec("g.example", "example", A)
"""The last of the zone."""


def test_names_in_canonical_order_are_in_that_of_their_keys() -> None:
    """The example of RFC 4034 section 6.1."""
    names = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "z.a.example",
        "zabc.a.example",
        "z.example",
        r"\001.z.example",
        "*.z.example",
        r"\200.z.example",
    ]
    assert sorted(names, key=key_of) == names
    assert max(names, key=key_of) == names[-1]


def test_name_between_two_is_not_there_where_the_wildcard_is_not_either() -> None:
    zone = zone_of(APEX, B)
    assert zone.proof(key_of("c.example"), RrType.NAPTR, 0.0) == Proof(
        nxdomain=True, expires=60.0, by="NSEC b.example to g.example"
    )
    assert proved(zone, "x.y.c.example") == "NXDOMAIN"
    assert proved(zone, "a.example") == "NXDOMAIN"
    assert proved(zone, "h.example") is None


def test_name_between_two_without_word_of_the_wildcard_is_unproved() -> None:
    assert proved(zone_of(B), "c.example") is None


def test_name_between_two_of_a_zone_with_a_wildcard_is_unproved() -> None:
    zone = zone_of(nsec("example", "*.example", NS, SOA), nsec("*.example", "b.example", A), B, G)
    for name in ("a.example", "c.example", "x.c.example", "h.example"):
        assert proved(zone, name) is None
    assert proved(zone, "x.b.example") == "NXDOMAIN", "that wildcard does not reach below b.example"


def test_name_after_the_last_is_not_there() -> None:
    assert proved(zone_of(APEX, G), "zz.example") == "NXDOMAIN"


def test_name_below_one_that_is_there_needs_word_of_the_wildcard_at_that_one() -> None:
    """The closest encloser of x.b.example is b.example, whatever is at the apex (RFC 4592 section 3.3.1)."""
    assert proved(zone_of(B), "x.b.example") == "NXDOMAIN"
    wild = nsec("b.example", "*.b.example", A), nsec("*.b.example", "g.example", A)
    assert proved(zone_of(APEX, *wild), "x.b.example") is None
    assert proved(zone_of(APEX, *wild), "c.example") == "NXDOMAIN"


def test_name_with_names_below_it_is_there_without_records() -> None:
    zone = zone_of(APEX, nsec("b.example", "x.y.c.example", A))
    for name in ("c.example", "y.c.example"):
        assert proved(zone, name) == "NODATA"
    assert proved(zone, "bb.example") == "NXDOMAIN"


def test_wildcard_with_names_below_it_answers_for_its_siblings() -> None:
    """x.*.example makes *.example exist, so other names have no records, yet are no NXDOMAIN."""
    zone = zone_of(nsec("example", "x.*.example", NS, SOA), nsec("x.*.example", "example", A))
    assert proved(zone, "a.example") is None


@pytest.mark.parametrize(
    ("types", "rrtype", "expected"),
    [
        ((A,), RrType.NAPTR, "NODATA"),
        ((A,), RrType.A, None),
        ((CNAME,), RrType.A, None),
        ((NS,), RrType.A, None),
        ((NS, SOA), RrType.A, "NODATA"),
        ((DNAME,), RrType.A, "NODATA"),
        ((), RrType.SRV, "NODATA"),
    ],
)
def test_name_that_is_there_lacks_the_types_that_its_record_lacks(
    types: tuple[int, ...], rrtype: RrType, expected: str | None
) -> None:
    owner = "example" if SOA in types else "b.example"
    assert proved(zone_of(nsec(owner, "g.example", *types)), owner, rrtype) == expected


@pytest.mark.parametrize("types", [(NS,), (NS, A), (DNAME,), (DNAME, A)])
def test_name_below_a_zone_cut_or_a_dname_is_unproved(types: tuple[int, ...]) -> None:
    zone = zone_of(APEX, nsec("b.example", "g.example", *types))
    for name in ("x.b.example", "x.y.b.example"):
        assert proved(zone, name) is None
    assert proved(zone, "c.example") == "NXDOMAIN", "beside it the record counts"


def test_name_of_the_apex_is_never_denied() -> None:
    zone = zone_of(APEX, B, G)
    assert proved(zone, "example") == "NODATA"
    assert proved(zone_of(B, G), "example") is None


@pytest.mark.parametrize(
    "doubtful",
    [
        nsec("b.example", "g.example", A, signer="b.example"),
        nsec("b.example", "g.example", A, signer=""),
        nsec("b.example", "g.example", A, labels=1),
        nsec("b.example", "g.test", A),
        nsec("b.test", "g.example", A),
        nsec("g.example", "b.example", A),
        nsec("b.example", "b.example", A),
        Nsec(owner="b.example", next_name="g.example", types=frozenset(), ttl=60, signatures=frozenset()),
        Nsec(
            owner="b.example",
            next_name="g.example",
            types=frozenset(),
            ttl=60,
            signatures=frozenset({("example", 2), ("b.example", 2)}),
        ),
    ],
)
def test_record_that_may_not_be_the_zone_s_own_is_not_believed(doubtful: Nsec) -> None:
    zone = zone_of(APEX, doubtful)
    assert len(zone) == 1
    assert proved(zone, "c.example") is None


def test_record_with_a_wildcard_for_owner_is_believed() -> None:
    assert len(zone_of(nsec("*.b.example", "g.example", A))) == 1


def test_record_proves_until_the_instant_of_its_expiry() -> None:
    zone = NsecZone("example", most=10)
    zone.add(APEX, 50.0)
    zone.add(B, 60.0)
    assert proved(zone, "c.example", now=49.9) == "NXDOMAIN"
    proof = zone.proof(key_of("c.example"), RrType.NAPTR, 0.0)
    assert proof is not None
    assert proof.expires == 50.0
    assert proved(zone, "c.example", now=50.0) is None
    assert proved(zone, "b.example", now=59.9) == "NODATA"
    assert proved(zone, "b.example", now=60.0) is None


def test_record_learned_again_replaces_the_one_before() -> None:
    zone = zone_of(APEX, B, nsec("b.example", "c.example", A))
    assert len(zone) == 2
    assert proved(zone, "d.example") is None
    assert proved(zone, "bb.example") == "NXDOMAIN"


@pytest.mark.parametrize("number", [2, 3, 4])
def test_records_over_the_bound_push_out_the_first(number: int) -> None:
    names = [f"{letter}.example" for letter in "abcde"]
    records = [nsec(names[at], names[at + 1], A) for at in range(number)]
    zone = zone_of(*records, most=3)
    assert len(zone) == min(number, 3)
    assert proved(zone, "a.example") == ("NODATA" if number <= 3 else None)
    assert proved(zone, names[number - 1]) == "NODATA"


def test_name_seen_to_be_there_ends_the_proof_and_that_of_no_wildcard_only() -> None:
    zone = zone_of(APEX, B, G)
    zone.forget(key_of("c.example"))
    assert [proved(zone, name) for name in ("c.example", "d.example", "a.example", "h.example")] == [None] * 4
    assert len(zone) == 1
    assert proved(zone, "g.example") == "NODATA"


@pytest.mark.parametrize("name", ["bb.c.b.example", "zz.example", "g.example"])
def test_name_seen_to_be_there_that_no_record_denies_changes_nothing_else(name: str) -> None:
    records = APEX, nsec("b.example", "c.example", NS), nsec("g.example", "h.example", A)
    zone = zone_of(*records)
    zone.forget(key_of(name))
    assert len(zone) == 3 - (name == "g.example")


def test_name_that_came_and_is_seen_to_be_there_ends_the_proof_from_before_it_came() -> None:
    zone = zone_of(APEX, nsec("b.example", "g.example", A), nsec("c.example", "g.example", A))
    assert proved(zone, "c.example") == "NODATA"
    zone.forget(key_of("c.example"))
    assert proved(zone, "c.example") is None
    assert len(zone) == 0, "the apex, too, no longer proves that there is no wildcard"


LABELS = st.sampled_from(["a", "b", "*", "-", "z"])
NAMES = st.lists(LABELS, max_size=3).map(lambda labels: ".".join([*labels, "example"]))
OWNERS = st.dictionaries(NAMES, st.sets(st.sampled_from([A, NAPTR])), max_size=6)


def truth(there: dict[str, set[int]], name: str, rrtype: int) -> str:
    """By the rules of RFC 1034 section 4.3.2 and RFC 4592, name by name."""

    def exists(one: str) -> bool:
        return any(owner == one or owner.endswith(f".{one}") for owner in there)

    source = name
    if not exists(name):
        encloser = name
        while not exists(encloser):
            encloser = encloser.partition(".")[2]
        source = f"*.{encloser}"
        if not exists(source):
            return "NXDOMAIN"
    return "NOERROR" if rrtype in there.get(source, ()) else "NODATA"


@given(OWNERS, st.sets(st.integers(0, 6)), st.lists(NAMES, min_size=1, max_size=8))
@settings(deadline=None, max_examples=400)
def test_proof_from_any_part_of_a_chain_is_true_and_from_all_of_it_denies_all_that_is_not_there(
    owners: dict[str, set[int]], left_out: set[int], asked: list[str]
) -> None:
    there = {**owners, "example": {NS, SOA}}
    chain = sorted(there, key=key_of)
    records = [
        nsec(owner, after, *there[owner]) for owner, after in zip(chain, [*chain[1:], chain[0]], strict=True)
    ]
    part = zone_of(*(record for at, record in enumerate(records) if at not in left_out))
    whole = zone_of(*records)
    for name in asked:
        for rrtype in (RrType.A, RrType.NAPTR):
            true = truth(there, name, rrtype.value)
            assert proved(part, name, rrtype) in {None, true}
            if true == "NXDOMAIN":
                assert proved(whole, name, rrtype) == "NXDOMAIN"
