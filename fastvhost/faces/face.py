"""A face: one way in for clients, as the service runs it."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from fastvhost.config import Endpoint, Listen
from fastvhost.faces.latency import Latencies

__all__ = ["Face", "FaceName"]


class FaceName(Enum):
    """A face as the key of `listen` that says where it is, and as what passes sockets for it, name it."""

    PDB = "pdb"
    DNS = "dns"
    ADMIN = "admin"


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

    def configure(self, listen: Listen) -> None:
        """Answer by this section from the next request on; where it listens is nothing that this changes."""
        ...

    async def receive(self) -> None:
        """Take requests until cancelled; the service ends this first."""
        ...

    def answer_rest(self) -> None:
        """Answer what was received until `receive` was cancelled, and not looked at; not at a sudden end."""
        ...

    async def watch_deadlines(self) -> None:
        """Answer in time what flights have not answered, until cancelled; ended last, after all flights."""
        ...

    def close(self) -> None:
        """Give back what it holds beside its sockets; called once nothing of it runs."""
        ...
