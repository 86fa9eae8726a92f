"""The service: builds every part, hands each its neighbours, and ends them in order.

No state outlives it and none is shared between two: it can be opened as often as one likes.
"""

import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, assert_never

import trio

from fastvhost.asking import Asking, servers_of
from fastvhost.belief import Belief, believe
from fastvhost.cache import VerdictCache
from fastvhost.changes import Changes, changes
from fastvhost.config import Config, Endpoint, Listen
from fastvhost.domains.attributes import OWNER_PREFIX, Published, read_attributes
from fastvhost.domains.table import DomainTable
from fastvhost.errors import FastvhostError, StoppedError
from fastvhost.faces.dns import DnsFace
from fastvhost.faces.face import Face, FaceName
from fastvhost.faces.front import Front, close
from fastvhost.faces.pdb import PdbFace
from fastvhost.giving_way import GivingWay
from fastvhost.host import Address, parse_address
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict
from fastvhost.probing import probing_in
from fastvhost.retractions import Retractions
from fastvhost.talkers import Talkers
from fastvhost.wildcards import Wildcards
from fastvhost.zone_cut import registrable_domain_reader

if TYPE_CHECKING:
    from fastvhost.domains.keeper import Keeper
    from fastvhost.snapshots import Snapshots

__all__ = ["Service", "open_service"]

_GRACE_SECONDS = 3.0
"""How long flights may go on after the last request was taken."""


class Service:
    """A running service; made by `open_service`."""

    def __init__(
        self,
        config: Config,
        *,
        lookup: Lookup,
        table: DomainTable,
        cache: VerdictCache,
        asking: Asking,
        wildcards: Wildcards,
        front: Front,
        keeper: "Keeper | None",
        snapshots: "Snapshots | None",
    ) -> None:
        self._config = config
        self._lookup = lookup
        self._table = table
        self._cache = cache
        self._asking = asking
        self._wildcards = wildcards
        self._front = front
        self._keeper = keeper
        self._snapshots = snapshots
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

    def belief(self, host: str, source: Address | None, now: float) -> Belief:
        """What is believed of `host` at `now`, were `source` to ask for it; changes nothing."""
        return believe(
            host,
            source,
            now,
            own=self._config.own,
            table=self._table,
            cache=self._cache,
            lookup=self._lookup,
            budgets=self._asking.budgets,
            wildcards=self._wildcards,
            denied=self._asking.denied,
        )

    async def published(self, domain: str) -> Published | None:
        """What the zone of a canonical `domain` says of it, by `config.attributes`; None where DNS fails."""
        answer = await self._asking.text(OWNER_PREFIX + domain)
        if answer is None:
            return None
        return read_attributes(answer.records, self._config.attributes, authentic=answer.authentic)

    def reload(self, config: Config) -> Changes:
        """Turn to another configuration, at once and as a whole, or raise and go on as before.

        No request is lost: faces go on, on the same sockets where their addresses are the same. Caches and
        known domains stay. Where `own` or `dns` has changed, DNS is asked again: about hosted hosts after the
        next answer, about others before it.

        Raises:
            ConfigError: there is no DNS server to ask.
            ListenError: an address of `config.listen` cannot be bound.
            StoppedError: the service has ended.
        """
        if self._stopped:
            raise StoppedError("the service has ended, and takes no other configuration")
        found = changes(self._config, config)
        config, now = found.config, trio.current_time()
        bound = self._front.bind(config.listen)
        try:
            servers = servers_of(config)
        except FastvhostError:
            close(bound)
            raise
        # From here on nothing fails, and nobody is answered until all of it is done.
        self._table.list_names(config.domains)  # which has nothing repeated any more, whatever has changed
        self._cache.configure(config.cache)
        self._wildcards.configure(config)
        if (config.own, config.dns) != (self._config.own, self._config.dns):
            self._cache.doubt_everything(now)
            self._wildcards.doubt_everything(now)
        self._asking.configure(config, servers)
        self._lookup.configure(config, self._asking.budgets, now)
        self._front.turn_to(config.listen, bound)
        self._config = config
        return found

    def stop(self) -> None:
        """Take no more look-ups; `open_service` calls it at the end of its block."""
        self._stopped = True

    @property
    def pdb_endpoint(self) -> Endpoint | None:
        """Where the PDB face listens; None where it is off."""
        return self.endpoints().get("pdb")

    @property
    def dns_endpoint(self) -> Endpoint | None:
        """Where the DNS face listens, over UDP and TCP; None where it is off."""
        return self.endpoints().get("dns")

    def endpoints(self) -> dict[str, Endpoint]:
        """Where each face listens, by its name; without those that are off."""
        return {name: face.endpoint for name, face in self.faces.items() if face.endpoint is not None}

    @property
    def faces(self) -> Mapping[str, Face]:
        """Those that are on, by name."""
        return self._front.faces

    def datagram_form(self) -> str | None:
        """How datagrams are taken, see `DatagramLoop.form`; None where no face takes any."""
        faces = self.faces.values()
        return next((face.datagrams.form for face in faces if isinstance(face, PdbFace | DnsFace)), None)

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._config

    @property
    def talkers(self) -> Talkers:
        """Who asks for unknown hosts."""
        return self._lookup.talkers

    @property
    def admin_endpoint(self) -> Endpoint | None:
        """Where the admin face listens; None where it is off."""
        return self.endpoints().get("admin")

    @property
    def stopped(self) -> bool:
        """Whether no more look-ups are taken."""
        return self._stopped

    def counters(self) -> dict[str, int]:
        """Every counter and gauge, by `part.name`."""
        hosted, unknown = self._cache.sizes()
        upstream = self._asking.upstream_counters
        parts: dict[str, Mapping[str, int]] = {
            "lookup": {
                **asdict(self._lookup.counters),
                "under_way": self._lookup.under_way,
                "zones_set_aside": self._lookup.zones_set_aside,
            },
            "cache": {"hosted_entries": hosted, "unknown_entries": unknown},
            "snapshot": {} if self._snapshots is None else self._snapshots.counts(),
            "upstream": upstream.integers(),
            "upstream.outcome": upstream.outcomes,
            "wildcards": self._wildcards.counts(),
            **{name: face.counts() for name, face in self.faces.items()},
            "denial": {**asdict(self._asking.denial.counters), **self._asking.denial.sizes()},
            "domains": {} if self._keeper is None else self._keeper.counts(),
        }
        return {f"{part}.{name}": count for part, counts in parts.items() for name, count in counts.items()}


