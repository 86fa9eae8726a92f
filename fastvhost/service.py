"""The service: builds every part, hands each its neighbours, and ends them in order.

No state outlives it and none is shared between two: it can be opened as often as one likes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import asdict

import trio

from fastvhost.cache import VerdictCache
from fastvhost.config import Config, Endpoint
from fastvhost.domains.table import DomainTable
from fastvhost.errors import StoppedError
from fastvhost.faces.pdb import PdbFace
from fastvhost.faces.udp import bind_udp
from fastvhost.host import parse_address
from fastvhost.limits import Budgets
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker
from fastvhost.zone_cut import registrable_domain_reader

__all__ = ["Service", "open_service"]

_GRACE_SECONDS = 3.0
"""How long flights may go on after the last request was taken."""


class Service:
    """A running service; made by `open_service`."""

    def __init__(
        self, *, lookup: Lookup, cache: VerdictCache, upstream: Upstream, pdb: PdbFace | None
    ) -> None:
        self._lookup = lookup
        self._cache = cache
        self._upstream = upstream
        self._pdb = pdb
        self._stopped = False

    async def lookup(self, host: str, *, source: str | None = None) -> Verdict:
        """Is `host` one of ours? Waits for DNS where it must, at most `dns.walk_timeout`.

        `host` is a SIP host as in a URI; `source` the address of the SIP peer that asks, whose budget
        pays for a host that nobody knows. May be cancelled without harm to others who ask the same.

        Raises:
            ValueError: `source` is not an IP address.
            StoppedError: the service has ended.
        """
        peer = None if source is None else parse_address(source)
        if source is not None and peer is None:
            raise ValueError(f"source {source!r} is not an IP address")
        if self._stopped:
            raise StoppedError("the service has ended: look hosts up within the block of open_service")
        return await self._lookup.lookup(host, peer)

    def stop(self) -> None:
        """Take no more look-ups; `open_service` calls it at the end of its block."""
        self._stopped = True

    @property
    def pdb_endpoint(self) -> Endpoint | None:
        """Where the PDB face listens; None where it is off."""
        return None if self._pdb is None else self._pdb.endpoint

    def counters(self) -> dict[str, int]:
        """Every counter and gauge, by `part.name`."""
        hosted, unknown = self._cache.sizes()
        upstream = self._upstream.counters
        parts: dict[str, dict[str, int]] = {
            "lookup": {**asdict(self._lookup.counters), "under_way": self._lookup.under_way},
            "cache": {"hosted_entries": hosted, "unknown_entries": unknown},
            "upstream": {"udp": upstream.udp, "tcp": upstream.tcp, "strays": upstream.strays},
            "upstream.outcome": upstream.outcomes,
            "pdb": {} if self._pdb is None else self._pdb.counts(),
        }
        return {f"{part}.{name}": count for part, counts in parts.items() for name, count in counts.items()}


@asynccontextmanager
async def open_service(config: Config) -> AsyncIterator[Service]:
    """Run the service for the length of the block; its faces answer from the first line on.

    At the end of the block no request is taken any more, and flights have 3 seconds to land.

    Raises:
        ConfigError: there is no DNS server to ask.
        ListenError: an address of `config.listen` cannot be bound.
    """
    upstream = Upstream(config.dns, config.dns.servers or _system_servers())
    walker = Walker(config, upstream)
    cache = VerdictCache(config.cache)
    budgets = Budgets(
        config.limits, upstream=walker.unknown.bucket, registrable_domain=registrable_domain_reader()
    )
    failure: Exception | None = None
    sock = bind_udp(config.listen.pdb) if config.listen.pdb else None
    # From the inside out: requests end first, then flights land, then nothing is owed any more.
    with closing(sock) if sock else nullcontext():
        async with trio.open_nursery() as deadlines:
            async with trio.open_nursery() as flights:
                lookup = Lookup(
                    config,
                    table=DomainTable(config.domains),
                    cache=cache,
                    budgets=budgets,
                    walk=walker.walk,
                    nursery=flights,
                )
                pdb = PdbFace(sock, config.listen, lookup) if sock else None
                async with trio.open_nursery() as receiving:
                    if pdb:
                        deadlines.start_soon(pdb.watch_deadlines)
                        receiving.start_soon(pdb.receive)
                    service = Service(lookup=lookup, cache=cache, upstream=upstream, pdb=pdb)
                    try:
                        yield service
                    except Exception as error:  # noqa: BLE001 - raised again below, outside of any group
                        failure = error
                    finally:
                        service.stop()
                    receiving.cancel_scope.cancel()
                flights.cancel_scope.deadline = trio.current_time() + _GRACE_SECONDS
            deadlines.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _system_servers() -> tuple[Endpoint, ...]:
    from fastvhost.resolve.system import system_servers  # 150 ms, and only where no server is configured

    return system_servers()
