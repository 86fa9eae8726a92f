"""The walk: from a host, along the records that a SIP client would follow, to us or elsewhere.

Knows NAPTR, SRV and addresses and what they mean to SIP; knows nothing of sockets, servers, caches or
clocks: each question goes to an injected `query`. The client that it follows supports exactly the
transports that we serve.

Source: RFC 3263 section 4, RFC 2782, RFC 3403, RFC 7984, RFC 7118.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from math import inf
from typing import assert_never

import trio

from fastvhost.config import Dns, Match, Own, Transport
from fastvhost.host import normalised_address, parse_address
from fastvhost.model import Finding, Step, VerdictKind
from fastvhost.resolve.reply import Answer, Failure, Naptr, Negative, Record, Reply, RrType, Srv

__all__ = ["MAX_ALIASES", "MAX_TARGETS", "Query", "walk"]

Query = Callable[[str, RrType], Awaitable[Reply]]
"""Asks DNS for a name and type. Bounded in time; never raises for what DNS does."""

MAX_ALIASES = 8
"""CNAME records in one walk, each counted once."""

MAX_TARGETS = 12
"""SRV targets looked up in one walk."""

_MAX_RULES = 8
"""Non-terminal NAPTR records in a row (RFC 3403 leaves the bound to the application)."""

_SRV_PREFIX = {
    Transport.UDP: "_sip._udp",
    Transport.TCP: "_sip._tcp",
    Transport.TLS: "_sips._tcp",
    Transport.SCTP: "_sip._sctp",
    Transport.WS: "_sip._ws",
    Transport.WSS: "_sips._ws",
}
"""RFC 3263 section 4.1, RFC 4168 section 3 and RFC 7118 section 6."""

_SERVICES = {
    "sip+d2u": Transport.UDP,
    "sip+d2t": Transport.TCP,
    "sips+d2t": Transport.TLS,
    "sip+d2s": Transport.SCTP,
    "sip+d2w": Transport.WS,
    "sips+d2w": Transport.WSS,
}
"""NAPTR services (IANA registry *SIP NAPTR service field values*), lower-case."""

_MAX_NAME = 253
"""Octets of a name in text without trailing dot (RFC 1034 section 3.1)."""

_Branch = Callable[[], Awaitable[Finding]]


async def walk(host: str, *, own: Own, dns: Dns, query: Query) -> Finding:
    """Find out whether the DNS records of `host`, a canonical domain name, lead to us.

    HOSTED when a record does; NOT_HOSTED when every record that could was proved to lead elsewhere or
    not to be there; UNDETERMINED when a needed question failed or a bound was passed; LIMITED when it
    was our own budget. The TTL is that of the evidence. The number of queries is `query`'s to bound.
    """
    return await _Walk(own, dns, query).host(host)


class _Walk:
    """One walk; every method that awaits returns the finding of one branch of the tree."""

    def __init__(self, own: Own, dns: Dns, query: Query) -> None:
        self._own = own
        self._dns = dns
        self._query = query
        self._asked: dict[tuple[str, RrType], _Asked] = {}
        self._aliases: set[str] = set()
        self._targets: set[str] = set()
        self._srv_exists = False
        # An address of a family that we have none of is not ours (nobody publishes an IPv4 address as a
        # mapped AAAA). By names alone, an alias of either family may still be one of them.
        families = {network.version for network in own.addresses} or {4, 6}
        self._families = tuple(
            rrtype for version, rrtype in ((4, RrType.A), (6, RrType.AAAA)) if version in families
        )

    async def host(self, host: str) -> Finding:
        """NAPTR; without a usable one SRV; without any SRV the host's own addresses."""
        reply = await self._ask(host, RrType.NAPTR)
        match reply:
            case Failure():
                return _failed(reply, _step(0, host, RrType.NAPTR, reply, "no evidence"))
            case Negative(nxdomain=True, aliases=()):
                # RFC 8020: nothing below it either, so SRV and addresses need no asking.
                step = _step(0, host, RrType.NAPTR, reply, "no such domain")
                return _elsewhere(reply.ttl, f"{host} does not exist", step)
            case Negative():
                naptr = _step(0, host, RrType.NAPTR, reply, "no NAPTR: SRV decides")
            case Answer():
                rules = self._usable(reply.records)
                if rules:
                    step = _step(0, host, RrType.NAPTR, reply, f"{_count(rules, 'rule')} to follow")
                    found = await self._follow(rules, 1, frozenset({host}))
                    return _below(found, reply.ttl, step)
                naptr = _step(0, host, RrType.NAPTR, reply, "no NAPTR for SIP by our transports: SRV decides")
            case never:
                assert_never(never)
        found = await self._services(host)
        return _below(found, reply.ttl, naptr)

    def _usable(self, records: Iterable[Record]) -> list[Naptr]:
        """The rules of the lowest order that has one we can follow, the preferred first.

        RFC 3403 section 4.1: once a rule of an order is accepted no higher order counts. Flags u and p
        end in no address, a regexp is never run, and with both regexp and replacement a rule is in error.
        """
        usable = [record for record in records if isinstance(record, Naptr) and self._can_follow(record)]
        lowest = min((rule.order for rule in usable), default=None)
        rules = sorted(
            (rule for rule in usable if rule.order == lowest), key=lambda rule: (rule.preference, str(rule))
        )
        if self._dns.match is Match.FIRST:
            # Among rules of one preference the client is free, so each of them is preferred by some.
            rules = [rule for rule in rules if rule.preference == rules[0].preference]
        return rules

    def _can_follow(self, rule: Naptr) -> bool:
        if rule.regexp or not rule.replacement:
            return False
        ours = _SERVICES.get(rule.services) in self._own.ports
        # A rule that only leads to other rules may leave it to these to name a service.
        return ours if rule.flags in {"s", "a"} else rule.flags == "" and (ours or not rule.services)

    async def _follow(self, rules: Sequence[Naptr], depth: int, seen: frozenset[str]) -> Finding:
        def branch(rule: Naptr) -> _Branch:
            match rule.flags:
                case "s":
                    return lambda: self._srv(rule.replacement, _SERVICES[rule.services], depth)
                case "a":
                    return lambda: self._target(rule.replacement, depth)
                case _:
                    return lambda: self._next_rules(rule.replacement, depth, seen)

        return await _any_of([branch(rule) for rule in rules])

    async def _next_rules(self, name: str, depth: int, seen: frozenset[str]) -> Finding:
        """RFC 3403 section 4.1, empty flags: the replacement has the next NAPTR records."""
        if name in seen or len(seen) > _MAX_RULES:
            why = "a loop of NAPTR records" if name in seen else f"over {_MAX_RULES} NAPTR records in a row"
            return _undetermined(f"{why} at {name}", _note(depth, f"NAPTR {name}", "bound", why))
        reply = await self._ask(name, RrType.NAPTR)
        match reply:
            case Failure():
                return _failed(reply, _step(depth, name, RrType.NAPTR, reply, "no evidence"))
            case Negative():
                step = _step(depth, name, RrType.NAPTR, reply, "leads nowhere")
                return _elsewhere(reply.ttl, f"no NAPTR at {name}", step)
            case Answer():
                rules = self._usable(reply.records)
                step = _step(depth, name, RrType.NAPTR, reply, f"{_count(rules, 'rule')} to follow")
                if not rules:
                    return _elsewhere(reply.ttl, f"no usable NAPTR at {name}", step)
                return _below(await self._follow(rules, depth + 1, seen | {name}), reply.ttl, step)
            case never:
                assert_never(never)

    async def _services(self, host: str) -> Finding:
        """RFC 3263 section 4.1 without NAPTR: SRV by transport, side by side; without any, addresses."""

        def branch(transport: Transport) -> _Branch:
            name = f"{_SRV_PREFIX[transport]}.{host}"
            return lambda: _impossible(name) if len(name) > _MAX_NAME else self._srv(name, transport, 0)

        found = await _any_of([branch(transport) for transport in self._own.ports])
        if found.kind is not VerdictKind.NOT_HOSTED or self._srv_exists or not self._dns.address_fallback:
            return found
        # RFC 3263 section 4.2: only the certain absence of SRV makes the host its own target.
        fallback = await self._target(host, 0)
        return replace(fallback, ttl=min(found.ttl, fallback.ttl), steps=(*found.steps, *fallback.steps))

    async def _srv(self, name: str, transport: Transport, depth: int) -> Finding:
        reply = await self._ask(name, RrType.SRV)
        match reply:
            case Failure():
                return _failed(reply, _step(depth, name, RrType.SRV, reply, "no evidence"))
            case Negative():
                step = _step(depth, name, RrType.SRV, reply, "no SRV")
                return _elsewhere(reply.ttl, f"no SRV at {name}", step)
            case Answer():
                self._srv_exists = True
                records = [record for record in reply.records if isinstance(record, Srv)]
            case never:
                assert_never(never)
        if all(not record.target for record in records):
            # RFC 2782: a target of "." means that the service is decidedly not available at this domain.
            step = _step(depth, name, RrType.SRV, reply, "decidedly no service")
            return _elsewhere(reply.ttl, f"no service at {name}", step)
        targets = self._possible_targets(records, transport)
        if not targets:
            why = f"no target on a {transport.value} port of ours"
            step = _step(depth, name, RrType.SRV, reply, why)
            return _elsewhere(reply.ttl, f"{name} names {why}", step)
        for target in targets:
            if target in self._own.names:
                step = _step(depth, name, RrType.SRV, reply, f"{target} is one of own.names")
                return _here(reply.ttl, f"SRV {name} names {target}", step)
        step = _step(depth, name, RrType.SRV, reply, f"{_count(targets, 'target')} to look up")
        found = await _any_of([self._target_branch(target, depth + 1) for target in targets])
        return _below(found, reply.ttl, step)

    def _possible_targets(self, records: Sequence[Srv], transport: Transport) -> list[str]:
        """The targets on a port of ours, by priority, each once.

        RFC 2782: "." among others is no target, nor is port 0 one that can be served. A target must be
        a name, so one that reads as an address is in error.
        """
        valid = [
            record
            for record in records
            if record.target and record.port and parse_address(record.target) is None
        ]
        if self._dns.match is Match.FIRST:
            # Records of one priority are chosen among by weight, so each of them is preferred by some.
            preferred = min((record.priority for record in valid), default=None)
            valid = [record for record in valid if record.priority == preferred]
        ports = self._own.ports[transport]
        ours = sorted(
            (record for record in valid if record.port in ports),
            key=lambda record: (record.priority, -record.weight, record.target),
        )
        return list(dict.fromkeys(record.target for record in ours))

    def _target_branch(self, name: str, depth: int) -> _Branch:
        async def target() -> Finding:
            if name not in self._targets and len(self._targets) >= MAX_TARGETS:
                why = f"over {MAX_TARGETS} SRV targets to look up"
                return _undetermined(why, _note(depth, f"target {name}", "bound", why))
            self._targets.add(name)
            return await self._target(name, depth)

        return target

    async def _target(self, name: str, depth: int) -> Finding:
        """Whether a name is us: by itself, by an alias that it has, or by an address."""
        if name in self._own.names:
            return _here(
                inf, f"{name} is one of own.names", _note(depth, f"target {name}", "", "one of own.names")
            )

        def branch(rrtype: RrType) -> _Branch:
            return lambda: self._addresses(name, rrtype, depth)

        return await _any_of([branch(rrtype) for rrtype in self._families])

    async def _addresses(self, name: str, rrtype: RrType, depth: int) -> Finding:
        reply = await self._ask(name, rrtype)
        if isinstance(reply, Failure):
            return _failed(reply, _step(depth, name, rrtype, reply, "no evidence"))
        for alias in reply.aliases:
            if alias in self._own.names:
                why = f"{name} is an alias of {alias}, one of own.names"
                return _here(reply.ttl, why, _step(depth, name, rrtype, reply, why))
        if isinstance(reply, Negative):
            return _elsewhere(
                reply.ttl, f"{name} has no address", _step(depth, name, rrtype, reply, f"no {rrtype.name}")
            )
        for record in reply.records:
            if isinstance(record, IPv4Address | IPv6Address):
                address = normalised_address(record)
                if self._own.has_address(address):
                    why = f"{name} has our address {address}"
                    return _here(reply.ttl, why, _step(depth, name, rrtype, reply, f"{address} is ours"))
        return _elsewhere(
            reply.ttl, f"{name} has addresses elsewhere", _step(depth, name, rrtype, reply, "elsewhere")
        )

    async def _ask(self, name: str, rrtype: RrType) -> Reply:
        """Ask once in a walk, however many branches want to know."""
        asked = self._asked.get((name, rrtype))
        if asked is not None:
            await asked.answered.wait()
            return asked.reply
        asked = self._asked[name, rrtype] = _Asked()
        asked.reply = self._within_aliases(await self._query(name, rrtype))
        asked.answered.set()
        return asked.reply

    def _within_aliases(self, reply: Reply) -> Reply:
        if isinstance(reply, Failure) or not reply.aliases:
            return reply
        self._aliases.update(reply.aliases)
        if len(self._aliases) > MAX_ALIASES:
            return Failure(why=f"over {MAX_ALIASES} CNAME records", via=reply.via)
        return reply


