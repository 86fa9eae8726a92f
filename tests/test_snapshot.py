"""The octets of a snapshot: what is read is what was written, or a reason why nothing is."""

import os
import struct
import subprocess
import sys
import zlib
from ipaddress import ip_network
from pathlib import Path

import pytest

from fastvhost import config
from fastvhost.cache import VerdictCache
from fastvhost.config import Dns, Endpoint, Own, Transport
from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.snapshot import (
    Snapshot,
    Unusable,
    circumstances_of,
    read_snapshot,
    write_block,
    write_end,
    write_header,
)
from fastvhost.snapshot_blocks import payloads_of

CIRCUMSTANCES = circumstances_of("these")
WALL = 1_700_000_000.0
BEGAN = 1_000.0
HEADER_OCTETS = 19 + 2 + 32 + 8 + 4


def written() -> bytes:
    cache = VerdictCache(config.Cache())
    for host, kind, reason in (
        ("hosted.test", VerdictKind.HOSTED, "SRV → ours"),
        ("elsewhere.test", VerdictKind.NOT_HOSTED, "elsewhere"),
        ("absent.test", VerdictKind.NOT_HOSTED, ABSENT),
        ("failing.test", VerdictKind.UNDETERMINED, "SERVFAIL"),
    ):
        cache.settle(host, Finding(kind=kind, ttl=100.0, reason=reason), BEGAN)
    payloads = [payload for piece in cache.pieces() for payload in payloads_of(piece, BEGAN)]
    entries = sum(payload.entries for payload in payloads)
    return write_header(CIRCUMSTANCES, WALL) + b"".join(map(write_block, payloads)) + write_end(entries)


def read(octets: bytes, *, wall: float = WALL, now: float = 0.0, most: int = 100) -> Snapshot | Unusable:
    return read_snapshot(octets, CIRCUMSTANCES, now=now, wall=wall, most=most)


def why(found: Snapshot | Unusable) -> str:
    assert isinstance(found, Unusable)
    return found.why


def test_read_in_another_process_has_what_is_left_of_every_ttl() -> None:
    snapshot = read(written(), now=5.0, wall=WALL + 30.0)
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.entries, snapshot.age) == (4, 30.0)
    cache = VerdictCache(config.Cache())
    for piece in snapshot.pieces:
        cache.take_back(piece, 5.0)
    entry = cache.hosted("hosted.test")
    assert entry is not None
    assert entry.verdict.ttl(5.0) == 70.0
    assert entry.verdict.reason == "SRV → ours"
    assert (entry.refresh_at, entry.stale_until) == (65.0, 86_475.0)
    for host, reason in (("elsewhere.test", "elsewhere"), ("absent.test", ABSENT)):
        verdict = cache.unknown(host, 5.0)
        assert verdict is not None
        assert (verdict.kind, verdict.reason, verdict.ttl(5.0)) == (VerdictKind.NOT_HOSTED, reason, 70.0)
    assert cache.unknown("failing.test", 5.0) is None
    assert cache.doubts("failing.test")


def test_read_long_after_has_everything_expired() -> None:
    snapshot = read(written(), wall=WALL + 10 * 365 * 86_400.0)
    assert isinstance(snapshot, Snapshot)
    cache = VerdictCache(config.Cache())
    for piece in snapshot.pieces:
        cache.take_back(piece, 0.0)
    entry = cache.hosted("hosted.test")
    assert entry is not None
    assert entry.stale_until < 0.0
    assert cache.unknown("absent.test", 0.0) is None


def test_read_with_the_clock_set_back_is_unusable() -> None:
    assert isinstance(read(written(), wall=WALL), Snapshot)
    assert why(read(written(), wall=WALL - 60.0)) == (
        "it was made 60 s in the future: the clock has been set back"
    )


def test_read_torn_anywhere_is_unusable() -> None:
    octets = written()
    for length in range(len(octets)):
        reason = why(read(octets[:length]))
        assert "torn" in reason if length >= 19 else reason == "it is no snapshot of fastvhost"


def test_read_with_any_octet_changed_is_unusable() -> None:
    octets = written()
    for at in range(len(octets)):
        changed = octets[:at] + bytes([octets[at] ^ 0x10]) + octets[at + 1 :]
        assert isinstance(read(changed), Unusable), at


@pytest.mark.parametrize("octets", [b"", b"\0" * 1_000, b"SQLite format 3\0", b"fastvhost snapshots"])
def test_read_of_something_else_is_unusable(octets: bytes) -> None:
    assert why(read(octets)) == "it is no snapshot of fastvhost"


@pytest.mark.parametrize("version", [0, 2])
def test_read_of_another_version_is_unusable(version: int) -> None:
    octets = written()
    header = octets[:19] + struct.pack("<H", version) + octets[21 : HEADER_OCTETS - 4]
    changed = header + struct.pack("<I", zlib.crc32(header)) + octets[HEADER_OCTETS:]
    assert why(read(changed)) == f"it is of version {version}, and this fastvhost reads version 1"


def test_read_with_octets_behind_its_end_is_unusable() -> None:
    assert why(read(written() + b"\0")) == "it is damaged: its end is not that of its blocks"


def test_read_with_blocks_left_out_is_unusable() -> None:
    octets = write_header(CIRCUMSTANCES, WALL) + write_end(4)
    assert why(read(octets)) == "it is damaged: its end is not that of its blocks"


def test_read_of_an_empty_one_has_nothing() -> None:
    snapshot = read(write_header(CIRCUMSTANCES, WALL) + write_end(0))
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.pieces, snapshot.entries) == ((), 0)


def test_read_at_the_bound_is_read_and_beyond_it_unusable() -> None:
    assert isinstance(read(written(), most=4), Snapshot)
    assert why(read(written(), most=3)) == "it is too large: over 3 entries"


def test_read_under_other_circumstances_is_unusable() -> None:
    found = read_snapshot(written(), circumstances_of("others"), now=0.0, wall=WALL, most=100)
    assert why(found).startswith("it was made with another [own] or [dns]")


OWN = Own(addresses=(ip_network("192.0.2.1"),), names=frozenset({"a.test", "b.test", "c.test"}))
PORTS = {Transport.UDP: frozenset({5060, 5080}), Transport.TLS: frozenset({5061})}


def test_circumstances_do_not_depend_on_the_order_of_sets_and_mappings() -> None:
    turned = Own(
        addresses=OWN.addresses,
        names=frozenset(sorted(OWN.names, reverse=True)),
        ports=dict(reversed(PORTS.items())),
    )
    assert circumstances_of(turned) == circumstances_of(
        Own(addresses=OWN.addresses, names=OWN.names, ports=PORTS)
    )


def test_circumstances_are_the_same_in_a_process_where_strings_have_other_hashes() -> None:
    script = "from fastvhost.snapshot import *; print(circumstances_of(frozenset('abcdef')).hex())"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{circumstances_of(frozenset('abcdef')).hex()}\n"}


@pytest.mark.parametrize(
    ("own", "dns", "servers"),
    [
        (Own(addresses=OWN.addresses), Dns(), ()),
        (Own(addresses=OWN.addresses, names=OWN.names, ports=PORTS), Dns(), ()),
        (OWN, Dns(trusted=True), ()),
        (OWN, Dns(match=config.Match.FIRST), ()),
        (OWN, Dns(), (Endpoint("192.0.2.53", 53),)),
    ],
)
def test_circumstances_depend_on_who_we_are_and_how_and_whom_we_ask(
    own: Own, dns: Dns, servers: tuple[Endpoint, ...]
) -> None:
    assert circumstances_of(own, dns, servers) != circumstances_of(OWN, Dns(), ())
