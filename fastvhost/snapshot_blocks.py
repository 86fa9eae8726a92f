"""The payloads of a snapshot's blocks: pieces of the cache of verdicts in columns.

A payload has its columns one after another, each with a field for every entry of its block:

    kind            columns
    1, 2  absent    hosts, ends i64
    3, 4  told      hosts, ends i64, verdict kinds u8, denied u8, failures u32, reasons
    5     hosted    hosts, ends i64, refresh instants i64, ends of stale i64, failures u32, reasons

Hosts are u32 octets of ASCII, reasons all that is left, in UTF-8; both are separated by LF. Instants are in
milliseconds from when the snapshot was begun, negative before. Kinds 2 and 4 were asked for again.

The steps of walks are left out: they are most of what an entry weighs, and are there to explain.
"""

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fastvhost.cache import HostedEntry, KeptHosted, KeptUnknown, Piece
from fastvhost.host import MAX_NAME
from fastvhost.model import Verdict, VerdictKind

__all__ = ["MOST_ENTRY_OCTETS", "DamagedError", "Payload", "payloads_of", "read_payload"]

_ABSENT, _ABSENT_AGAIN, _TOLD, _TOLD_AGAIN, _HOSTED = range(1, 6)

_LENGTH = struct.Struct("<I")
_HOST_OCTETS = b"abcdefghijklmnopqrstuvwxyz0123456789-.\n"
_MOST_REASON = 512
"""Characters of a reason that are kept."""
_MOST_FAILURES = 2**32 - 1
_FARTHEST = 2**52
"""Milliseconds, either way, that floats still tell from the next."""
_TOLD_KINDS = frozenset({VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED})

MOST_ENTRY_OCTETS = 4 * _MOST_REASON + MAX_NAME + 2 + 3 * 8 + 4
"""No entry takes more, beside the head of its block."""


class DamagedError(Exception):
    """Octets that no writer of ours makes; what they are instead, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a block carries."""

    kind: int
    entries: int
    octets: bytes


def payloads_of(piece: Piece, began: float) -> list[Payload]:
    """The piece in columns; none where it is empty. Some 0.5 us an entry.

    `began` is the instant from which on instants count.
    """
    if isinstance(piece, KeptHosted):
        return [_hosted_payload(piece.entries, began)] if piece.entries else []
    payloads = []
    if piece.absent:
        columns = _hosts(piece.absent), _instants(piece.absent.values(), began)
        payloads.append(
            Payload(kind=_ABSENT + piece.again, entries=len(piece.absent), octets=b"".join(columns))
        )
    if piece.told:
        payloads.append(_told_payload(_TOLD + piece.again, piece.told, began))
    return payloads


def read_payload(payload: Payload, began: float) -> Piece:
    """The piece of a payload.

    Raises:
        DamagedError: it is none that `payloads_of` makes.
    """
    columns = _Columns(payload)
    try:
        match payload.kind:
            case 1 | 2:
                piece: Piece = _read_absent(columns, began, again=payload.kind == _ABSENT_AGAIN)
            case 3 | 4:
                piece = _read_told(columns, began, again=payload.kind == _TOLD_AGAIN)
            case 5:
                piece = _read_hosted(columns, began)
            case _:
                raise DamagedError("damaged: a block of a kind that there is not")
    except ValueError as error:  # not ASCII, not UTF-8, no verdict
        raise DamagedError("damaged: a block says what none can") from error
    columns.end()
    return piece


# Writing.


def _told_payload(kind: int, told: Collection[Verdict], began: float) -> Payload:
    columns = (
        _hosts(verdict.host for verdict in told),
        _instants((verdict.expires for verdict in told), began),
        bytes(verdict.kind for verdict in told),
        bytes(verdict.denied for verdict in told),
        _counts(verdict.failures for verdict in told),
        _reasons(told),
    )
    return Payload(kind=kind, entries=len(told), octets=b"".join(columns))


def _hosted_payload(entries: Collection[HostedEntry], began: float) -> Payload:
    verdicts = [entry.verdict for entry in entries]
    columns = (
        _hosts(verdict.host for verdict in verdicts),
        _instants((verdict.expires for verdict in verdicts), began),
        _instants((entry.refresh_at for entry in entries), began),
        _instants((entry.stale_until for entry in entries), began),
        _counts(entry.failures for entry in entries),
        _reasons(verdicts),
    )
    return Payload(kind=_HOSTED, entries=len(entries), octets=b"".join(columns))


