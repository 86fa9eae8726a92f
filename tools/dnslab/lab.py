"""A lab: zones, faults and counts, and the decision on one message. No sockets."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tools.dnslab.answers import Answer, resolve
from tools.dnslab.faults import Effect, Fault, FaultRules, Transport
from tools.dnslab.outcome import Message, messages_for
from tools.dnslab.query import Query, owner_text, parse_query
from tools.dnslab.tally import Sighting, Tally, type_text
from tools.dnslab.zones import Unknown, Zone, build_namespace

__all__ = ["MAX_DELAYED", "Due", "Lab"]

MAX_DELAYED = 20_000
"""Replies that wait for their delay at one time, UDP and TCP together; a task each, about 5 kB."""

COUNT_OWNER = (b"queries", b"dnslab")
TRANSFERS = frozenset((dns.rdatatype.AXFR, dns.rdatatype.IXFR))
NOT_IMPLEMENTED = Answer(rcode=dns.rcode.NOTIMP, authoritative=False)
REFUSED = Answer(rcode=dns.rcode.REFUSED, authoritative=False)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be sent, and when."""

    messages: tuple[Message, ...]
    delay: float = 0.0
    """Seconds from now."""


NOTHING = Due(())


class Lab:
    """A lab DNS server as tests see it; `open_lab` makes one that serves."""

    def __init__(self, zones: Iterable[Zone], *, address: tuple[str, int], unknown: Unknown) -> None:
        self.address = address
        """Host and port, the same for UDP and TCP."""
        self.tally = Tally()
        self.delayed = 0
        """Replies that wait for their delay."""
        self._unknown = unknown
        self._faults = FaultRules()
        self.replace_zones(zones)

    def replace_zones(self, zones: Iterable[Zone]) -> None:
        """Serve these zones in place of the ones so far, from the next query on."""
        self._namespace = build_namespace(zones, unknown=self._unknown)

    @property
    def faults(self) -> FaultRules:
        """The rules in force, first match wins: append to them, or assign a list in their place."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._faults = FaultRules(faults)

    @property
    def queries(self) -> Counter[tuple[str, str]]:
        """How often was asked what: by owner (lower case, no last dot) and type (`"SRV"`)."""
        return self.tally.queries

    @property
    def total(self) -> int:
        """Queries over both transports."""
        return self.tally.total

    @property
    def udp_queries(self) -> int:
        """Queries over UDP."""
        return self.tally.udp

    @property
    def tcp_queries(self) -> int:
        """Queries over TCP."""
        return self.tally.tcp

    @property
    def malformed(self) -> int:
        """Messages that were no query."""
        return self.tally.malformed

    @property
    def log(self) -> deque[Sighting]:
        """The last 100,000 queries in order."""
        return self.tally.log

    @property
    def times(self) -> deque[float]:
        """When the last 1,000,000 queries came, in seconds of `trio.current_time()`, ascending."""
        return self.tally.times

    def clear_counts(self) -> None:
        """Start all counts from 0; faults and their uses stay."""
        self.tally.clear()

    async def wait_for_queries(self, count: int) -> None:
        """Return once `count` queries have come since `clear_counts`. The time-out is the caller's."""
        await self.tally.wait_for(count)

    def decide(self, octets: bytes, transport: Transport, now: float) -> Due:
        """Count one message received at `now` (seconds) and say what to send. No octets make it raise."""
        query = parse_query(octets)
        if query is None:
            self.tally.malformed += 1
            return NOTHING
        if query.rdclass == dns.rdataclass.CH and query.owner == COUNT_OWNER:
            return Due(self._messages(query, self._count_answer(query), Effect.NONE, transport))
        owner, rdtype = owner_text(query.owner), type_text(query.rdtype)
        self.tally.record(owner, rdtype, transport, now)
        fault = self._faults.choose(owner, rdtype, transport) if self._faults else None
        effect, delay = (Effect.NONE, 0.0) if fault is None else (fault.effect, fault.delay)
        return Due(self._messages(query, self._truth(query), effect, transport), delay)

    def _messages(
        self, query: Query, truth: Answer, effect: Effect, transport: Transport
    ) -> tuple[Message, ...]:
        recursion_available = self._namespace.recursion_available
        return messages_for(query, truth, effect, transport, recursion_available=recursion_available)

    def _truth(self, query: Query) -> Answer:
        if query.opcode != dns.opcode.QUERY:
            return NOT_IMPLEMENTED
        if query.rdclass != dns.rdataclass.IN or query.rdtype in TRANSFERS:
            return REFUSED
        return resolve(self._namespace, query.owner, query.rdtype, dnssec=query.dnssec)

    def _count_answer(self, query: Query) -> Answer:
        """The CHAOS face, in the manner of `version.bind` (RFC 4892): the count for another process."""
        if query.opcode != dns.opcode.QUERY or query.rdtype not in (dns.rdatatype.TXT, dns.rdatatype.ANY):
            return REFUSED
        txt = dns.rrset.from_text("queries.dnslab.", 0, "CH", "TXT", f'"{self.tally.total}"')
        return Answer(rcode=dns.rcode.NOERROR, records=(txt,))
