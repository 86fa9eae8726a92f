"""Learning: a host that DNS proves to be ours becomes a known domain.

`found` is called for each HOSTED finding and takes no time. What the domain publishes about itself is read
afterwards, and decides with the operator's rules whether, and as what, it is kept.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, assert_never

import trio

from fastvhost.config import Domains, LearnMode
from fastvhost.domains.attributes import OWNER_PREFIX, AttributeRules, Published, read_attributes
from fastvhost.domains.consent import ConsentKind, consents
from fastvhost.domains.did import DidRefused, decide_did
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.rows import MAX_DOMAIN
from fastvhost.domains.stored import OperatorDids
from fastvhost.domains.table import DomainTable, Standing
from fastvhost.domains.text import AskText
from fastvhost.model import Finding

__all__ = ["Learner", "LearnerCounters"]

_log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Domains whose attributes are still to be read."""

_COUNTED = (Standing.LEARNED, Standing.PENDING)

_SIDE_BY_SIDE = 8
"""Domains whose attributes are read at one time."""


@dataclass(slots=True)
class LearnerCounters:
    """Plain integers; each domain that was found is in exactly one of them, once it was looked at."""

    learned: int = 0
    pending: int = 0
    refused: int = 0
    over_quota: int = 0
    too_long: int = 0
    no_room: int = 0
    undecided: int = 0


