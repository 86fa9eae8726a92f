"""The octets of a snapshot: what the cache of verdicts keeps, so that another process can go on with it.

    file    header, blocks, end
    header  "fastvhost snapshot\\n", version u16, circumstances 32 octets, instant i64, CRC-32 u32
    block   head, payload
    head    kind u8, entries u32, octets of the payload u32, CRC-32 of these and of the payload u32
    end     a head of kind 0 whose entries are those of all blocks, modulo 2^32; no payload

Numbers are little-endian. The instant is when the snapshot was begun, in milliseconds since the epoch; the
circumstances are a SHA-256 of all that verdicts depend on beside DNS itself. Payloads are those of
`fastvhost.snapshot_blocks`, whose instants count from that one.

CRCs find what was torn or has rotted, not what was forged: who may write the file may say who is hosted.
"""

import struct
import zlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256

from fastvhost.cache import Piece
from fastvhost.snapshot_blocks import DamagedError, Payload, read_payload

__all__ = [
    "Snapshot",
    "Unusable",
    "circumstances_of",
    "may_replace",
    "read_snapshot",
    "write_block",
    "write_end",
    "write_header",
]

_MAGIC = b"fastvhost snapshot\n"
_VERSION = 1
_HEADER = struct.Struct("<H32sq")
_HEAD = struct.Struct("<BII")
_CRC = struct.Struct("<I")

_BODY = len(_MAGIC) + _HEADER.size + _CRC.size
"""Octets before the first block."""
_END = 0
_MODULUS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was read, with instants on the clock of the reader."""

    pieces: tuple[Piece, ...]
    entries: int
    age: float
    """Seconds since it was begun."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing of it is to be believed: `why`, in a few words for an operator."""

    why: str


def circumstances_of(*values: object) -> bytes:
    """32 octets that are the same in every process, for as long as the values are."""
    return sha256(_canonical(values).encode()).digest()


def may_replace(beginning: bytes) -> bool:
    """Whether a file that begins so is a snapshot, whole or torn, or empty; else it is somebody else's."""
    return beginning[: len(_MAGIC)] == _MAGIC[: len(beginning)]


def write_header(circumstances: bytes, wall: float) -> bytes:
    """The beginning; `wall` is the instant of it in seconds since the epoch."""
    octets = _MAGIC + _HEADER.pack(_VERSION, circumstances, int(wall * 1_000))
    return octets + _CRC.pack(zlib.crc32(octets))


def write_block(payload: Payload) -> bytes:
    """One block."""
    head = _HEAD.pack(payload.kind, payload.entries, len(payload.octets))
    return head + _CRC.pack(zlib.crc32(payload.octets, zlib.crc32(head))) + payload.octets


def write_end(entries: int) -> bytes:
    """The end of a file that has so many entries."""
    return write_block(Payload(kind=_END, entries=entries % _MODULUS, octets=b""))


def read_snapshot(
    octets: bytes, circumstances: bytes, *, now: float, wall: float, most: int
) -> Snapshot | Unusable:
    """Read all of a file, or say why none of it can be believed; whatever the octets are.

    `now` and `wall` are one instant, on the reader's clock and in seconds since the epoch. With more than
    `most` entries it is unusable; and where it comes from the future, since nobody knows how old it is.
    """
    if not octets.startswith(_MAGIC):
        return Unusable("it is no snapshot of fastvhost")
    if len(octets) < _BODY:
        return Unusable("it is torn: the header is not whole")
    version, found, instant = _HEADER.unpack_from(octets, len(_MAGIC))
    if version != _VERSION:
        return Unusable(f"it is of version {version}, and this fastvhost reads version {_VERSION}")
    if _CRC.unpack_from(octets, _BODY - _CRC.size)[0] != zlib.crc32(octets[: _BODY - _CRC.size]):
        return Unusable("it is damaged: the checksum of the header is wrong")
    if found != circumstances:
        return Unusable("it was made with another [own] or [dns], or other servers in resolv.conf")
    age = wall - instant / 1_000
    if age < 0.0:
        return Unusable(f"it was made {-age:.0f} s in the future: the clock has been set back")
    try:
        pieces, entries = _read_blocks(octets, now - age, most)
    except DamagedError as error:
        return Unusable(f"it is {error}")
    return Snapshot(pieces=pieces, entries=entries, age=age)


def _read_blocks(octets: bytes, began: float, most: int) -> tuple[tuple[Piece, ...], int]:
    pieces: list[Piece] = []
    total = 0
    at = _BODY
    while True:
        payload, at = _read_block(octets, at)
        if payload.kind == _END:
            if payload.entries != total % _MODULUS or payload.octets or at != len(octets):
                raise DamagedError("damaged: its end is not that of its blocks")
            return tuple(pieces), total
        total += payload.entries
        if total > most:
            raise DamagedError(f"too large: over {most:,} entries")
        pieces.append(read_payload(payload, began))


def _read_block(octets: bytes, at: int) -> tuple[Payload, int]:
    """The block at octet `at`, and where the next one is."""
    first = at + _HEAD.size + _CRC.size
    if len(octets) < first:
        raise DamagedError("torn: it has no end")
    head = octets[at : at + _HEAD.size]
    kind, entries, length = _HEAD.unpack(head)
    payload = octets[first : first + length]
    if len(payload) != length:
        raise DamagedError("torn: a block is not whole")
    if _CRC.unpack_from(octets, first - _CRC.size)[0] != zlib.crc32(payload, zlib.crc32(head)):
        raise DamagedError("damaged: the checksum of a block is wrong")
    return Payload(kind=kind, entries=entries, octets=payload), first + length


def _canonical(value: object) -> str:
    """As `repr`, but the same whatever the order in sets and mappings."""
    if is_dataclass(value):
        return f"({','.join(f'{one.name}={_canonical(getattr(value, one.name))}' for one in fields(value))})"
    if isinstance(value, Mapping):
        return f"{{{','.join(sorted(f'{_canonical(key)}:{_canonical(one)}' for key, one in value.items()))}}}"
    if isinstance(value, Set):
        return f"{{{','.join(sorted(map(_canonical, value)))}}}"
    if isinstance(value, tuple):
        return f"[{','.join(map(_canonical, value))}]"
    return repr(value)
