"""The upstream: which recursive server is asked, how often, and at whose cost.

Turns a name and type into a `Reply`. Every datagram and every connection is paid for from the walk's
account before it is sent, whatever it is for.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from typing import assert_never

import dns.exception
import trio

from fastvhost.config import Dns, Endpoint
from fastvhost.resolve.account import Account, Refusal, UnderWay
from fastvhost.resolve.exchange import Doubt, LocalError, exchange_tcp, receive_udp, send_udp
from fastvhost.resolve.patience import Patience
from fastvhost.resolve.reply import Answer, Failure, Negative, Reply, RrType, Via
from fastvhost.resolve.slots import Slot
from fastvhost.resolve.wire import Question, Truncated, Unfinished, read_reply

__all__ = ["Upstream", "UpstreamCounters"]

_ATTEMPTS = 3
"""Servers tried for one question; a sole server is tried twice when it is silent."""

_SILENCES = 5
"""Time-outs in a row, without any answer between, after which a server is taken to be down: fewer tell more
of the zones that were asked about."""

_AVOID_SECONDS = 10.0
"""How long such a server is asked after the others."""

_MAX_CHASES = 9
"""Aliases chased one by one; one more than a walk allows, so that the walk sees its bound passed."""

_GAVE_WAY = "slow while others waited"


@dataclass(slots=True)
class UpstreamCounters:
    """Plain integers; `outcomes` by RCODE, NODATA, or what happened instead."""

    udp: int = 0
    tcp: int = 0
    octets: int = 0
    """Octets of the replies."""
    retries: int = 0
    """Questions that another attempt was made for."""
    strays: int = 0
    """Datagrams of a server's address that were no reply."""
    near_misses: int = 0
    """Strays that missed by the id or by the question alone, and were asked about over TCP."""
    gave_way: int = 0
    """Questions that were slow and ended in favour of others."""
    outcomes: Counter[str] = field(default_factory=Counter)

    def integers(self) -> dict[str, int]:
        """All but `outcomes`, by name."""
        counts = asdict(self)
        del counts["outcomes"]
        return counts


@dataclass(frozen=True, slots=True)
class _Silent:
    """The server was not heard: another attempt may be."""

    why: str


@dataclass(frozen=True, slots=True)
class _Stop:
    """Another server would not help."""

    failure: Failure


