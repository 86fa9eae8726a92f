"""How DNS is asked by the configuration in force: stays while what it is made of is replaced.

Whoever was handed one of its methods asks by the new configuration as soon as there is one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import assert_never

import trio

from fastvhost.budgets import Budgets
from fastvhost.config import Config, Dns, Endpoint, Own
from fastvhost.domains.text import TextRecords
from fastvhost.giving_way import GivingWay
from fastvhost.model import Finding
from fastvhost.resolve.denial import ProvenDenial
from fastvhost.resolve.reply import Answer, Failure, Negative, Txt
from fastvhost.resolve.scout import Scout
from fastvhost.resolve.system import system_servers
from fastvhost.resolve.upstream import Upstream, UpstreamCounters
from fastvhost.resolve.walker import Walker

__all__ = ["Asking", "servers_of"]


class Asking:
    """The upstream, the walks on it, the scout before them and what they may cost."""

    def __init__(
        self,
        config: Config,
        servers: tuple[Endpoint, ...],
        *,
        registrable_domain: Callable[[str], str],
        giving_way: GivingWay,
    ) -> None:
        """`servers` are those of `servers_of`; `registrable_domain` has that of a canonical host."""
        self._registrable_domain = registrable_domain
        self._config = config
        self._servers = servers
        self._upstream = Upstream(config.dns, servers)
        self._walker = Walker(config, self._upstream, zone_of=registrable_domain)
        self.budgets = self._new_budgets()
        self.scout = Scout(self._scouted_for(), giving_way)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[trio.Nursery]:
        """Listen to what the scout is told while the block lasts, which outlives the flights.

        Yields a nursery for what may be asked meanwhile; it ends with the block.
        """
        with closing(self.scout):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.scout.listen)
                nursery.start_soon(self.scout.watch)
                yield nursery
                nursery.cancel_scope.cancel()

    def configure(self, config: Config, servers: tuple[Endpoint, ...]) -> None:
        """Ask by this configuration from now on; walks under way end as they began.

        Budgets whose limits are the same go on as they stand, so that it takes no tokens to change something
        else. Others begin full: within a second of changing a limit both may be spent.
        """
        before, self._config = self._config, config
        walker, counters = self._walker, self._upstream.counters
        if (config.dns, servers) != (before.dns, self._servers):
            self._servers = servers
            self._upstream = Upstream(config.dns, servers)
            self._upstream.counters = counters
        self._walker = Walker(config, self._upstream, zone_of=self._registrable_domain)
        if config.dns == before.dns and config.cache == before.cache:
            self._walker.denial = walker.denial
        if config.limits == before.limits:
            self._walker.share_lanes(walker)
        else:
            self.budgets = self._new_budgets()
        self.scout.configure(self._scouted_for())

    @property
    def circumstances(self) -> tuple[Own, Dns, tuple[Endpoint, ...]]:
        """What walks depend on, beside DNS itself: who we are, how is asked, and whom."""
        return self._config.own, self._config.dns, self._servers

    @property
    def upstream_counters(self) -> UpstreamCounters:
        """Of all upstreams that there were."""
        return self._upstream.counters

    @property
    def denial(self) -> ProvenDenial:
        """What is proved without asking."""
        return self._walker.denial

    async def walk(self, host: str, *, admitted_at: float | None) -> Finding:
        """See `Walker.walk`."""
        return await self._walker.walk(host, admitted_at=admitted_at)

    async def confirm(self, host: str, *, known: bool) -> Finding:
        """See `Walker.confirm`."""
        return await self._walker.confirm(host, known=known)

    async def check(self, host: str, *, over_tcp: bool = False) -> Finding:
        """See `Walker.check`."""
        return await self._walker.check(host, over_tcp=over_tcp)

    def budget(self, now: float) -> dict[str, float]:
        """See `Walker.budget`."""
        return self._walker.budget(now)

    def denied(self, host: str, now: float) -> Finding | None:
        """See `Walker.denied`; nothing is proved where `dns.trusted` is false."""
        return self._walker.denied(host, now) if self._config.dns.trusted else None

    async def text(self, name: str) -> TextRecords | None:
        """TXT at a name, in the terms of whoever learns domains; None where DNS fails."""
        reply = await self._walker.text(name)
        match reply:
            case Failure():
                return None
            case Negative():
                return TextRecords(records=(), authentic=reply.authentic)
            case Answer():
                records = [record.strings for record in reply.records if isinstance(record, Txt)]
                return TextRecords(records=records, authentic=reply.authentic)
            case never:
                assert_never(never)

    def _scouted_for(self) -> Walker | None:
        # What a trusted server says proves more, and the walk is who learns it.
        return None if self._config.dns.trusted else self._walker

    def _new_budgets(self) -> Budgets:
        return Budgets(
            self._config.limits,
            upstream=self._walker.unknown.bucket,
            registrable_domain=self._registrable_domain,
        )


def servers_of(config: Config) -> tuple[Endpoint, ...]:
    """The servers to ask: those of `dns.servers`, or else the system's.

    Raises:
        ConfigError: there are none.
    """
    if config.dns.servers:
        return config.dns.servers
    return system_servers()
