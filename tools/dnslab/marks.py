"""Instants at which something changed, as lines that one process writes and another puts into its report."""

import re
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Mark", "read_marks"]

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) (\S.*)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What changed, and when by the wall clock; `str()` is its line, with the instant by ISO 8601."""

    instant: datetime
    text: str

    def __str__(self) -> str:
        return f"{self.instant.isoformat(timespec='milliseconds')} {self.text}"


def read_marks(text: str) -> tuple[Mark, ...]:
    """The lines of `text` that are marks; a log has others too."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return tuple(Mark(datetime.fromisoformat(line[1]), line[2]) for line in found if line is not None)
