"""What a run measured, as values, as JSON and as text."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tools.load.dialect import Dialect
from tools.load.latency import LatencyHistogram

__all__ = ["Figures"]


@dataclass(slots=True, kw_only=True)
class Figures:
    """Counts of one run; `sent == answered + lost` once it has ended."""

    dialect: Dialect
    """The words for what replies say."""
    sent: int = 0
    answered: int = 0
    lost: int = 0
    """Requests without a reply within the time-out."""
    strays: int = 0
    """Datagrams that reply to no request outstanding: late, twice, or not what was asked."""
    seconds: float = 0.0
    """From the first request to the last reply."""
    rehearsal_seconds: float = 0.0
    """What `Plan.rehearse` took before."""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the first request was sent, so that what others did meanwhile can be put beside it."""
    verdicts: Counter[int] = field(default_factory=Counter)
    """Replies by what they say: PDB values, DNS outcomes."""
    verdicts_of_unknown: Counter[int] = field(default_factory=Counter)
    """Of these, what random hosts were told."""
    latency_of_known: LatencyHistogram = field(default_factory=LatencyHistogram)
    """Of the plan's own hosts: what hits take while unknown hosts are asked for as well."""
    latency_of_unknown: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def answers_per_second(self) -> float:
        """Replies over the time from the first request to the last reply."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def latency(self) -> LatencyHistogram:
        """Of all replies."""
        return self.latency_of_known.merged(self.latency_of_unknown)

    def as_json(self) -> dict[str, object]:
        """Everything, for `json.dumps`; latencies in microseconds, null without replies."""
        return {
            "answers_per_second": round(self.answers_per_second, 1),
            "seconds": round(self.seconds, 6),
            "rehearsal_seconds": round(self.rehearsal_seconds, 6),
            "sent": self.sent,
            "answered": self.answered,
            "lost": self.lost,
            "strays": self.strays,
            "verdicts": self._verdicts(),
            "latency_us": self.latency.microseconds(),
            "latency_of_known_us": self.latency_of_known.microseconds(),
        }

    def __str__(self) -> str:
        verdicts = "  ".join(f"{verdict} {count:,}" for verdict, count in self._verdicts().items())
        latencies = "  ".join(
            f"{name} {'-' if latency is None else f'{latency:,}'}"
            for name, latency in self.latency.microseconds().items()
        )
        return (
            f"{self.answers_per_second:,.0f} answers/s over {self.seconds:.2f} s\n"
            f"sent {self.sent:,}  answered {self.answered:,}  lost {self.lost:,}  strays {self.strays:,}\n"
            f"verdicts: {verdicts or 'none'}\n"
            f"latency, us: {latencies}"
        )

    def _verdicts(self) -> dict[str, int]:
        return {self.dialect.describe(value): count for value, count in sorted(self.verdicts.items())}