class Upstream:
    """The servers that are asked, and which of them seem to be down."""

    def __init__(self, dns: Dns, servers: Sequence[Endpoint]) -> None:
        if not servers:
            raise ValueError("no DNS server to ask")
        self._servers = tuple(servers)
        self._timeout = dns.timeout
        self._patience = Patience(ceiling=dns.timeout)
        self._want_ad = dns.trusted
        self._silences: Counter[Endpoint] = Counter()
        self._avoid_until: dict[Endpoint, float] = {}
        self.counters = UpstreamCounters()

    async def query(self, name: str, rrtype: RrType, account: Account) -> Reply:
        """Ask DNS for `name`, following aliases that a server leaves unfinished.

        Ends by `account.deadline`; never raises for what DNS, the network or the system does.
        """
        started = trio.current_time()
        reply: Reply = Failure(why="over dns.walk_timeout")
        with trio.move_on_at(account.deadline):
            reply = await self._resolve(name, rrtype, account)
        self.counters.outcomes[_outcome(reply)] += 1
        return replace(reply, via=Via(server=reply.via.server, seconds=trio.current_time() - started))

    async def _resolve(self, name: str, rrtype: RrType, account: Account) -> Reply:
        aliases: tuple[str, ...] = ()
        ttls: list[int] = []
        while True:
            try:
                question = Question(name, rrtype, want_ad=self._want_ad)
            except dns.exception.DNSException as error:
                return Failure(why=f"not a DNS name ({type(error).__name__})")
            reply = await self._ask_servers(question, account)
            match reply:
                case Failure():
                    return reply
                case Answer() | Negative():
                    return replace(
                        reply,
                        aliases=(*aliases, *reply.aliases),
                        ttl=min([reply.ttl, *ttls]),
                        authentic=reply.authentic and not aliases,
                    )
                case Unfinished():
                    aliases += reply.aliases
                    ttls.append(reply.ttl)
                    name = aliases[-1]
                    if len(aliases) >= _MAX_CHASES or len(set(aliases)) < len(aliases):
                        return Failure(why="too long a chain, or a loop, of CNAME records")

    async def _ask_servers(self, question: Question, account: Account) -> Reply | Unfinished:
        """Go from server to server until one has an answer, or no retry is left."""
        failure = Failure(why="no server asked")
        unable: set[Endpoint] = set()
        turns = self._turns(trio.current_time())
        retries = account.lane.retries
        under_way = account.under_way
        if under_way is None:
            retries.earn()
        else:
            turns = (under_way.server, *turns[1:])
        may_retry = False
        try:
            for attempt, server in enumerate(turns):
                if server in unable:
                    continue
                if attempt:
                    if not may_retry and not retries.take():
                        return failure
                    self.counters.retries += 1
                # Taken beforehand: an attempt is cut short only where another is sure to follow it.
                may_retry = attempt + 1 < len(turns) and retries.take()
                seconds = self._patience.seconds(server, attempt) if may_retry else self._timeout
                outcome: Reply | Unfinished | _Silent | _Stop = _Stop(Failure(why=_GAVE_WAY))
                over_tcp = account.over_tcp and not attempt
                async with account.lane.slot() as slot:
                    outcome = await self._ask(server, question, account, slot, seconds, over_tcp=over_tcp)
                self.counters.gave_way += slot.gave_way
                match outcome:
                    case _Stop():
                        return outcome.failure
                    case _Silent():
                        # A datagram may be lost: the same server may have its turn again.
                        self._heard_nothing(server, trio.current_time())
                        failure = Failure(why=outcome.why, via=Via(server=str(server)))
                    case Failure():
                        self._heard(server)
                        unable.add(server)
                        failure = outcome
                    case _:
                        self._heard(server)
                        return outcome
        finally:
            if may_retry:
                retries.give_back()
        return failure

    def _heard(self, server: Endpoint) -> None:
        self._silences.pop(server, None)
        self._avoid_until.pop(server, None)

    def _heard_nothing(self, server: Endpoint, now: float) -> None:
        self._silences[server] += 1
        if self._silences[server] >= _SILENCES:
            self._avoid_until[server] = now + _AVOID_SECONDS

    def _turns(self, now: float) -> tuple[Endpoint, ...]:
        """The servers in the operator's order, those that seem to be down last."""
        in_order = sorted(self._servers, key=lambda server: now < self._avoid_until.get(server, now))
        return tuple(islice(cycle(in_order), _ATTEMPTS if len(in_order) > 1 else 2))

    async def _ask(
        self,
        server: Endpoint,
        question: Question,
        account: Account,
        slot: Slot,
        seconds: float,
        *,
        over_tcp: bool,
    ) -> Reply | Unfinished | _Silent | _Stop:
        """One datagram, and one connection where the answer does not fit a datagram or is in doubt."""
        via = Via(server=str(server))
        reply: Reply | Truncated | Unfinished = Truncated()
        for by_tcp in (True,) if over_tcp else (False, True):
            under_way, account.under_way = account.under_way, None
            refusal = None if under_way else await account.pay()
            if refusal is not None:
                return _Stop(Failure(why=refusal.why, limited=refusal.limited, via=via))
            slot.note_sent()
            came: bytes | Doubt | Refusal
            try:
                if by_tcp:
                    came = await self._connect(server, question, account)
                else:
                    came = await self._send(
                        under_way or self._start(server, question), question, account, seconds
                    )
            except trio.TooSlowError:
                return _Silent("time-out")
            except LocalError as error:
                # We have too little of something, so DNS is not to blame.
                return _Stop(Failure(why=f"no socket ({error.strerror})", limited=True, via=via))
            except OSError as error:
                # Trio's own text names the address too, and this counts by the text.
                return _Silent(os.strerror(error.errno) if error.errno else str(error))
            match came:
                case Refusal():
                    return _Stop(Failure(why=came.why, limited=came.limited, via=via))
                case Doubt():
                    self.counters.near_misses += came is Doubt.NEAR_MISS
                    continue
                case octets:
                    self.counters.octets += len(octets)
            reply = read_reply(octets, question)
            if not isinstance(reply, Truncated):
                break
        match reply:
            case Truncated():
                return Failure(why="truncated over TCP", via=via)
            case Unfinished():
                return reply
            case _:
                return replace(reply, via=via)

    def first_server(self, now: float) -> Endpoint:
        """The server to ask first, by whoever asks and pays itself."""
        return self._turns(now)[0] if self._avoid_until else self._servers[0]

    def note_sent(self) -> None:
        """A query was sent to `first_server`."""
        self.counters.udp += 1

    def note_nxdomain(self, server: Endpoint, seconds: float, octets: int) -> None:
        """That query was answered after `seconds`, by so many octets, and NXDOMAIN is all there is to it."""
        self._heard(server)
        self._patience.note(server, seconds)
        self.counters.octets += octets
        self.counters.outcomes["NXDOMAIN"] += 1

    def _start(self, server: Endpoint, question: Question) -> UnderWay:
        self.note_sent()
        now = trio.current_time()
        return UnderWay(server=server, sent=send_udp(server, question.octets), sent_at=now)

    async def _send(
        self, under_way: UnderWay, question: Question, account: Account, seconds: float
    ) -> bytes | Doubt | Refusal:
        """Wait for the reply to a query that was sent, `seconds` from then on."""
        with trio.fail_after(max(0.0, under_way.sent_at + seconds - trio.current_time())):
            came = await receive_udp(under_way.sent, question.is_answered_by, self._count_stray)
        self._patience.note(under_way.server, trio.current_time() - under_way.sent_at)
        return came if isinstance(came, Doubt) else account.take_in(len(came)) or came

    async def _connect(self, server: Endpoint, question: Question, account: Account) -> bytes | Refusal:
        self.counters.tcp += 1
        refusals: list[Refusal] = []

        def admits(length: int) -> bool:
            refusal = account.take_in(length)
            if refusal is not None:
                refusals.append(refusal)
            return refusal is None

        with trio.fail_after(self._timeout):
            reply = await exchange_tcp(server, question.octets, question.is_answered_by, admits)
        return refusals[0] if reply is None else reply

    def _count_stray(self) -> None:
        self.counters.strays += 1


def _outcome(reply: Reply) -> str:
    match reply:
        case Answer():
            return "NOERROR"
        case Negative():
            return "NXDOMAIN" if reply.nxdomain else "NODATA"
        case Failure():
            return reply.why
        case never:
            assert_never(never)
