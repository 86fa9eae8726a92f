"""The PDB face: requests of Kamailio's module `pdb`, answered from `Lookup`."""

import socket
from dataclasses import dataclass, field

import trio

from fastvhost.coalesce import Flight
from fastvhost.config import Endpoint, Listen
from fastvhost.faces.batch import Client
from fastvhost.faces.latency import Latencies
from fastvhost.faces.owed import OwedReplies
from fastvhost.faces.pdb_codec import ID_AT, read_request, write_reply
from fastvhost.faces.udp import DatagramLoop
from fastvhost.giving_way import GivingWay
from fastvhost.host import parse_address
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict, VerdictKind
from fastvhost.retractions import Retractions

__all__ = ["PdbCounters", "PdbFace"]


@dataclass(slots=True)
class PdbCounters:
    """Plain integers, since the hot path counts; `replies` is indexed by `VerdictKind`."""

    not_pdb: int = 0
    replies: list[int] = field(default_factory=lambda: [0] * (max(VerdictKind) + 1))


class PdbFace:
    """Answers on `sock`, each request within `listen.answer_within`."""

    def __init__(
        self,
        sock: socket.socket,
        listen: Listen,
        lookup: Lookup,
        retractions: Retractions,
        giving_way: GivingWay,
    ) -> None:
        self._lookup = lookup
        self._owed = OwedReplies(listen.answer_within)
        self.latencies = Latencies()
        self.datagrams = DatagramLoop(
            sock,
            listen,
            answer=self._answer,
            id_at=ID_AT,
            retractions=retractions,
            giving_way=giving_way,
            latencies=self.latencies,
        )
        self.counters = PdbCounters()

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self.datagrams.endpoint

    def configure(self, listen: Listen) -> None:
        """See `Face`."""
        self._owed.configure(listen.answer_within, trio.current_time())
        self.datagrams.configure(listen)

    def close(self) -> None:
        """Give back what it holds beside the socket."""
        self.datagrams.close()

    def counts(self) -> dict[str, int]:
        """Every counter by name."""
        replies = {
            f"replies.{kind.name.lower()}": self.counters.replies[kind] + self.datagrams.repeated(kind)
            for kind in VerdictKind
        }
        return {
            **self.datagrams.counts(),
            "not_pdb": self.counters.not_pdb,
            "overdue": self._owed.overdue,
            **replies,
        }

    async def receive(self) -> None:
        """Take requests until cancelled."""
        await self.datagrams.serve()

    def answer_rest(self) -> None:
        """See `Face`."""
        self.datagrams.answer_rest()

    async def watch_deadlines(self) -> None:
        """Answer in time what flights have not answered, until cancelled; goes on while flights land."""
        await self._owed.watch_deadlines()

    def _answer(self, request: bytes, client: Client | None, now: float) -> bytes | None:
        name = read_request(request)
        if name is None:
            self.counters.not_pdb += 1
            return None
        decided = self._decide(name, now)
        if isinstance(decided, Flight):
            # The request is kept, for the reply echoes most of it.
            self._owed.owe(decided, lambda verdict: self._reply_later(request, client, verdict, now), now)
            return None
        self.counters.replies[decided.kind] += 1
        reply = write_reply(request, decided.kind)
        lease = self._lookup.lease(decided, now)
        self.datagrams.repeat(decided, request, reply, lease=lease, now=now)
        self.latencies.observe(decided.kind, trio.current_time() - now)
        return reply

    def _decide(self, name: bytes, now: float) -> Verdict | Flight:
        """Take `HOST` or `HOST SOURCE` apart and ask.

        What is neither is malformed as a whole: a source that cannot be read must not become a query
        without one, which no source's budget bounds.
        """
        host, space, source = name.partition(b" ")
        try:
            text = host.decode()
            peer = parse_address(source.decode()) if space else None
        except UnicodeDecodeError:
            return self._malformed(name, now)
        if space and peer is None:
            return self._malformed(name, now)
        return self._lookup.decide(text, peer, now)

    def _malformed(self, name: bytes, now: float) -> Verdict:
        self._lookup.counters.malformed += 1
        return Verdict(
            kind=VerdictKind.MALFORMED,
            host=name.decode(errors="backslashreplace"),
            expires=now,
            reason="neither HOST nor HOST SOURCE",
        )

    def _reply_later(self, request: bytes, client: Client | None, verdict: Verdict, received: float) -> None:
        self.counters.replies[verdict.kind] += 1
        self.datagrams.send(write_reply(request, verdict.kind), client)
        self.latencies.observe(verdict.kind, trio.current_time() - received)