def _hosts(hosts: Iterable[str]) -> bytes:
    octets = "\n".join(hosts).encode("ascii")
    return _LENGTH.pack(len(octets)) + octets


def _instants(instants: Iterable[float], began: float) -> bytes:
    milliseconds = [int((instant - began) * 1_000) for instant in instants]
    return struct.pack(f"<{len(milliseconds)}q", *milliseconds)


def _counts(counts: Iterable[int]) -> bytes:
    bounded = [min(count, _MOST_FAILURES) for count in counts]
    return struct.pack(f"<{len(bounded)}I", *bounded)


def _reasons(verdicts: Iterable[Verdict]) -> bytes:
    reasons = [verdict.reason[:_MOST_REASON].replace("\n", " ") for verdict in verdicts]
    return "\n".join(reasons).encode(errors="replace")


# Reading.


class _Columns:
    """The columns of a payload, one after another."""

    def __init__(self, payload: Payload) -> None:
        self._octets = payload.octets
        self._entries = payload.entries
        self._at = 0

    def hosts(self) -> list[str]:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        octets = self._take(length)
        hosts = octets.decode("ascii").split("\n")
        if len(hosts) != self._entries:
            raise DamagedError("damaged: hosts are missing")
        longest = len(max(hosts, key=len))
        if octets.translate(None, _HOST_OCTETS) or "" in hosts or longest > MAX_NAME:
            raise DamagedError("damaged: a host is none")
        return hosts

    def instants(self, began: float) -> list[float]:
        octets = self._take(8 * self._entries)
        milliseconds = struct.unpack(f"<{self._entries}q", octets)
        if max(milliseconds) > _FARTHEST or min(milliseconds) < -_FARTHEST:
            raise DamagedError("damaged: an instant is too far away")
        return [began + number / 1_000 for number in milliseconds]

    def octets(self) -> bytes:
        return self._take(self._entries)

    def counts(self) -> tuple[int, ...]:
        return struct.unpack(f"<{self._entries}I", self._take(4 * self._entries))

    def reasons(self) -> list[str]:
        reasons = self._take(len(self._octets) - self._at).decode().split("\n")
        if len(reasons) != self._entries or max(len(reason) for reason in reasons) > _MOST_REASON:
            raise DamagedError("damaged: reasons are missing, or too long")
        return reasons

    def end(self) -> None:
        if self._at != len(self._octets):
            raise DamagedError("damaged: a block has more than its columns")

    def _take(self, length: int) -> bytes:
        taken = self._octets[self._at : self._at + length]
        if len(taken) != length:
            raise DamagedError("damaged: a block has less than its columns")
        self._at += length
        return taken


def _read_absent(columns: _Columns, began: float, *, again: bool) -> KeptUnknown:
    absent = dict(zip(columns.hosts(), columns.instants(began), strict=True))
    return KeptUnknown(again=again, absent=absent, told=())


def _read_told(columns: _Columns, began: float, *, again: bool) -> KeptUnknown:
    hosts, ends = columns.hosts(), columns.instants(began)
    kinds = [VerdictKind(number) for number in columns.octets()]
    if not _TOLD_KINDS.issuperset(kinds):
        raise DamagedError("damaged: a verdict that is never kept")
    rows = zip(hosts, ends, kinds, columns.octets(), columns.counts(), columns.reasons(), strict=True)
    told = [
        Verdict(kind=kind, host=host, expires=end, reason=reason, failures=failures, denied=denied != 0)
        for host, end, kind, denied, failures, reason in rows
    ]
    return KeptUnknown(again=again, absent={}, told=tuple(told))


def _read_hosted(columns: _Columns, began: float) -> KeptHosted:
    hosts = columns.hosts()
    ends, refresh_at, stale_until = (columns.instants(began) for _ in range(3))
    rows = zip(hosts, ends, refresh_at, stale_until, columns.counts(), columns.reasons(), strict=True)
    entries = []
    for host, end, refresh, stale, failures, reason in rows:
        verdict = Verdict(kind=VerdictKind.HOSTED, host=host, expires=end, reason=reason)
        entry = HostedEntry(verdict, refresh_at=refresh, stale_until=stale)
        entry.failures = failures
        entries.append(entry)
    return KeptHosted(entries=tuple(entries))
