"""Proven denial: what is taken up of replies, how long it counts, what ends it, and its bounds."""

import pytest

from fastvhost.resolve import denial
from fastvhost.resolve.denial import ProvenDenial
from fastvhost.resolve.nsec_zone import Proof
from fastvhost.resolve.reply import Answer, Denial, Failure, Negative, Nsec, Record, RrType

RECORD: tuple[Record, ...] = ()


def nsec(owner: str, next_name: str, *, zone: str = "example", ttl: int = 60) -> Nsec:
    labels = owner.count(".") + 1 if owner else 0
    return Nsec(
        owner=owner,
        next_name=next_name,
        types=frozenset({2, 6}) if owner == zone else frozenset(),
        ttl=ttl,
        signatures=frozenset({(zone, labels)}),
    )


def negative(*nsecs: Nsec, zone: str = "example", ttl: int = 60, nxdomain: bool = True) -> Negative:
    return Negative(nxdomain=nxdomain, ttl=ttl, authentic=True, denial=Denial(zone=zone, nsecs=nsecs))


WHOLE = nsec("example", "example")
"""A zone of one name."""


def learned(name: str, reply: Negative, *, longest: float = 1e6) -> ProvenDenial:
    proven = ProvenDenial(longest=longest)
    proven.learn(name, reply, 0.0)
    return proven


def denies(proven: ProvenDenial, name: str, now: float = 0.0) -> bool:
    proof = proven.proof(name, RrType.NAPTR, now)
    return proof is not None and proof.nxdomain


def test_nothing_is_proved_at_first() -> None:
    proven = ProvenDenial(longest=60.0)
    assert proven.proof("a.example", RrType.A, 0.0) is None
    assert proven.sizes() == {"zones": 0, "ranges": 0, "absent": 0}


def test_reply_proves_of_every_name_of_its_ranges() -> None:
    proven = learned("a.example", negative(WHOLE))
    assert denies(proven, "b.example")
    assert denies(proven, "x.y.example")
    assert not denies(proven, "example")
    assert not denies(proven, "example.test")
    assert proven.sizes() == {"zones": 1, "ranges": 1, "absent": 0}


def test_reply_that_is_not_validated_proves_nothing() -> None:
    proven = learned("a.example", Negative(nxdomain=True, ttl=60))
    assert proven.sizes() == {"zones": 0, "ranges": 0, "absent": 0}
    assert not denies(proven, "x.a.example")


@pytest.mark.parametrize(
    ("nsec_ttl", "negative_ttl", "longest", "lives"),
    [(10, 60, 1e6, 10.0), (60, 10, 1e6, 10.0), (60, 60, 10.0, 10.0), (0, 60, 1e6, 0.0), (60, 60, 0.0, 0.0)],
)
def test_proof_lives_for_the_least_of_nsec_ttl_negative_ttl_and_ceiling(
    nsec_ttl: int, negative_ttl: int, longest: float, lives: float
) -> None:
    reply = negative(nsec("example", "example", ttl=nsec_ttl), ttl=negative_ttl, nxdomain=False)
    proven = learned("example", reply, longest=longest)
    assert denies(proven, "a.example", lives * 0.999) == (lives > 0.0)
    assert not denies(proven, "a.example", lives)


def test_nxdomain_without_nsec_covers_all_below_its_name_and_nothing_beside_it() -> None:
    proven = learned("a.example", negative())
    assert proven.proof("x.y.a.example", RrType.SRV, 0.0) == Proof(
        nxdomain=True, expires=60.0, by="NXDOMAIN at a.example"
    )
    assert denies(proven, "a.example", 59.9)
    assert not denies(proven, "a.example", 60.0)
    assert not denies(proven, "example")
    assert not denies(proven, "b.example")
    assert not denies(proven, "xa.example")
    assert proven.sizes() == {"zones": 0, "ranges": 0, "absent": 1}


def test_nodata_without_nsec_proves_nothing_beyond_itself() -> None:
    proven = learned("a.example", negative(nxdomain=False))
    assert proven.sizes() == {"zones": 0, "ranges": 0, "absent": 0}


def test_root_zone_denies_names_of_no_top_level_domain() -> None:
    proven = learned("nowhere", negative(nsec("", "com", zone=""), nsec("com", "", zone=""), zone=""))
    assert denies(proven, "host.elsewhere")
    proof = proven.proof("host.elsewhere", RrType.A, 0.0)
    assert proof is not None
    assert proof.by == "NSEC com to ."


@pytest.mark.parametrize(
    "reply",
    [
        Answer(records=RECORD, ttl=60),
        Answer(records=RECORD, ttl=60, authentic=True),
        Negative(nxdomain=False, ttl=60),
    ],
)
@pytest.mark.parametrize("proof", [negative(WHOLE), negative()], ids=["nsec", "nxdomain"])
def test_later_reply_that_a_name_is_there_ends_the_proof_that_it_is_not(
    proof: Negative, reply: Answer | Negative
) -> None:
    proven = learned("a.example", proof)
    proven.learn("_sip._udp.a.example", reply, 1.0)
    assert not denies(proven, "a.example")
    assert not denies(proven, "_sip._udp.a.example")
    assert proven.sizes()["ranges"] == proven.sizes()["absent"] == 0


