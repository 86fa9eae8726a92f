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
from typing import TypeVar, assert_never

import trio

from fastvhost.config import Dns, Match, Own, Transport
from fastvhost.host import MAX_NAME, normalised_address, parse_address
from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.resolve.branches import (
    Branch,
    any_of,
    below,
    elsewhere,
    failed,
    followed_already,
    here,
    note,
    step,
    undetermined,
)
from fastvhost.resolve.reply import Answer, Failure, Naptr, Negative, Record, Reply, RrType, Srv

__all__ = ["MAX_ALIASES", "MAX_RULES", "MAX_TARGETS", "SRV_PREFIX", "Query", "walk"]

Query = Callable[[str, RrType], Awaitable[Reply]]
"""Asks DNS for a name and type. Bounded in time and in number; never raises for what DNS does."""

MAX_ALIASES = 8
"""CNAME records in one walk, each counted once."""

MAX_TARGETS = 12
"""SRV targets looked up in one walk."""

MAX_RULES = 24
"""NAPTR rules followed in one walk: more could not be asked about anyway."""

_MAX_RULES_IN_A_ROW = 8
"""Non-terminal NAPTR records one behind the other (RFC 3403 leaves the bound to the application)."""

SRV_PREFIX = {
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

_K = TypeVar("_K")

_NaptrKey = tuple[str, str, str]
"""What makes two rules lead to the same: flags, services, replacement."""


async def walk(host: str, *, own: Own, dns: Dns, query: Query) -> Finding:
    """Find out whether the DNS records of `host`, a canonical domain name, lead to us.

    HOSTED when a record does; NOT_HOSTED when every record that could was proved to lead elsewhere or
    not to be there; UNDETERMINED when a needed question failed or a bound was passed; LIMITED when it
    was our own budget. The TTL is that of the evidence.

    Each name is asked for once for a type, each rule and target followed once, however many records
    name it, and at most `MAX_RULES` and `MAX_TARGETS` of them: what a zone can make of that is some 60
    branches. The questions themselves are bounded by `query`.
    """
    return await _Walk(host, own, dns, query).result()


class _Walk:
    """One walk; every method that awaits returns the finding of one branch of the tree."""

    def __init__(self, host: str, own: Own, dns: Dns, query: Query) -> None:
        self._host = host
        self._own = own
        self._dns = dns
        self._query = query
        self._asked: dict[tuple[str, RrType], _Asked] = {}
        self._aliases: set[str] = set()
        self._rules: set[_NaptrKey] = set()
        self._targets: set[str] = set()
        self._srv_exists = False
        self._srv_is_absent = False
        # An address of a family that we have none of is not ours (nobody publishes an IPv4 address as a
        # mapped AAAA). By names alone, an alias of either family may still be one of them.
        families = {network.version for network in own.addresses} or {4, 6}
        self._families = tuple(
            rrtype for version, rrtype in ((4, RrType.A), (6, RrType.AAAA)) if version in families
        )

    async def result(self) -> Finding:
        """NAPTR; without a usable one SRV by transport; without any SRV the host's own addresses."""
        reply = await self._ask(self._host, RrType.NAPTR)
        match reply:
            case Failure():
                return failed(reply, step(0, self._host, RrType.NAPTR, reply, "no evidence"))
            case Negative(nxdomain=True, aliases=()):
                # RFC 8020: nothing below it either, so SRV and addresses need no asking.
                shown = step(0, self._host, RrType.NAPTR, reply, "no such domain", VerdictKind.NOT_HOSTED)
                return elsewhere(reply.ttl, ABSENT, shown)
            case Negative():
                rules, proved = [], "no NAPTR: SRV decides"
            case Answer():
                rules = self._usable(reply.records)
                proved = (
                    f"{_count(rules, 'rule')} to follow"
                    if rules
                    else "no NAPTR for SIP by our transports: SRV decides"
                )
            case never:
                assert_never(never)
        if rules:
            found = await self._follow(rules, 1, (self._host,))
        else:
            found = await self._srv_by_transport()
        if found.kind is VerdictKind.NOT_HOSTED and self._falls_back:
            # RFC 3263 section 4.2: only the certain absence of SRV makes the host its own target.
            fallback = await self._target(self._host, 0)
            found = replace(fallback, ttl=min(found.ttl, fallback.ttl), steps=(*found.steps, *fallback.steps))
        return below(found, reply.ttl, step(0, self._host, RrType.NAPTR, reply, proved))

    @property
    def _falls_back(self) -> bool:
        return self._dns.address_fallback and self._srv_is_absent and not self._srv_exists

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

    async def _follow(self, rules: Sequence[Naptr], depth: int, path: tuple[str, ...]) -> Finding:
        """Each rule that no other branch follows; `path` has the owners of the rules that lead here."""
        if any(rule.flags == "" and rule.replacement in path for rule in rules):
            return self._bound(depth, f"NAPTR {path[-1]}", "a loop of NAPTR records")
        by_key = {_key(rule): rule for rule in rules}
        new, over = _claim(by_key, self._rules, MAX_RULES)
        branches = [self._rule_branch(by_key[key], depth, path) for key in new]
        if over:
            branches.append(self._bound_branch(depth, f"NAPTR {path[-1]}", f"over {MAX_RULES} NAPTR rules"))
        return await any_of(branches) if branches else followed_already(depth, f"NAPTR {path[-1]}")

    def _rule_branch(self, rule: Naptr, depth: int, path: tuple[str, ...]) -> Branch:
        match rule.flags:
            case "s":
                return lambda: self._srv(rule.replacement, _SERVICES[rule.services], depth)
            case "a":
                return lambda: self._target(rule.replacement, depth)
            case _:
                return lambda: self._next_rules(rule.replacement, depth, path)

    async def _next_rules(self, name: str, depth: int, path: tuple[str, ...]) -> Finding:
        """RFC 3403 section 4.1, empty flags: the replacement has the next NAPTR records."""
        if len(path) > _MAX_RULES_IN_A_ROW:
            return self._bound(depth, f"NAPTR {name}", f"over {_MAX_RULES_IN_A_ROW} NAPTR records in a row")
        reply = await self._ask(name, RrType.NAPTR)
        match reply:
            case Failure():
                return failed(reply, step(depth, name, RrType.NAPTR, reply, "no evidence"))
            case Negative():
                shown = step(depth, name, RrType.NAPTR, reply, "leads nowhere", VerdictKind.NOT_HOSTED)
                return elsewhere(reply.ttl, f"no NAPTR at {name}", shown)
            case Answer():
                rules = self._usable(reply.records)
                if not rules:
                    shown = step(
                        depth, name, RrType.NAPTR, reply, "no rule to follow", VerdictKind.NOT_HOSTED
                    )
                    return elsewhere(reply.ttl, f"no usable NAPTR at {name}", shown)
                shown = step(depth, name, RrType.NAPTR, reply, f"{_count(rules, 'rule')} to follow")
                return below(await self._follow(rules, depth + 1, (*path, name)), reply.ttl, shown)
            case never:
                assert_never(never)

    async def _srv_by_transport(self) -> Finding:
        """RFC 3263 section 4.1 without NAPTR: SRV for each transport that we serve, side by side."""

        def branch(transport: Transport) -> Branch:
            return lambda: self._srv(f"{SRV_PREFIX[transport]}.{self._host}", transport, 0)

        return await any_of([branch(transport) for transport in self._own.ports])

    async def _srv(self, name: str, transport: Transport, depth: int) -> Finding:
        if len(name) > MAX_NAME:
            # A host can be so long that no SRV record fits below it: there is none, and no need to ask.
            self._srv_is_absent = True
            why = f"no name over {MAX_NAME} octets is in DNS"
            return elsewhere(inf, why, note(depth, f"SRV {name}", "", why, VerdictKind.NOT_HOSTED))
        reply = await self._ask(name, RrType.SRV)
        match reply:
            case Failure():
                return failed(reply, step(depth, name, RrType.SRV, reply, "no evidence"))
            case Negative():
                self._srv_is_absent = True
                shown = step(depth, name, RrType.SRV, reply, "no SRV", VerdictKind.NOT_HOSTED)
                return elsewhere(reply.ttl, f"no SRV at {name}", shown)
            case Answer():
                self._srv_exists = True
                records = [record for record in reply.records if isinstance(record, Srv)]
            case never:
                assert_never(never)
        if all(not record.target for record in records):
            # RFC 2782: a target of "." means that the service is decidedly not available at this domain.
            shown = step(depth, name, RrType.SRV, reply, "decidedly no service", VerdictKind.NOT_HOSTED)
            return elsewhere(reply.ttl, f"no service at {name}", shown)
        targets = self._possible_targets(records, transport)
        if not targets:
            why = f"no target on a {transport.value} port of ours"
            shown = step(depth, name, RrType.SRV, reply, why, VerdictKind.NOT_HOSTED)
            return elsewhere(reply.ttl, f"{name} names {why}", shown)
        for target in targets:
            if target in self._own.names:
                shown = step(
                    depth, name, RrType.SRV, reply, f"{target} is one of own.names", VerdictKind.HOSTED
                )
                return here(reply.ttl, f"SRV {name} names {target}", shown)
        shown = step(depth, name, RrType.SRV, reply, f"{_count(targets, 'target')} to look up")
        return below(await self._look_up(targets, depth + 1), reply.ttl, shown)

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

    async def _look_up(self, targets: Sequence[str], depth: int) -> Finding:
        """Each target that no other branch looks up."""

        def branch(target: str) -> Branch:
            return lambda: self._target(target, depth)

        new, over = _claim(targets, self._targets, MAX_TARGETS)
        branches = [branch(target) for target in new]
        if over:
            branches.append(
                self._bound_branch(depth, "targets", f"over {MAX_TARGETS} SRV targets to look up")
            )
        return await any_of(branches) if branches else followed_already(depth, f"target {targets[0]}")

    async def _target(self, name: str, depth: int) -> Finding:
        """Whether a name is us: by itself, by an alias that it has, or by an address."""
        if name in self._own.names:
            why = f"{name} is one of own.names"
            return here(inf, why, note(depth, f"target {name}", "", why, VerdictKind.HOSTED))

        def branch(rrtype: RrType) -> Branch:
            return lambda: self._addresses(name, rrtype, depth)

        return await any_of([branch(rrtype) for rrtype in self._families])

    async def _addresses(self, name: str, rrtype: RrType, depth: int) -> Finding:
        reply = await self._ask(name, rrtype)
        if isinstance(reply, Failure):
            return failed(reply, step(depth, name, rrtype, reply, "no evidence"))
        for alias in reply.aliases:
            if alias in self._own.names:
                why = f"{name} is an alias of {alias}, one of own.names"
                return here(reply.ttl, why, step(depth, name, rrtype, reply, why, VerdictKind.HOSTED))
        if isinstance(reply, Negative):
            shown = step(depth, name, rrtype, reply, f"no {rrtype.name}", VerdictKind.NOT_HOSTED)
            return elsewhere(reply.ttl, f"{name} has no address", shown)
        for record in reply.records:
            if isinstance(record, IPv4Address | IPv6Address):
                address = normalised_address(record)
                if self._own.has_address(address):
                    shown = step(depth, name, rrtype, reply, f"{address} is ours", VerdictKind.HOSTED)
                    return here(reply.ttl, f"{name} has our address {address}", shown)
        shown = step(depth, name, rrtype, reply, "elsewhere", VerdictKind.NOT_HOSTED)
        return elsewhere(reply.ttl, f"{name} has addresses elsewhere", shown)

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

    def _bound(self, depth: int, question: str, why: str) -> Finding:
        shown = note(depth, question, "bound", why, VerdictKind.UNDETERMINED)
        return undetermined(f"{why} at {self._host}", shown)

    def _bound_branch(self, depth: int, question: str, why: str) -> Branch:
        async def bound() -> Finding:
            await trio.lowlevel.checkpoint()
            return self._bound(depth, question, why)

        return bound


class _Asked:
    """A question of this walk and, once `answered`, its reply.

    A branch that is cancelled while it asks leaves the event unset. That can only follow from a HOSTED
    finding, which cancels every other branch of the walk too.
    """

    __slots__ = ("answered", "reply")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.reply: Reply = Failure(why="not asked")


def _key(rule: Naptr) -> _NaptrKey:
    return rule.flags, rule.services, rule.replacement


def _claim(keys: Iterable[_K], claimed: set[_K], most: int) -> tuple[list[_K], bool]:
    """Claim what no other branch has, as far as there is room; and whether there was too little of it."""
    new = [key for key in keys if key not in claimed]
    room = most - len(claimed)
    claimed.update(new[:room])
    return new[:room], len(new) > room


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
