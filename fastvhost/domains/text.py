"""What DNS says of TXT at a name, in the terms of whoever reads what a domain publishes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

__all__ = ["AskText", "TextRecords"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecords:
    """What DNS says of TXT at a name; no records where it proved that there are none."""

    records: Sequence[Sequence[bytes]]
    authentic: bool


AskText = Callable[[str], Awaitable[TextRecords | None]]
"""Asks for TXT at a name; None where DNS failed."""
