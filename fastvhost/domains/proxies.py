"""What a proxy on this machine is told, and when: that its rows changed, and single verdicts.

Both ways take an injected call, so nothing here knows sockets. A proxy that is away harms nobody: what it
is to hear is bounded, its silence is said in the log once, and it is told when it is back.

Source: Kamailio's modules domain and htable (5.6.3), OpenSIPS' module domain.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf
from typing import NamedTuple, NoReturn, Protocol

import trio

from fastvhost.domains.jsonrpc import Done, Refused, Reply, Silent

__all__ = [
    "Call",
    "HtableCounters",
    "HtablePush",
    "Reload",
    "ReloadCounters",
    "ReloadDebouncer",
    "kamailio_reload",
    "opensips_reload",
]

_log = logging.getLogger(__name__)

_RELOAD_SECONDS = 60.0
"""Seconds; a million rows take Kamailio 5.6.3 eight (measured)."""

_RETRY_SECONDS = (10.0, 300.0)
"""Until a failed reload is tried again, at first and at most; doubled in between."""

_METHOD_NOT_FOUND = -32601
"""JSON-RPC 2.0 section 5.1; OpenSIPS says it of a command that it does not know."""

_MAX_KEY = 200
"""Octets of a key that Kamailio's htable is trusted with; a longer domain is asked for instead."""

_MAX_TTL = 30 * 86_400
"""Seconds that an entry may live: what has no end of its own is told again at the next full push."""

_NOT_FOUND = 404
"""Kamailio says it of a key to be deleted that is not there."""

_REFUSED_PAUSE = 1.0
"""Seconds until a refused change is tried again; doubled. Kamailio logs each failure of a full htable."""
_REFUSED_ATTEMPTS = 3
_LOG_SECONDS = 60.0
"""Refusals are said in the log once in this time: each push of many may meet one."""

_WATCH_SECONDS = (5.0, 30.0)
"""Between two looks at whether the proxy still has our mark; doubled up to the second while silent."""

_MARK_TTL = 600
"""Seconds; renewed at each look, so that the mark of a daemon that ended is soon gone."""
_BATCH = 64
"""Verdicts of a full push that are queued at one time."""


class Call(Protocol):
    """Asks a proxy to do `method`: `RpcClient.call`, or a test's."""

    def __call__(
        self, method: str, params: Sequence[str | int] = (), *, wait: float = ..., attempts: int = ...
    ) -> Awaitable[Reply]: ...


Reload = Callable[[], Awaitable[Reply]]


def kamailio_reload(call: Call) -> Reload:
    """Reloads Kamailio's `domain` and `domain_attrs`."""
    return _reload(call, probe="core.uptime", commands=("domain.reload",))


def opensips_reload(call: Call) -> Reload:
    """Reloads OpenSIPS' `domain`, by the command's name of today or, where that is unknown, its older one."""
    return _reload(call, probe="uptime", commands=("domain:reload", "domain_reload"))


def _reload(call: Call, *, probe: str, commands: Sequence[str]) -> Reload:
    """The first of `commands` that the proxy knows, sent only once: two datagrams might be two reloads.

    A reload may take long, so its silence says little: whether the proxy is there at all is asked first,
    by a command that costs nothing. Any reply will do.
    """

    async def reload() -> Reply:
        reply = await call(probe)
        if isinstance(reply, Silent):
            return reply
        for command in commands:
            reply = await call(command, wait=_RELOAD_SECONDS, attempts=1)
            if not (isinstance(reply, Refused) and reply.code == _METHOD_NOT_FOUND):
                break
        return reply

    return reload


@dataclass(slots=True)
class ReloadCounters:
    """Plain integers; `changes` over `sent` is what the debouncing saved."""

    changes: int = 0
    sent: int = 0
    done: int = 0
    failed: int = 0