def test_later_reply_of_an_alias_ends_the_proofs_about_all_its_names() -> None:
    proven = learned("a.example", negative(WHOLE))
    proven.learn("b.test", negative(zone="test"), 0.0)
    proven.learn("c.invalid", Answer(records=RECORD, ttl=60, aliases=("b.test", "a.example")), 1.0)
    assert not denies(proven, "a.example")
    assert not denies(proven, "b.test")


def test_nodata_that_shows_a_name_to_be_there_keeps_what_it_proves_itself() -> None:
    proven = learned("a.example", negative(WHOLE))
    reply = negative(nsec("example", "b.a.example"), nsec("b.a.example", "example"), nxdomain=False)
    proven.learn("a.example", reply, 1.0)
    proof = proven.proof("a.example", RrType.A, 1.0)
    assert proof is not None
    assert not proof.nxdomain
    assert denies(proven, "c.example", 1.0)


@pytest.mark.parametrize("reply", [Failure(why="SERVFAIL"), Negative(nxdomain=True, ttl=60)])
def test_later_reply_that_is_no_evidence_ends_nothing(reply: Failure | Negative) -> None:
    proven = learned("a.example", negative(WHOLE))
    proven.learn("b.example", reply, 1.0)
    assert denies(proven, "b.example")


def test_name_with_odd_octets_is_asked_for() -> None:
    proven = learned("a.example", negative(WHOLE))
    assert proven.proof(r"\.example", RrType.A, 0.0) is None
    assert proven.proof(r"a\.b.example", RrType.A, 0.0) is None


def test_nearest_zone_knows_best() -> None:
    """A zone made after its parent was asked: the parent's older word is heard where the child has none."""
    proven = learned("b.example", negative(nsec("example", "example")))
    proven.learn(
        "b.example",
        negative(nsec("b.example", "x.b.example", zone="b.example"), zone="b.example", nxdomain=False),
        1.0,
    )
    proof = proven.proof("x.b.example", RrType.A, 1.0)
    assert proof is None, "its own zone said that it is there, and so the parent's word has ended"


@pytest.mark.parametrize(("number", "kept"), [(2, 2), (3, 3), (4, 3)])
def test_zones_over_the_bound_push_out_the_one_used_longest_ago(
    number: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial, "MAX_ZONES", 3)
    proven = ProvenDenial(longest=60.0)
    zones = [f"zone{at}" for at in range(number)]
    for zone in zones:
        proven.learn(f"a.{zone}", negative(nsec(zone, zone, zone=zone), zone=zone), 0.0)
        assert denies(proven, "b.zone0")
    assert proven.sizes() == {"zones": kept, "ranges": kept, "absent": 0}
    assert proven.counters.zones_dropped == number - kept
    assert [denies(proven, f"b.{zone}") for zone in zones] == [at != 1 or number <= 3 for at in range(number)]


@pytest.mark.parametrize(("number", "kept"), [(2, 2), (3, 3), (4, 3)])
def test_ranges_over_the_bound_push_out_the_zone_used_longest_ago(
    number: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial, "MAX_RANGES", 6)
    proven = ProvenDenial(longest=60.0)
    for at in range(number):
        zone = f"zone{at}"
        both = nsec(zone, f"b.{zone}", zone=zone), nsec(f"b.{zone}", zone, zone=zone)
        proven.learn(f"a.{zone}", negative(*both, zone=zone), 0.0)
    assert proven.sizes() == {"zones": kept, "ranges": 2 * kept, "absent": 0}
    assert denies(proven, "c.zone0") == (number <= 3)


@pytest.mark.parametrize(("number", "kept"), [(2, 2), (3, 3), (4, 3)])
def test_absent_names_over_the_bound_push_out_the_one_used_longest_ago(
    number: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denial, "MAX_ABSENT", 3)
    proven = ProvenDenial(longest=60.0)
    for at in range(number):
        proven.learn(f"name{at}.example", negative(), 0.0)
    assert proven.sizes()["absent"] == kept
    assert proven.counters.absent_dropped == number - kept
    assert denies(proven, "x.name0.example") == (number <= 3)


def test_ranges_of_one_zone_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial, "MAX_ZONE_RANGES", 8)
    proven = ProvenDenial(longest=60.0)
    for at in range(20):
        proven.learn(f"n{at:02}x.example", negative(nsec(f"n{at:02}.example", f"n{at + 1:02}.example")), 0.0)
    assert (proven.sizes()["zones"], proven.sizes()["ranges"]) == (1, 8)


@pytest.mark.parametrize(("labels", "covers"), [(15, True), (16, True), (17, False)])
def test_name_deeper_than_any_zone_covers_nothing_below_it(labels: int, covers: bool) -> None:
    """Looking for it would cost a look for each of the 127 labels that a host may have."""
    name = ".".join(["a"] * labels)
    proven = learned(name, negative(zone="a"))
    assert denies(proven, f"b.{name}") == covers


def test_name_of_as_many_labels_as_fit_is_denied_by_a_range() -> None:
    proven = learned("a.example", negative(WHOLE))
    assert denies(proven, ".".join(["a"] * 120) + ".example")
