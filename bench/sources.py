"""A million spoofed sources against the budgets: who gets walks, and what it costs in time and memory.

`python -m bench.sources` prints one line for each kind of source. Time is an argument: five seconds of a
flood of 200,000 queries a second, each from a source and for a zone of its own, on the default limits.
"""

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from fastvhost.budgets import Budget, Budgets
from fastvhost.config import Limits
from fastvhost.limits import Bucket, capped

__all__ = ["SourceRow", "source_rows"]

_FLOOD_PER_SECOND = 200_000
_UNKNOWN_SHARE = 0.8
"""The part of `limits.upstream_qps` that unknown hosts have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One kind of source in the flood."""

    kind: str
    asked: int
    walks: int
    """How many of these were admitted."""
    allowed: float
    """The most that the limits of one source let through in that time."""


@dataclass(slots=True)
class _Peer:
    kind: str
    source: IPv4Address
    every: int
    """Queries of the flood between two of its own."""
    asked: int = 0
    walks: int = 0


def source_rows(*, sources: int = 1_000_000) -> Iterator[SourceRow]:
    """The flood; three sources that ask all along, two of them established, one of these far too often."""
    limits = Limits()
    upstream = Bucket(capped(limits.upstream_qps * _UNKNOWN_SHARE))
    budgets = Budgets(limits, upstream=upstream, registrable_domain=str)
    heavy = _Peer("established, 1,000/s", IPv4Address("192.0.2.1"), _FLOOD_PER_SECOND // 1_000)
    modest = _Peer("established, 10/s", IPv4Address("192.0.2.2"), _FLOOD_PER_SECOND // 10)
    stranger = _Peer("new, 10/s", IPv4Address("192.0.2.3"), _FLOOD_PER_SECOND // 10)
    for peer in (heavy, modest):
        budgets.sources.told_hosted(peer.source, 0.0)
    flooded = 0
    for number in range(sources):
        now = number / _FLOOD_PER_SECOND
        spoofed = IPv4Address(0x0A00_0000 + number)
        flooded += not isinstance(budgets.admit(f"z{number}.test", spoofed, now), Budget)
        for peer in (heavy, modest, stranger):
            if number % peer.every == peer.every // 2:
                peer.asked += 1
                admitted = budgets.admit(f"p{number}.test", peer.source, now)
                peer.walks += not isinstance(admitted, Budget)
    seconds = sources / _FLOOD_PER_SECOND
    allowed = limits.source_rate * (seconds + 2)
    yield SourceRow(kind="spoofed, once each", asked=sources, walks=flooded, allowed=float(sources))
    for peer in (heavy, modest, stranger):
        yield SourceRow(kind=peer.kind, asked=peer.asked, walks=peer.walks, allowed=allowed)


def main() -> None:
    """Print the table, then what it cost."""
    started = time.perf_counter()
    print(f"{'source':24}{'asked':>10}{'walks':>8}{'allowed':>10}")
    asked = 0
    for row in source_rows():
        asked += row.asked
        print(f"{row.kind:24}{row.asked:10,}{row.walks:8,}{row.allowed:10,.0f}")
    print(f"{(time.perf_counter() - started) / asked * 1e6:.1f} us a query, the flood's own work included")
    tracemalloc.start()
    for _ in source_rows(sources=100_000):
        pass
    print(f"most memory, 100,000 sources: {tracemalloc.get_traced_memory()[1] / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