@asynccontextmanager
async def open_service(
    config: Config, *, passed: Mapping[str, Sequence[socket.socket]] | None = None
) -> AsyncIterator[Service]:
    """Run the service for the length of the block; its faces answer from the first line on.

    At the end of the block no request is taken any more, and flights have 3 seconds to land. `passed` are
    bound sockets by the names of the faces, `pdb` (UDP) and `dns` (UDP and TCP), in place of the addresses
    that `config.listen` has for those that are on; the caller closes them after the block.

    Raises:
        ConfigError: there is no DNS server to ask.
        ListenError: an address of `config.listen` cannot be bound, a proxy not linked with, or a passed
            socket not used.
        StoreError: the database of `config.domains.store` cannot be used.
    """
    registrable_domain = registrable_domain_reader()
    giving_way = GivingWay()
    asking = Asking(config, servers_of(config), registrable_domain=registrable_domain, giving_way=giving_way)
    retractions = Retractions()
    cache = VerdictCache(config.cache, retractions)
    table = DomainTable(config.domains, retractions)
    failure: Exception | None = None
    async with AsyncExitStack() as resources:

        def build(name: FaceName, sockets: Sequence[socket.socket], listen: Listen) -> Face:
            match name:
                case FaceName.PDB:
                    return PdbFace(sockets[0], listen, lookup, retractions, giving_way)
                case FaceName.DNS:
                    text = keeper.text if keeper else _no_text
                    return DnsFace(
                        sockets, listen, lookup, text=text, retractions=retractions, giving_way=giving_way
                    )
                case FaceName.ADMIN:
                    from fastvhost.oversight import admin_face  # with h11 some 60 ms

                    return admin_face(sockets[0], listen, service, asking=asking, keeper=keeper)
                case never:
                    assert_never(never)

        front = Front(build, passed or {})
        bound = front.bind(config.listen)
        resources.callback(close, bound)
        snapshots = None
        if config.cache.snapshot:
            snapshots = _snapshots(config, cache, asking)
            snapshots.restore()  # before the store is read, which may know better
        keeper = None
        if config.domains.store:
            from fastvhost.domains.keeper import Keeper  # SQLAlchemy takes half a second

            keeper = Keeper(
                config,
                table=table,
                registrable_domain=registrable_domain,
                check=asking.check,
                confirm=partial(asking.check, over_tcp=True),
                ask_text=asking.text,
                forget=cache.forget,
                wall_clock=time.time,  # noqa: TID251 - what is stored outlives the process
            )
            await resources.enter_async_context(keeper.open())
        # From the inside out: requests end first, then flights land, then nothing is owed any more.
        probes = await resources.enter_async_context(asking.open())
        if snapshots is not None:
            probes.start_soon(snapshots.run)
        wildcards = Wildcards(
            config, registrable_domain=registrable_domain, probe=probing_in(probes, asking.check)
        )
        await resources.enter_async_context(front.open())
        async with trio.open_nursery() as flights:
            lookup = Lookup(
                config,
                table=table,
                cache=cache,
                budgets=asking.budgets,
                walk=asking.walk,
                scout=asking.scout,
                confirm=asking.confirm,
                nursery=flights,
                found_hosted=keeper.found if keeper else None,
                wildcards=wildcards,
                denied=asking.denied,
            )
            service = Service(
                config,
                lookup=lookup,
                table=table,
                cache=cache,
                asking=asking,
                wildcards=wildcards,
                front=front,
                keeper=keeper,
                snapshots=snapshots,
            )
            front.turn_to(config.listen, bound)
            if config.proxies.evapi:
                from fastvhost.faces.evapi import EvapiFace  # few have one: 4 ms of the start

                front.stand("evapi", EvapiFace(config.proxies, lookup))
            try:
                yield service
            except Exception as error:  # noqa: BLE001 - raised again below, outside of any group
                failure = error
            finally:
                service.stop()
                asking.scout.stop()
            await front.stop_receiving()
            flights.cancel_scope.deadline = trio.current_time() + _GRACE_SECONDS
    if snapshots is not None:
        await snapshots.write_last()
    if failure is not None:
        raise failure


def _snapshots(config: Config, cache: VerdictCache, asking: Asking) -> "Snapshots":
    from fastvhost.snapshot import circumstances_of  # nothing of it where no snapshot is wanted
    from fastvhost.snapshots import Snapshots

    return Snapshots(
        config.cache,
        cache,
        circumstances=lambda: circumstances_of(*asking.circumstances),
        wall_clock=time.time,  # noqa: TID251 - what is stored outlives the process
    )


def _no_text(_: str) -> Sequence[bytes]:
    """Attributes are kept with learned domains, and without a store there are none."""
    return ()