class _Asked:
    """A question of this walk and, once `answered`, its reply.

    A branch that is cancelled while it asks leaves the event unset. That can only follow from a HOSTED
    finding, which cancels every other branch of the walk too.
    """

    __slots__ = ("answered", "reply")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.reply: Reply = Failure(why="not asked")


async def _any_of(branches: Sequence[_Branch]) -> Finding:
    """Follow branches side by side, the preferred first; the first that is HOSTED ends the others.

    Else a branch that could not be decided leaves all of it undecided: it might have led to us.
    """
    findings: list[Finding | None] = [None] * len(branches)

    async def follow(place: int, nursery: trio.Nursery) -> None:
        # Trio starts the tasks of a nursery in any order. One by one they reach the bounds of a walk in
        # the order of preference, so that these leave out the least preferred.
        if place + 1 < len(branches):
            nursery.start_soon(follow, place + 1, nursery)
        findings[place] = found = await branches[place]()
        if found.kind is VerdictKind.HOSTED:
            nursery.cancel_scope.cancel()

    if len(branches) == 1:
        return await branches[0]()
    async with trio.open_nursery() as nursery:
        await follow(0, nursery)
    ended = [found for found in findings if found is not None]
    # Of several with the same outcome, the one that got furthest says most about why.
    decisive = min(ended, key=lambda found: (_PRECEDENCE.index(found.kind), -len(found.steps)))
    elsewhere = decisive.kind is VerdictKind.NOT_HOSTED
    return replace(
        decisive,
        ttl=min(found.ttl for found in ended) if elsewhere else decisive.ttl,
        steps=tuple(step for found in ended for step in found.steps),
    )


