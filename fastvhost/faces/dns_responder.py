"""From the octets of a DNS query to those of its reply: the order in which things are decided.

Synchronous, and knows no sockets. A query seen before costs neither its reading nor, while its verdict is
the same, the writing of its reply.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf

from cachetools import LRUCache

from fastvhost.coalesce import Flight
from fastvhost.faces.dns_answer import (
    LASTING_TTL,
    OUTSIDE,
    UNSUPPORTED,
    apex_answer,
    no_records,
    ttl_of,
    verdict_answer,
)
from fastvhost.faces.dns_query import HEADER, Faulty, Head, Qtype, Query, read_query
from fastvhost.faces.dns_reply import Answer, ttl_places, write_reply
from fastvhost.host import Address, DomainName, parse_host
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict, VerdictKind

__all__ = ["DnsCounters", "DnsResponder", "Settled", "Waiting"]

_MOST_SEEN = 16_384
"""Queries that are kept as read, with their replies; some 20 MB."""

_MOST_SEEN_OCTETS = 512
"""Octets of the longest of them: the longest name and a client subnet take 330. Over TCP there may be 65,535,
most of them padding (RFC 7830)."""

_IN = 1
_META_TYPES = range(128, 255)
"""RFC 6895 section 3.1: of queries only, zone transfers among them; ANY, which is 255, is answered."""

_LOOKED_UP = frozenset({Qtype.A, Qtype.AAAA, Qtype.TXT, Qtype.ANY})
"""What asks for a verdict. AAAA, of which there is none, as well: a client that asks for both addresses
must not take a failure for a no."""

_LASTING = frozenset({VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.UNDETERMINED})
"""Verdicts that may be there again the next time; the others are made for one reply."""


@dataclass(slots=True)
class DnsCounters:
    """Plain integers, since the hot path counts; `replies` is indexed by `VerdictKind`."""

    not_queries: int = 0
    faulty: int = 0
    refused: int = 0
    without_verdict: int = 0
    replies: list[int] = field(default_factory=lambda: [0] * (max(VerdictKind) + 1))

    def by_name(self, repeated: Callable[[VerdictKind], int]) -> dict[str, int]:
        """Every counter by name; `repeated` are the replies of a kind that were not counted here."""
        counts = asdict(self)
        replies = counts.pop("replies")
        return counts | {
            f"replies.{kind.name.lower()}": replies[kind] + repeated(kind) for kind in VerdictKind
        }


class _Asked:
    """A query for a host, and the reply that it got last."""

    __slots__ = (
        "apex",
        "head",
        "host",
        "most",
        "qtype",
        "reply",
        "source",
        "text",
        "ttl",
        "ttl_at",
        "verdict",
    )

    def __init__(
        self, head: Head, *, host: str, source: Address | None, qtype: int, apex: int, most: int
    ) -> None:
        self.head = head
        self.host = host
        self.source = source
        self.qtype = qtype
        self.apex = apex
        self.most = most
        self.verdict: Verdict | None = None
        self.ttl = 0
        self.text: Sequence[bytes] = ()
        self.reply = b""
        self.ttl_at: tuple[int, ...] = ()


Settled = Callable[[Verdict, bytes, bytes, tuple[int, ...], float], None]
"""Verdict, query, reply, where TTLs stand in it, now: told of a reply whose verdict may stand for a while."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A query whose verdict is not known yet."""

    flight: Flight
    write: Callable[[Verdict, float], bytes]
    """The reply, from the verdict and the instant at which it goes out."""


