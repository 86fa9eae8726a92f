"""The service: builds every part, hands each its neighbours, and ends them in order.

No state outlives it and none is shared between two: it can be opened as often as one likes.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, assert_never

import trio

from fastvhost.belief import Belief, believe
from fastvhost.budgets import Budgets
from fastvhost.cache import VerdictCache
from fastvhost.config import Attributes, Config, Endpoint
from fastvhost.domains.attributes import OWNER_PREFIX, Published, read_attributes
from fastvhost.domains.table import DomainTable
from fastvhost.domains.text import AskText, TextRecords
from fastvhost.errors import StoppedError
from fastvhost.faces.dns import DnsFace, bind_dns
from fastvhost.faces.evapi import EvapiFace
from fastvhost.faces.face import Face
from fastvhost.faces.pdb import PdbFace
from fastvhost.faces.tcp import bind_tcp
from fastvhost.faces.udp import bind_udp
from fastvhost.host import Address, parse_address
from fastvhost.lookup import Lookup
from fastvhost.model import Verdict
from fastvhost.probing import probing_in
from fastvhost.resolve.denial import ProvenDenial
from fastvhost.resolve.reply import Answer, Failure, Negative, Txt
from fastvhost.resolve.scout import Scout
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker
from fastvhost.retractions import Retractions
from fastvhost.talkers import Talkers
from fastvhost.wildcards import Wildcards
from fastvhost.zone_cut import registrable_domain_reader

if TYPE_CHECKING:
    from fastvhost.domains.keeper import Keeper

__all__ = ["Service", "open_service"]

_GRACE_SECONDS = 3.0
"""How long flights may go on after the last request was taken."""


class Service:
    """A running service; made by `open_service`."""

    def __init__(
        self,
        *,
        lookup: Lookup,
        cache: VerdictCache,
        believe: Callable[[str, Address | None, float], Belief],
        upstream: Upstream,
        wildcards: Wildcards,
        faces: Mapping[str, Face],
        denial: ProvenDenial,
        keeper: "Keeper | None",
        attributes: Attributes,
        ask_text: AskText,
    ) -> None:
        self.faces = faces
        """Those that are on, by name."""
        self._lookup = lookup
        self._cache = cache
        self._believe = believe
        self._upstream = upstream
        self._wildcards = wildcards
        self._denial = denial
        self._keeper = keeper
        self._attributes = attributes
        self._ask_text = ask_text
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
        return self._believe(host, source, now)

    async def published(self, domain: str) -> Published | None:
        """What the zone of a canonical `domain` says of it, by `config.attributes`; None where DNS fails."""
        answer = await self._ask_text(OWNER_PREFIX + domain)
        if answer is None:
            return None
        return read_attributes(answer.records, self._attributes, authentic=answer.authentic)

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
        upstream = self._upstream.counters
        parts: dict[str, Mapping[str, int]] = {
            "lookup": {
                **asdict(self._lookup.counters),
                "under_way": self._lookup.under_way,
                "zones_set_aside": self._lookup.zones_set_aside,
            },
            "cache": {"hosted_entries": hosted, "unknown_entries": unknown},
            "upstream": upstream.integers(),
            "upstream.outcome": upstream.outcomes,
            "wildcards": self._wildcards.counts(),
            **{name: face.counts() for name, face in self.faces.items()},
            "denial": {**asdict(self._denial.counters), **self._denial.sizes()},
            "domains": {} if self._keeper is None else self._keeper.counts(),
        }
        return {f"{part}.{name}": count for part, counts in parts.items() for name, count in counts.items()}


@asynccontextmanager
async def open_service(config: Config) -> AsyncIterator[Service]:
    """Run the service for the length of the block; its faces answer from the first line on.

    At the end of the block no request is taken any more, and flights have 3 seconds to land.

    Raises:
        ConfigError: there is no DNS server to ask.
        ListenError: an address of `config.listen` cannot be bound, or a proxy not linked with.
        StoreError: the database of `config.domains.store` cannot be used.
    """
    upstream = Upstream(config.dns, config.dns.servers or _system_servers())
    registrable_domain = registrable_domain_reader()
    walker = Walker(config, upstream, zone_of=registrable_domain)
    retractions = Retractions()
    cache = VerdictCache(config.cache, retractions)
    table = DomainTable(config.domains, retractions)
    budgets = Budgets(config.limits, upstream=walker.unknown.bucket, registrable_domain=registrable_domain)
    ask_text = partial(_ask_text, walker)
    failure: Exception | None = None
    async with AsyncExitStack() as resources:
        pdb_socket = None
        if config.listen.pdb:
            pdb_socket = resources.enter_context(closing(bind_udp(config.listen.pdb)))
        dns_sockets = None
        if config.listen.dns:
            dns_sockets = bind_dns(config.listen.dns)
            for sock in dns_sockets:
                resources.enter_context(closing(sock))
        admin_socket = None
        if config.listen.admin:
            admin_socket = resources.enter_context(closing(bind_tcp(config.listen.admin)))
        keeper = None
        if config.domains.store:
            from fastvhost.domains.keeper import Keeper  # SQLAlchemy takes half a second

            keeper = Keeper(
                config,
                table=table,
                registrable_domain=registrable_domain,
                check=walker.check,
                confirm=partial(walker.check, over_tcp=True),
                ask_text=ask_text,
                forget=cache.forget,
                wall_clock=time.time,  # noqa: TID251 - what is stored outlives the process
            )
            await resources.enter_async_context(keeper.open())
        # From the inside out: requests end first, then flights land, then nothing is owed any more.
        scout = None
        if not config.dns.trusted:  # what such a server says proves more, and the walk is who learns it
            scout = Scout(walker)
            resources.callback(scout.close)
        deadlines = await resources.enter_async_context(trio.open_nursery())
        wildcards = Wildcards(
            config, registrable_domain=registrable_domain, probe=probing_in(deadlines, walker.check)
        )
        async with trio.open_nursery() as flights:
            lookup = Lookup(
                config,
                table=table,
                cache=cache,
                budgets=budgets,
                walk=walker.walk,
                scout=scout,
                confirm=walker.confirm,
                nursery=flights,
                found_hosted=keeper.found if keeper else None,
                wildcards=wildcards,
                denied=walker.denied if config.dns.trusted else None,
            )
            faces: dict[str, Face] = {}
            if pdb_socket:
                faces["pdb"] = PdbFace(pdb_socket, config.listen, lookup, retractions)
            if dns_sockets:
                faces["dns"] = DnsFace(
                    dns_sockets,
                    config.listen,
                    lookup,
                    text=keeper.text if keeper else _no_text,
                    retractions=retractions,
                )
            if config.proxies.evapi:
                faces["evapi"] = EvapiFace(config.proxies, lookup)
            service = Service(
                lookup=lookup,
                cache=cache,
                believe=partial(
                    believe,
                    own=config.own,
                    table=table,
                    cache=cache,
                    lookup=lookup,
                    budgets=budgets,
                    wildcards=wildcards,
                    denied=walker.denied if config.dns.trusted else None,
                ),
                upstream=upstream,
                wildcards=wildcards,
                faces=faces,
                denial=walker.denial,
                keeper=keeper,
                attributes=config.attributes,
                ask_text=ask_text,
            )
            if admin_socket:
                from fastvhost.oversight import admin_face  # with h11 some 60 ms

                faces["admin"] = admin_face(
                    admin_socket, config, service, walker=walker, keeper=keeper, sources=budgets.sources
                )
            for face in faces.values():
                resources.callback(face.close)
            if scout:
                deadlines.start_soon(scout.listen)
                deadlines.start_soon(scout.watch)
            async with trio.open_nursery() as receiving:
                for face in faces.values():
                    deadlines.start_soon(face.watch_deadlines)
                    receiving.start_soon(face.receive)
                try:
                    yield service
                except Exception as error:  # noqa: BLE001 - raised again below, outside of any group
                    failure = error
                finally:
                    service.stop()
                    if scout:
                        scout.stop()
                receiving.cancel_scope.cancel()
            flights.cancel_scope.deadline = trio.current_time() + _GRACE_SECONDS
        deadlines.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _no_text(_: str) -> Sequence[bytes]:
    """Attributes are kept with learned domains, and without a store there are none."""
    return ()


async def _ask_text(walker: Walker, name: str) -> TextRecords | None:
    """TXT at a name, in the terms of whoever learns domains."""
    reply = await walker.text(name)
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


def _system_servers() -> tuple[Endpoint, ...]:
    from fastvhost.resolve.system import system_servers  # 150 ms, and only where no server is configured

    return system_servers()