class ReloadDebouncer:
    """One proxy whose rows change: reloads it, seldom, and until it worked."""

    def __init__(self, reload: Reload, *, name: str, interval: float = 10.0) -> None:
        """`interval`: least seconds from a reload's end to the next one's start; `name`: for the log."""
        self._reload = reload
        self._name = name
        self._interval = interval
        self._change = trio.Event()
        self.counters = ReloadCounters()

    def changed(self) -> None:
        """Rows were written: have the proxy read them. Cheap; from the thread of Trio only."""
        self.counters.changes += 1
        self._change.set()

    async def run(self) -> NoReturn:
        """Reload after each change, never two at a time, until cancelled.

        At once where the last reload ended over `interval` ago, else at the end of it. Changes during a
        reload cause one more. A failed one is tried again after 10 s, doubling to 300 s; a further change
        shortens that wait to `interval`, since it may be what mends it.
        """
        failures = 0
        ended, retry_at = trio.current_time() - self._interval, inf
        while True:
            with trio.move_on_at(retry_at):
                await self._change.wait()
            await trio.sleep_until(ended + self._interval)
            self._change = trio.Event()
            self.counters.sent += 1
            reply = await self._reload()
            ended, retry_at = trio.current_time(), inf
            if isinstance(reply, Done):
                self.counters.done += 1
                if failures:
                    _log.info("%s: the reload of its domains works again", self._name)
                failures = 0
                continue
            self.counters.failed += 1
            first, longest = _RETRY_SECONDS
            retry_at = ended + min(first * 2.0 ** min(failures, 16), longest)
            if not failures:
                _log.warning(
                    "%s: the reload of its domains failed (%s): it serves those it had; trying again",
                    self._name,
                    reply,
                )
            failures += 1


class _Verdict(NamedTuple):
    kind: int
    expires: float
    """Monotonic seconds."""


@dataclass(slots=True)
class HtableCounters:
    """Plain integers; a verdict that a newer one overtook is in none of them."""

    pushed: int = 0
    deleted: int = 0
    refused: int = 0
    """Error replies."""
    lost: int = 0
    """Changes given up after three of them."""
    dropped: int = 0
    """Changes thrown away because the queue was full."""
    too_long: int = 0
    emptied: int = 0
    """How often the proxy's table was found without what was told before."""
    full_pushes: int = 0
    """Full pushes that came to their end."""


