"""The query log: a sample of what is asked, and what became of it at once."""

import logging
from collections.abc import Callable
from random import random

from fastvhost.coalesce import Flight
from fastvhost.host import Address
from fastvhost.model import Verdict

__all__ = ["QueryLog"]

_log = logging.getLogger(__name__)


class QueryLog:
    """Logs `share`, over 0 and at most 1, of all queries."""

    __slots__ = ("_draw", "_share")

    def __init__(self, share: float, draw: Callable[[], float] = random) -> None:
        """`draw` has numbers from 0 to below 1."""
        self._share = share
        self._draw = draw

    def __call__(self, text: str, source: Address | None, decided: Verdict | Flight) -> None:
        """Log, or leave it, that `source` asked for a host and what it is told, or that it waits."""
        if self._draw() >= self._share:
            return
        verdict = "LOOKING" if isinstance(decided, Flight) else decided.kind.name
        peer = "-" if source is None else str(source)
        query = {"host": text, "source": peer, "verdict": verdict}
        # What a client wrote may hold line breaks and control sequences.
        _log.info("query %s from %s: %s", ascii(text)[1:-1], peer, verdict, extra={"query": query})
