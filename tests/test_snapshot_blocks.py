"""The payloads of blocks: entries come back as they went in, and what no writer makes is refused."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.cache import HostedEntry, KeptHosted, KeptUnknown
from fastvhost.model import Step, Verdict, VerdictKind
from fastvhost.snapshot_blocks import DamagedError, Payload, payloads_of, read_payload

HOSTS = st.integers(0, 10**9).map(lambda number: f"h-{number}.example.test")
INSTANTS = st.integers(-(2**40), 2**40).map(lambda number: number / 8)
"""Exact in binary and in milliseconds."""
REASONS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
TOLD_KINDS = st.sampled_from([VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED])


@given(st.dictionaries(HOSTS, INSTANTS, min_size=1, max_size=20), st.booleans())
@settings(deadline=None)
def test_absent_hosts_come_back_with_their_ends(absent: dict[str, float], again: bool) -> None:
    piece = KeptUnknown(again=again, absent=absent, told=())
    (payload,) = payloads_of(piece, 0.0)
    assert payload.entries == len(absent)
    assert read_payload(payload, 0.0) == piece


TOLD = st.builds(
    lambda kind, host, expires, reason, failures, denied: Verdict(
        kind=kind, host=host, expires=expires, reason=reason, failures=failures, denied=denied
    ),
    TOLD_KINDS,
    HOSTS,
    INSTANTS,
    REASONS,
    st.integers(0, 2**32 - 1),
    st.booleans(),
)


@given(st.lists(TOLD, min_size=1, max_size=5), st.booleans())
@settings(deadline=None)
def test_told_verdicts_come_back_as_they_were(told: list[Verdict], again: bool) -> None:
    piece = KeptUnknown(again=again, absent={}, told=tuple(told))
    (payload,) = payloads_of(piece, 0.0)
    assert read_payload(payload, 0.0) == piece


def hosted(host: str, *, reason: str = "ours") -> HostedEntry:
    step = Step(depth=0, question="NAPTR", rcode="NODATA")
    verdict = Verdict(kind=VerdictKind.HOSTED, host=host, expires=30.0, reason=reason, steps=(step,))
    entry = HostedEntry(verdict, refresh_at=27.0, stale_until=500.0)
    entry.failures = 2
    return entry


def test_hosted_entries_come_back_without_their_steps() -> None:
    (payload,) = payloads_of(KeptHosted(entries=(hosted("a.test"), hosted("b.test"))), 10.0)
    piece = read_payload(payload, 1_000.0)
    assert isinstance(piece, KeptHosted)
    assert [entry.verdict.host for entry in piece.entries] == ["a.test", "b.test"]
    entry = piece.entries[0]
    assert entry.verdict == Verdict(kind=VerdictKind.HOSTED, host="a.test", expires=1_020.0, reason="ours")
    assert (entry.refresh_at, entry.stale_until, entry.failures) == (1_017.0, 1_490.0, 2)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("x" * 513, "x" * 512), ("two\nlines", "two lines"), ("half \ud800", "half ?"), ("", "")],
)
def test_reason_that_does_not_fit_is_made_to(reason: str, kept: str) -> None:
    (payload,) = payloads_of(KeptHosted(entries=(hosted("a.test", reason=reason),)), 0.0)
    piece = read_payload(payload, 0.0)
    assert isinstance(piece, KeptHosted)
    assert piece.entries[0].verdict.reason == kept


def test_empty_pieces_have_no_payload() -> None:
    assert payloads_of(KeptHosted(entries=()), 0.0) == []
    assert payloads_of(KeptUnknown(again=True, absent={}, told=()), 0.0) == []


def absent(hosts: bytes, entries: int = 1, *, kind: int = 1, rest: bytes = b"") -> Payload:
    octets = struct.pack("<I", len(hosts)) + hosts + bytes(8 * entries) + rest
    return Payload(kind=kind, entries=entries, octets=octets)


def test_payload_of_the_longest_host_is_read() -> None:
    read_payload(absent(b"a" * 253), 0.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_payload_of_the_farthest_instant_is_read_and_beyond_it_refused(sign: int) -> None:
    hosts = b"\1\0\0\0a"
    farthest = Payload(kind=1, entries=1, octets=hosts + struct.pack("<q", sign * 2**52))
    piece = read_payload(farthest, 0.0)
    assert payloads_of(piece, 0.0) == [farthest]
    beyond = Payload(kind=1, entries=1, octets=hosts + struct.pack("<q", sign * (2**52 + 1)))
    with pytest.raises(DamagedError, match="an instant is too far away"):
        read_payload(beyond, 0.0)


@pytest.mark.parametrize(
    "payload",
    [
        absent(b"a" * 254),
        absent(b""),
        absent(b"", 0),
        absent(b"a\n", 2),
        absent(b"a\nb"),
        absent(b"a", 2),
        absent(b"A.test"),
        absent(b"a_b.test"),
        absent(b"a b"),
        absent("ä.test".encode()),
        absent(b"a", rest=b"x"),
        absent(b"a", kind=6),
        absent(b"a", kind=0),
        absent(b"a", kind=3, rest=b"\1\0\0\0\0"),  # one octet short of its columns
        absent(b"a", kind=3, rest=b"\4\0\0\0\0\0"),  # PENDING
        absent(b"a", kind=3, rest=b"\0\0\0\0\0\0"),  # no verdict
        absent(b"a", kind=3, rest=b"\2\0\0\0\0\0\xff"),  # a reason that is not UTF-8
        absent(b"a", kind=3, rest=b"\2\0\0\0\0\0a\nb"),  # two reasons
        absent(b"a", kind=3, rest=b"\2\0\0\0\0\0" + b"x" * 513),
        Payload(kind=1, entries=1, octets=b"\xff\xff\xff\xffa"),
        Payload(kind=1, entries=2**32 - 1, octets=b"\1\0\0\0a"),
        Payload(kind=5, entries=1, octets=b""),
    ],
)
def test_payload_that_none_of_ours_is_refused(payload: Payload) -> None:
    with pytest.raises(DamagedError, match="damaged: "):
        read_payload(payload, 0.0)
