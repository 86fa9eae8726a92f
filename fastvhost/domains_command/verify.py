"""`fastvhost domains verify`: DNS is asked now, from this process, and the store hears of it.

The operator's lists do not count: what is wanted is DNS's word.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from fastvhost.aside import asking_aside
from fastvhost.config import Config
from fastvhost.domains.housekeeping import after_check, first_check
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains_command.access import open_store, put, wall_now
from fastvhost.model import Finding, VerdictKind
from fastvhost.service import open_service

__all__ = ["verify"]

_SIDE_BY_SIDE = 16
"""Walks at one time: an operator at his terminal must not drain the DNS servers that the daemon uses."""

_EXIT_CODES = {VerdictKind.HOSTED: 0, VerdictKind.NOT_HOSTED: 1}
_UNDECIDED = 3


def verify(domains: Sequence[str], config: Config, *, say: Callable[[str], None]) -> int:
    """Walk each of the canonical `domains`, tell and store the outcome; returns the worst exit code.

    A domain that is not known is told of only: whether it may be learned is the daemon's to decide. None is
    disabled here: this process saw too few domains to know that DNS can be believed (see `Brake`).
    """
    with open_store(config) as store:
        findings = trio.run(_walk_all, domains, config)
        now = wall_now()
        known = {domain: store.get(domain) for domain in domains}
        checked = {
            domain: _checked(record, findings[domain], now, config)
            for domain, record in known.items()
            if record is not None
        }
        put(store, [record for domain, record in checked.items() if record != known[domain]])
    for domain in domains:
        finding = findings[domain]
        state = (
            f"{checked[domain].state.value} in the store" if domain in checked else "not known to the store"
        )
        say(f"{domain}: {finding.kind.name}: {_printable(finding.reason)}; {state}")
    return max(_EXIT_CODES.get(finding.kind, _UNDECIDED) for finding in findings.values())


async def _walk_all(domains: Sequence[str], config: Config) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    slots = trio.CapacityLimiter(_SIDE_BY_SIDE)
    aside = asking_aside(config)
    asking_dns = replace(aside, domains=replace(aside.domains, always=(), never=()))

    async with open_service(asking_dns) as service:

        async def walk(domain: str) -> None:
            async with slots:
                verdict = await service.lookup(domain)
            ttl = verdict.ttl(trio.current_time())
            findings[domain] = Finding(kind=verdict.kind, ttl=ttl, reason=verdict.reason)

        async with trio.open_nursery() as nursery:
            for domain in domains:
                nursery.start_soon(walk, domain)
    return findings


def _checked(record: DomainRecord, finding: Finding, now: float, config: Config) -> DomainRecord:
    rules = config.housekeeping
    if record.state is DomainState.PENDING and finding.kind is VerdictKind.HOSTED:
        due = first_check(record.domain, finding.ttl, now, rules)
        return replace(record, last_verified=now, next_check=due)
    return after_check(record, finding, now, rules, may_disable=False)


def _printable(line: str) -> str:
    """DNS may have sent control sequences, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
