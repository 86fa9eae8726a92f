"""A face: one way in for clients, as the service runs it."""

from collections.abc import Mapping
from typing import Protocol

from fastvhost.config import Endpoint
from fastvhost.faces.latency import Latencies

__all__ = ["Face"]


class Face(Protocol):
    """Takes requests and answers each within `listen.answer_within`."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, the port that the kernel chose included; None: it connects to its clients."""
        ...

    @property
    def latencies(self) -> Latencies | None:
        """How long its replies with a verdict take; None where it gives none."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Every counter and gauge by name."""
        ...

    async def receive(self) -> None:
        """Take requests until cancelled; the service ends this first."""
        ...

    async def watch_deadlines(self) -> None:
        """Answer in time what flights have not answered, until cancelled; ended last, after all flights."""
        ...

    def close(self) -> None:
        """Give back what it holds beside its sockets; called once nothing of it runs."""
        ...