_PRECEDENCE = (VerdictKind.HOSTED, VerdictKind.LIMITED, VerdictKind.UNDETERMINED, VerdictKind.NOT_HOSTED)


def _here(ttl: float, reason: str, step: Step) -> Finding:
    return Finding(kind=VerdictKind.HOSTED, ttl=ttl, reason=reason, steps=(step,))


def _elsewhere(ttl: float, reason: str, step: Step) -> Finding:
    return Finding(kind=VerdictKind.NOT_HOSTED, ttl=ttl, reason=reason, steps=(step,))


def _undetermined(reason: str, step: Step) -> Finding:
    return Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason=reason, steps=(step,))


def _failed(failure: Failure, step: Step) -> Finding:
    kind = VerdictKind.LIMITED if failure.limited else VerdictKind.UNDETERMINED
    return Finding(kind=kind, ttl=0.0, reason=f"{step.question}: {failure.why}", steps=(step,))


def _below(found: Finding, ttl: float, step: Step) -> Finding:
    """What was found by following the records, of lifetime `ttl`, that `step` shows."""
    return replace(found, ttl=min(found.ttl, ttl), steps=(step, *found.steps))


def _step(depth: int, name: str, rrtype: RrType, reply: Reply, proved: str) -> Step:
    match reply:
        case Answer():
            rcode = "NOERROR"
        case Negative():
            rcode = "NXDOMAIN" if reply.nxdomain else "NODATA"
        case Failure():
            rcode = reply.why
        case never:
            assert_never(never)
    records = reply.records if isinstance(reply, Answer) else ()
    aliases = () if isinstance(reply, Failure) else reply.aliases
    return Step(
        depth=depth,
        question=f"{rrtype.name} {name}",
        rcode=rcode,
        records=(*(f"CNAME {alias}." for alias in aliases), *map(str, records)),
        ttl=None if isinstance(reply, Failure) else reply.ttl,
        server=reply.via.server,
        seconds=reply.via.seconds,
        proved=proved,
    )


async def _impossible(name: str) -> Finding:
    """A host can be so long that no SRV record fits below it: there is none, and no need to ask."""
    why = f"no name over {_MAX_NAME} octets is in DNS"
    return _elsewhere(inf, why, _note(0, f"SRV {name}", "", why))


def _note(depth: int, question: str, rcode: str, proved: str) -> Step:
    """A step that asked nothing."""
    return Step(depth=depth, question=question, rcode=rcode, proved=proved)


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
