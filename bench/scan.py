"""The hit rate of the cache of unknown hosts while somebody scans: as it is, and as a plain LRU.

`python -m bench.scan` prints one line for each rate of the scan. No clock and no network: each figure follows
from the seed.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from cachetools import LRUCache

from fastvhost.scan_resistant import ScanResistant

__all__ = ["ScanRow", "scan_rows"]

_ENTRIES = 10_000
_HOSTS = 20_000
"""Hosts that honest peers ask for, the k-th with a weight of 1/k (Zipf; Breslau and others, 1999)."""
_ASKED = 200_000
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRow:
    """Shares of the honest look-ups, 0–1, that were answered from the cache."""

    scanned_per_honest: int
    """Names asked once, for each honest look-up."""
    lru: float
    scan_resistant: float


def scan_rows(*, scanned_per_honest: tuple[int, ...] = (0, 1, 3, 10, 30)) -> Iterator[ScanRow]:
    """One row for each rate; the first half of the look-ups fills the cache and is not counted."""
    for rate in scanned_per_honest:
        yield ScanRow(scanned_per_honest=rate, lru=_lru(rate), scan_resistant=_scan_resistant(rate))


def _look_ups(rate: int) -> Iterator[tuple[bool, str]]:
    """Whether it counts, and the host."""
    weights = list(accumulate(1 / rank for rank in range(1, _HOSTS + 1)))
    honest = random.Random(_SEED).choices(range(_HOSTS), cum_weights=weights, k=_ASKED)
    for number, host in enumerate(honest):
        yield number >= _ASKED // 2, f"h{host}.example"
        for scanned in range(rate):
            yield False, f"s{number}x{scanned}.example"


def _lru(rate: int) -> float:
    kept: LRUCache[str, bool] = LRUCache(_ENTRIES)
    hits = 0
    for counts, host in _look_ups(rate):
        if kept.get(host):
            hits += counts
        else:
            kept[host] = True
    return hits / (_ASKED // 2)


def _scan_resistant(rate: int) -> float:
    kept: ScanResistant[bool] = ScanResistant(_ENTRIES)
    hits = 0
    for counts, host in _look_ups(rate):
        if kept.ask(host):
            hits += counts
        else:
            kept.put(host, True)
    return hits / (_ASKED // 2)


def main() -> None:
    """Print the table."""
    print("scanned per honest look-up    LRU  scan-resistant")
    for row in scan_rows():
        print(f"{row.scanned_per_honest:26}  {row.lru:5.3f}  {row.scan_resistant:14.3f}")


if __name__ == "__main__":
    main()