class HtablePush:
    """Verdicts on their way into one Kamailio's htable, the latest of each domain, until confirmed."""

    def __init__(
        self,
        call: Call,
        *,
        name: str,
        emptied: Callable[[], None] = lambda: None,
        table: str = "vh",
        in_flight: int = 64,
        queued: int = 100_000,
        rate: float = 5_000.0,
    ) -> None:
        """A push that `run` carries out.

        Args:
            call: asks the proxy.
            name: the proxy's, for the log.
            emptied: called when the proxy is first heard, and whenever its table has lost what it was
                told (a restart, a flush): the place to call `push_all`.
            table: the htable's name.
            in_flight: calls under way at one time.
            queued: most domains that wait; at the bound the oldest is dropped and counted.
            rate: most verdicts a second of a full push; single ones go at once.
        """
        self._call = call
        self._name = name
        self._emptied = emptied
        self._table = table
        self._in_flight = in_flight
        self._bound = queued
        self._rate = rate
        self._queue: OrderedDict[str, _Verdict | None] = OrderedDict()
        """What each domain is to become, the oldest first; None: deleted."""
        self._flying: set[str] = set()
        self._newer: dict[str, _Verdict | None] = {}
        """Of domains in flight, what came since: two calls for one domain might overtake each other."""
        self._all: Iterator[tuple[str, int, float]] = iter(())
        self._all_wanted = trio.Event()
        self._idle = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._silent = False
        self._log_refusals_from = -inf
        # No host begins so. A key of our own: another daemon's says nothing about what we told.
        self._mark = f"_fastvhost.{secrets.token_hex(4)}"
        self.counters = HtableCounters()

    def __len__(self) -> int:
        """Domains that wait to be told."""
        return len(self._queue)

    def set(self, domain: str, kind: int, ttl: float) -> None:
        """Have `domain` looked up as `kind` for `ttl` seconds from now; cheap, in place of what waits."""
        self._offer(domain.lower(), _Verdict(kind, trio.current_time() + ttl))

    def delete(self, domain: str) -> None:
        """Have `domain` forgotten by the proxy; cheap, in place of what waits."""
        self._offer(domain.lower(), None)

    def push_all(self, verdicts: Iterable[tuple[str, int, float]]) -> None:
        """Tell all `verdicts`, each domain, kind and seconds to live, slowly and behind what is new.

        They are read as they are sent, over minutes: give an iterator that looks each name up when its
        turn comes, and leaves out what is gone by then. Takes the place of a full push under way.
        """
        self._all = iter(verdicts)
        self._all_wanted.set()

    async def run(self) -> None:
        """Tell the proxy what waits; never returns unless cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._stream)
            for _ in range(self._in_flight):
                nursery.start_soon(self._work)

    # The queue.

    def _offer(self, key: str, change: _Verdict | None) -> None:
        if len(key.encode()) > _MAX_KEY:
            self.counters.too_long += 1
        elif key in self._flying:
            self._newer[key] = change
        else:
            self._queue[key] = change
            if len(self._queue) > self._bound:
                self._queue.popitem(last=False)
                self.counters.dropped += 1
            if not self._silent:
                self._idle.unpark()

    async def _work(self) -> NoReturn:
        """Tell one domain after the other."""
        while True:
            while self._silent or not self._queue:
                await self._idle.park()
            key, change = self._queue.popitem(last=False)
            if len(self._queue) <= self._in_flight:
                self._room.unpark_all()
            self._flying.add(key)
            told = await self._tell(key, change)
            self._flying.remove(key)
            if key in self._newer:
                self._offer(key, self._newer.pop(key))
            elif not told and len(self._queue) < self._bound:
                self._queue[key] = change
                self._queue.move_to_end(key, last=False)
            elif not told:
                self.counters.dropped += 1

    async def _stream(self) -> NoReturn:
        """Feed full pushes into the queue, no faster than it drains."""
        while True:
            await self._all_wanted.wait()
            batch = tuple(islice(self._all, _BATCH))
            if not batch:
                self._all_wanted = trio.Event()
                self.counters.full_pushes += 1
                continue
            for domain, kind, ttl in batch:
                # What waits or flies is newer.
                if domain.lower() not in self._queue and domain.lower() not in self._flying:
                    self.set(domain, kind, ttl)
            await trio.sleep(len(batch) / self._rate)
            while len(self._queue) > self._in_flight:
                await self._room.park()

    # The proxy.

    async def _tell(self, key: str, change: _Verdict | None) -> bool:
        """Have one change made; False when the proxy is silent."""
        for attempt in range(_REFUSED_ATTEMPTS):
            left = 0.0 if change is None else change.expires - trio.current_time()
            if change is None or left <= 0.0:
                # Expired while it waited: what the proxy had before is older still.
                reply = await self._call("htable.delete", (self._table, key))
            else:
                reply = await self._set(key, change.kind, left)
            match reply:
                case Silent():
                    self._fall_silent(reply)
                    return False
                case Refused() if not (left <= 0.0 and reply.code == _NOT_FOUND):
                    self._hear()
                    self._refuse(reply)
                    await trio.sleep(_REFUSED_PAUSE * 2**attempt)
                case _:
                    self._hear()
                    if left > 0.0:
                        self.counters.pushed += 1
                    else:
                        self.counters.deleted += 1
                    return True
        self.counters.lost += 1
        return True

    async def _set(self, key: str, kind: int, ttl: float) -> Reply:
        # To setxi a time of 0 is for ever.
        return await self._call("htable.setxi", (self._table, key, kind, ceil(min(ttl, _MAX_TTL))))

    async def _watch(self) -> NoReturn:
        """Look, every five seconds, whether the proxy is there and still has what it was told."""
        pause, longest = _WATCH_SECONDS
        while True:
            found = await self._call("htable.get", (self._table, self._mark))
            reply = found if isinstance(found, Silent) else await self._set(self._mark, 1, _MARK_TTL)
            match reply:
                case Silent():
                    self._fall_silent(reply)
                case Refused():
                    self._hear()
                    self._refuse(reply)
                case Done():
                    self._hear()
                    if isinstance(found, Refused):
                        self.counters.emptied += 1
                        self._emptied()
            pause = min(2 * pause, longest) if self._silent else _WATCH_SECONDS[0]
            await trio.sleep(pause)

    def _fall_silent(self, reply: Silent) -> None:
        if not self._silent:
            self._silent = True
            _log.warning("%s: silent (%s): told no verdicts until it answers", self._name, reply)

    def _hear(self) -> None:
        if self._silent:
            self._silent = False
            _log.info("%s: answers again; %d verdicts wait for it", self._name, len(self._queue))
            self._idle.unpark_all()

    def _refuse(self, reply: Refused) -> None:
        self.counters.refused += 1
        now = trio.current_time()
        if now >= self._log_refusals_from:
            self._log_refusals_from = now + _LOG_SECONDS
            _log.warning(
                "%s: refuses verdicts for its htable %s (%s); %d refusals so far",
                self._name,
                self._table,
                reply,
                self.counters.refused,
            )
