"""Snapshots: whatever the file is, it is refused with a reason, or believed within the bounds of the cache.

An input is read as a file; and as blocks without checksums, an octet for the kind, one for the entries, two
for the length and the payload, of which a file is made. So the fuzzer gets past the CRCs.
"""

from typing import assert_never

from fastvhost.cache import KeptHosted, KeptUnknown, VerdictCache
from fastvhost.config import Cache
from fastvhost.snapshot import Snapshot, Unusable, read_snapshot, write_block, write_end, write_header
from fastvhost.snapshot_blocks import DamagedError, Payload, payloads_of, read_payload

__all__ = ["check"]

_CIRCUMSTANCES = bytes(32)
_NOW = 100.0
_WALL = 1_700_000_000.0
_MOST = 1_000


def check(octets: bytes) -> None:
    """Read `octets` as they are, and as blocks."""
    _check_file(octets)
    payloads = _payloads(octets)
    entries = sum(payload.entries for payload in payloads)
    blocks = b"".join(map(write_block, payloads))
    found = _check_file(write_header(_CIRCUMSTANCES, _WALL) + blocks + write_end(entries))
    readable = all(map(_is_readable, payloads))
    assert isinstance(found, Snapshot) is (readable and entries <= _MOST)
    if isinstance(found, Snapshot):
        _check_snapshot(found)


def _payloads(octets: bytes) -> list[Payload]:
    payloads = []
    at = 0
    while at + 4 <= len(octets):
        first = at + 4
        length = int.from_bytes(octets[at + 2 : first], "little")
        payload = octets[first : first + length]
        payloads.append(Payload(kind=1 + octets[at] % 255, entries=octets[at + 1], octets=payload))
        at = first + length
    return payloads


def _is_readable(payload: Payload) -> bool:
    try:
        piece = read_payload(payload, 0.0)
    except DamagedError:
        return False
    for again in payloads_of(piece, 0.0):
        read_payload(again, 0.0)
    return True


def _check_file(octets: bytes) -> Snapshot | Unusable:
    found = read_snapshot(octets, _CIRCUMSTANCES, now=_NOW, wall=_WALL + 5.0, most=_MOST)
    if isinstance(found, Unusable):
        assert found.why.isprintable()
    else:
        assert found.age >= 0.0
    return found


def _check_snapshot(snapshot: Snapshot) -> None:
    """The cache takes anything that was read, and believes none of it longer than its bounds."""
    limits = Cache(hosted_entries=10, unknown_entries=10)
    cache = VerdictCache(limits)
    for piece in snapshot.pieces:
        cache.take_back(piece, _NOW)
    hosted, unknown = cache.sizes()
    assert max(hosted, unknown) <= 10
    for piece in cache.pieces():
        match piece:
            case KeptHosted():
                for entry in piece.entries:
                    assert entry.verdict.ttl(_NOW) <= limits.hosted_ttl[1]
                    assert entry.stale_until <= entry.verdict.expires + limits.stale
            case KeptUnknown():
                assert all(end - _NOW <= limits.not_hosted_ttl[1] for end in piece.absent.values())
                assert all(verdict.ttl(_NOW) <= limits.hosted_ttl[1] for verdict in piece.told)
            case never:
                assert_never(never)