class Learner:
    """Takes hosts in; `table` knows them at once, `keep` writes them soon."""

    def __init__(
        self,
        domains: Domains,
        attributes: AttributeRules,
        *,
        secret: bytes | None,
        table: DomainTable,
        registrable_domain: Callable[[str], str],
        first_record: Callable[[str, Finding], DomainRecord],
        keep: Callable[[DomainRecord], bool],
        ask_text: AskText,
    ) -> None:
        self._domains = domains
        self._attributes = attributes
        self._secret = secret
        self._table = table
        self._registrable_domain = registrable_domain
        self._first_record = first_record
        self._keep = keep
        self._ask_text = ask_text
        self._waiting: deque[tuple[str, Finding]] = deque()
        self._under_way: set[str] = set()
        self._some = trio.Event()
        self._by_zone: Counter[str] = Counter()
        self._learned = 0
        self._told: set[str] = set()
        self.counters = LearnerCounters()
        self.operator_dids = OperatorDids()
        """Those of rows that we did not write; kept up to date by whoever reads them."""

    def found(self, host: str, finding: Finding) -> None:
        """DNS says that `host`, which no table has, is ours. Cheap; never raises."""
        if self._domains.learn is LearnMode.OFF or host in self._under_way:
            return
        if self._table.standing(host) is not None:
            return  # it became known, or was rejected, while DNS was asked
        if len(host) > MAX_DOMAIN:
            self.counters.too_long += 1
            self._tell_once(" too long", f"{host}: over {MAX_DOMAIN} octets, too long for the proxy's table")
        elif self._over_quota(host):
            self.counters.over_quota += 1
        elif len(self._waiting) >= _MOST_WAITING:
            self.counters.no_room += 1
        else:
            self._under_way.add(host)
            self._waiting.append((host, finding))
            self._some.set()
            if self._domains.learn is LearnMode.OPEN:
                self.enter(host)

    def zones_of(self, hosts: Iterable[str]) -> Counter[str]:
        """How many of `hosts` each registrable domain has; 3 us each, so in a thread where there are many."""
        return Counter(map(self._registrable_domain, hosts))

    def count_known(self, zones: Counter[str]) -> None:
        """What is learned already, towards the quotas, is this now: see `zones_of`."""
        self._by_zone = zones
        self._learned = zones.total()

    def enter(self, host: str, standing: Standing = Standing.LEARNED) -> None:
        """`host` is learned, or waits to be; either way it counts towards the quotas."""
        before = self._table.standing(host)
        if before is not standing:
            self._table.enter(host, standing)
            if before not in _COUNTED and self._table.standing(host) in _COUNTED:
                self._by_zone[self._registrable_domain(host)] += 1
                self._learned += 1

    def leave(self, host: str) -> None:
        """`host` is known no more; a row of the proxy's table stays."""
        self._uncount(host)
        self._table.leave(host)

    def reject(self, host: str) -> None:
        """The operator wants `host` to be none of ours."""
        self._uncount(host)
        self._table.enter(host, Standing.REJECTED)

    def _uncount(self, host: str) -> None:
        """If it was learned or pending, its place in the quotas is free again."""
        if self._table.standing(host) not in _COUNTED:
            return
        zone = self._registrable_domain(host)
        self._learned -= 1
        self._by_zone[zone] -= 1
        if self._by_zone[zone] <= 0:
            del self._by_zone[zone]
        self._told.discard(zone)

    async def run(self) -> NoReturn:
        """Read what found domains publish and keep them, until cancelled."""
        slots = trio.Semaphore(_SIDE_BY_SIDE)
        async with trio.open_nursery() as nursery:
            while True:
                await self._some.wait()
                self._some = trio.Event()
                while self._waiting:
                    await slots.acquire()
                    nursery.start_soon(self._learn, *self._waiting.popleft(), slots)
        raise AssertionError("the nursery ends only when cancelled")

    async def published(self, host: str) -> Published | None:
        """What a domain publishes; None where DNS failed."""
        answer = await self._ask_text(OWNER_PREFIX + host)
        if answer is None:
            return None
        return read_attributes(answer.records, self._attributes, authentic=answer.authentic)

    async def with_attributes(self, record: DomainRecord) -> DomainRecord:
        """`record` with what its domain publishes now; what DNS fails to tell stays as it is."""
        published = await self.published(record.domain)
        if published is None:
            return record
        granting = await self._granting(record.domain, published)
        if granting is None:
            return replace(record, attributes=published.attributes)
        # Attributes that the operator gave it since are for it; a row of `domain` with this did is not.
        stands = record.state is DomainState.ACTIVE and record.did is None
        has_own = stands and record.domain not in self.operator_dids.of_domains
        return self._dressed(record, published, granting, has_own=has_own)

    async def _learn(self, host: str, finding: Finding, slots: trio.Semaphore) -> None:
        try:
            published = await self.published(host)
            self._take(host, await self._decide(host, finding, published))
        finally:
            self._under_way.discard(host)
            slots.release()

    async def _decide(self, host: str, finding: Finding, published: Published | None) -> DomainRecord | None:
        if published is None and self._domains.learn is LearnMode.TOKEN:
            # A token that could not be looked up is neither there nor missing: the next finding decides.
            self.counters.undecided += 1
            return None
        token = None if published is None else published.token
        consent = consents(self._domains.learn, host, token, self._secret)
        match consent.kind:
            case ConsentKind.ACTIVE:
                state = DomainState.ACTIVE
            case ConsentKind.PENDING:
                state = DomainState.PENDING
            case ConsentKind.REFUSED:
                self.counters.refused += 1
                _log.info("not learned: %s: %s", host, consent.why)
                return None
            case never:
                assert_never(never)
        record = replace(self._first_record(host, finding), state=state)
        # Where DNS fails nothing is published or granted; the operator's dids are out of reach all the same.
        published = published or Published()
        return self._dressed(record, published, await self._granting(host, published) or {})

    async def _granting(self, domain: str, published: Published) -> Mapping[str, Published] | None:
        """What the domain whose did is claimed publishes, by its name; None where DNS failed."""
        claimed = published.did
        if claimed is None or claimed == domain or not self._is_ours(claimed):
            return {}
        granting = await self.published(claimed)
        return None if granting is None else {claimed: granting}

    def _dressed(
        self,
        record: DomainRecord,
        published: Published,
        granting: Mapping[str, Published],
        *,
        has_own: bool = False,
    ) -> DomainRecord:
        decision = decide_did(
            record.domain,
            published,
            published_of=granting.get,
            operator_dids=self.operator_dids,
            operator_says=self._domains.did,
            has_own=has_own,
        )
        for skipped in published.skipped:
            _log.info("attribute not used: %s: %s: %s", record.domain, skipped.key, skipped.why)
        if isinstance(decision, DidRefused):
            _log.warning("no row: %s: %s", record.domain, decision.why)
            return replace(record, state=DomainState.PENDING, evidence=decision.why)
        did = None if decision.did == record.domain else decision.did
        return replace(record, did=did, attributes=published.attributes)

    def _is_ours(self, host: str) -> bool:
        return self._table.standing(host) in (Standing.LEARNED, Standing.PROXY_ROW)

    def _take(self, host: str, record: DomainRecord | None) -> None:
        if record is None:
            return
        if self._table.standing(host) is Standing.REJECTED:  # meanwhile
            self.counters.refused += 1
        elif not self._keep(record):
            self.counters.no_room += 1
            self.leave(host)  # nobody would ever check it again
        elif record.state is DomainState.ACTIVE:
            self.counters.learned += 1
            self.enter(host)
        else:
            self.counters.pending += 1
            self.enter(host, Standing.PENDING)

    def _over_quota(self, host: str) -> bool:
        """Whether the domain's owner, or all, have as many learned names as they may; told once."""
        zone = self._registrable_domain(host)
        if self._by_zone[zone] >= self._domains.learn_per_zone:
            most = self._domains.learn_per_zone
            self._tell_once(zone, f"{zone} has {most} learned names, the most that learn_per_zone allows")
            return True
        if self._learned >= self._domains.learn_most:
            self._tell_once(
                "", f"{self._domains.learn_most} learned names, the most that domains.learn_most allows"
            )
            return True
        return False

    def _tell_once(self, zone: str, what: str) -> None:
        if zone not in self._told and len(self._told) < _MOST_WAITING:
            self._told.add(zone)
            _log.warning("%s", what)
