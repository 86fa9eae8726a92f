"""Load on a PDB face that goes on whatever becomes of the daemon, and what was answered meanwhile."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NoReturn

import trio

from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from tests.support import PdbClient

__all__ = ["Asking"]


class Asking:
    """Sends hosts one after another at a rate, and counts the verdicts by host."""

    def __init__(self, server: Endpoint, hosts: Iterator[str], *, rate: float) -> None:
        """`hosts` never ends; `rate` is in requests a second."""
        self._server = server
        self._hosts = hosts
        self._rate = rate
        self.sent = 0
        self.verdicts: defaultdict[str, Counter[VerdictKind]] = defaultdict(Counter)

    def kinds(self) -> set[VerdictKind]:
        """The verdicts on any host."""
        return {kind for counts in self.verdicts.values() for kind in counts}

    @property
    def answered(self) -> int:
        """Replies that came."""
        return sum(counts.total() for counts in self.verdicts.values())

    async def run(self) -> NoReturn:
        """Ask until cancelled."""
        with PdbClient(self._server) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, client)
                due = trio.current_time()
                for host in self._hosts:
                    await client.send(write_request(host.encode(), secrets.randbelow(0x10000)))
                    self.sent += 1
                    due += 1.0 / self._rate
                    await trio.sleep_until(due)
        raise AssertionError("there is always another host")

    async def _receive(self, client: PdbClient) -> NoReturn:
        while True:
            reply = await client.receive()
            name, _, value = reply[6:].partition(b"\0")
            self.verdicts[name.decode()][VerdictKind(int.from_bytes(value, "big"))] += 1