class DnsResponder:
    """Answers what comes in over one transport."""

    def __init__(
        self,
        zone: str,
        lookup: Lookup,
        *,
        text: Callable[[str], Sequence[bytes]],
        most_octets: Callable[[Head], int],
        counters: DnsCounters,
        replied: Callable[[VerdictKind, float], None] | None = None,
        settled: Settled | None = None,
    ) -> None:
        """Hosts are asked for below `zone`.

        Args:
            zone: a canonical host.
            lookup: decides hosts.
            text: the attributes of a canonical host as character-strings, the same object while unchanged.
            most_octets: of a reply.
            counters: may be shared with others.
            replied: told of each reply with a verdict, and of the instant at which its query came.
            settled: told of replies that others may get as well.
        """
        self._replied = replied
        self._settled = settled
        self._lookup = lookup
        self._text = text
        self._most_octets = most_octets
        self._counters = counters
        self._seen: LRUCache[bytes, _Asked] = LRUCache(_MOST_SEEN)
        self.configure(zone)

    def configure(self, zone: str) -> None:
        """Hosts are asked for below this zone from now on."""
        self._zone = tuple(zone.encode().split(b"."))
        self._seen.clear()

    def respond(self, message: bytes, now: float) -> bytes | Waiting | None:
        """The reply, what it waits for, or None where there will be none. Never raises."""
        key = message[2:]
        seen = asked = self._seen.get(key)
        if asked is None:
            read = self._read(message)
            if not isinstance(read, _Asked):
                return None if read is None else message[:2] + read
            asked = read
        decided = self._lookup.decide(asked.host, asked.source, now)
        if isinstance(decided, Flight):
            message_id = message[:2]
            return Waiting(decided, lambda verdict, at: message_id + self._reply(asked, verdict, at, now))
        reply = message[:2] + self._reply(asked, decided, now, now)
        if decided.kind in _LASTING:
            if seen is None and len(message) <= _MOST_SEEN_OCTETS:
                self._seen[key] = asked
            # Attributes change without a word to whoever repeats them.
            if self._settled is not None and asked.qtype != Qtype.TXT:
                self._settled(decided, message, reply, asked.ttl_at, now)
        return reply

    def _reply(self, asked: _Asked, verdict: Verdict, now: float, received: float) -> bytes:
        """The reply without the id; written only where it differs from the one before."""
        self._counters.replies[verdict.kind] += 1
        ttl = ttl_of(verdict, now)
        text = self._text(verdict.host) if asked.qtype == Qtype.TXT else ()
        if verdict != asked.verdict or ttl != asked.ttl or text is not asked.text:
            answer = verdict_answer(verdict, asked.qtype, apex=asked.apex, ttl=ttl, text=text)
            asked.reply = write_reply(asked.head, answer, most=asked.most)
            asked.ttl_at = () if verdict.expires == inf else ttl_places(asked.head, answer)
            asked.verdict, asked.ttl, asked.text = verdict, ttl, text
        if self._replied is not None:
            self._replied(verdict.kind, received)
        return asked.reply

    def _read(self, message: bytes) -> _Asked | bytes | None:
        """What is asked for, or at once the reply without the id."""
        match read_query(message):
            case None:
                self._counters.not_queries += 1
                return None
            case Faulty(head=head, rcode=rcode):
                self._counters.faulty += 1
                return self._write(head, Answer(rcode=rcode))
            case Query() as query:
                return self._place(query)

    def _place(self, query: Query) -> _Asked | bytes:
        """Where in the zone the name stands, and whether a verdict has anything to say of it."""
        host_labels = self._below_zone(query.labels)
        if query.qclass != _IN or host_labels is None:
            self._counters.refused += 1
            return self._write(query.head, OUTSIDE)
        if query.qtype in _META_TYPES:
            self._counters.refused += 1
            return self._write(query.head, UNSUPPORTED)
        apex = HEADER.size + sum(1 + len(label) for label in host_labels)
        if not host_labels:
            self._counters.without_verdict += 1
            return self._write(query.head, apex_answer(query.qtype, apex))
        host = _text_of(host_labels)
        if query.qtype not in _LOOKED_UP and host.isascii() and isinstance(parse_host(host), DomainName):
            # There is no such record, whatever the verdict: resolvers that ask for NS, or DS, cost no walk.
            self._counters.without_verdict += 1
            return self._write(query.head, no_records(apex, LASTING_TTL))
        return _Asked(
            query.head,
            host=host,
            source=None if query.head.edns is None else query.head.edns.source,
            qtype=query.qtype,
            apex=apex,
            most=self._most_octets(query.head),
        )

    def _below_zone(self, labels: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
        """The labels before the zone's; None for a name outside of it."""
        depth = len(self._zone)
        if tuple(label.lower() for label in labels[-depth:]) != self._zone:
            return None
        return labels[:-depth]

    def _write(self, head: Head, answer: Answer) -> bytes:
        return write_reply(head, answer, most=self._most_octets(head))


def _text_of(labels: tuple[bytes, ...]) -> str:
    """The host as it would stand in a URI; what could not is spelt so that no grammar takes it."""
    escaped = (label.replace(b".", b"\\.") for label in labels)
    return b".".join(escaped).decode(errors="backslashreplace")
