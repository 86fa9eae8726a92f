"""The sweep: checks the learned domains that are due, side by side, for as long as the service lives.

What follows from a check is `fastvhost.domains.housekeeping`'s. Nothing here grows with the number of
domains: which are due is the store's to say, a few at a time.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import NamedTuple, NoReturn, TypeVar

import trio

from fastvhost.domains.housekeeping import Brake, Braking, Census, Housekeeping, after_check
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.errors import StoreError
from fastvhost.model import Finding, VerdictKind

__all__ = ["sweep"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_GATHER_SECONDS = 1.0
"""Most seconds that a finished check waits for others to be saved with."""

_CENSUS_SECONDS = 60.0
"""Seconds between two counts of the whole fleet: one costs the store a pass over an index."""

_BACK_OFF = (1.0, 60.0)
"""Seconds to wait when the store is away, or the DNS budget is spent; doubled up to the most of them."""

_FAULT_LOG_SECONDS = 60.0

_FAULT = Finding(kind=VerdictKind.UNDETERMINED, ttl=0.0, reason="internal fault; see the log")


async def sweep(
    *,
    census: Callable[[], Awaitable[Census]],
    due: Callable[[float, int], Awaitable[list[DomainRecord]]],
    check: Callable[[str], Awaitable[Finding]],
    confirm: Callable[[str], Awaitable[Finding]],
    save: Callable[[list[DomainRecord]], Awaitable[None]],
    wall_clock: Callable[[], float],
    rules: Housekeeping,
    brake: Brake,
    on_alarm: Callable[[Braking | None], None],
    in_flight: int = 128,
    poll: float = 10.0,
) -> NoReturn:
    """Check what is due and save what follows, for ever; ends only by being cancelled.

    Args:
        census: counts the fleet; asked before anything else, then once a minute.
        due: the records that are ACTIVE or DISABLED and due at an instant, the longest due first, at most
            that many. A record planned further ahead than `longest_wait` is due as well.
        check: asks DNS about one domain; bounded in time and paid for by the budget of housekeeping.
        confirm: asks once more, in a way that is harder to forge, about a disabled domain that seems back.
        save: keeps records; called again with the same ones after a `StoreError`.
        wall_clock: seconds since the epoch.
        on_alarm: called when `brake` begins to brake, and with None when it ends; must neither block nor
            raise.
        in_flight: most domains that are checked or not saved yet at one time, and most asked for from `due`.
        poll: seconds between two looks for what is due, while there is nothing else to do.

    A `StoreError` of `census`, `due` or `save` is waited out and said once; no more than `in_flight` domains
    are checked meanwhile. Cancelled, what was checked but not saved is due as before, so it is checked again.
    """
    store = _Store()
    checks = _Checks(check, confirm, wall_clock, rules, brake, on_alarm, in_flight)
    census_from = trio.current_time()
    pause = 0.0
    async with trio.open_nursery() as nursery:
        while True:
            if trio.current_time() >= census_from:
                census_from = trio.current_time() + _CENSUS_SECONDS
                checks.note_census(await store.reach(census))
            if checks.room:
                for record in await store.reach(lambda: due(wall_clock(), in_flight)):
                    checks.start(record, nursery)
            checked = await checks.gather(poll)
            if checked:
                records = [one.record for one in checked]
                await store.reach(partial(save, records))
                checks.forget(records)
            # Otherwise all that is due would be asked for, refused and saved in a circle.
            pause = _longer(pause) if any(one.limited for one in checked) else 0.0
            await trio.sleep(pause)
    raise AssertionError("the loop ends only by an exception")


class _Checked(NamedTuple):
    record: DomainRecord
    """As it is after the check."""
    limited: bool
    """Whether the DNS budget refused the check."""


class _Checks:
    """The checks under way and those that are not saved yet, at most `in_flight` together."""

    def __init__(
        self,
        check: Callable[[str], Awaitable[Finding]],
        confirm: Callable[[str], Awaitable[Finding]],
        wall_clock: Callable[[], float],
        rules: Housekeeping,
        brake: Brake,
        on_alarm: Callable[[Braking | None], None],
        in_flight: int,
    ) -> None:
        self._check = check
        self._confirm = confirm
        self._wall_clock = wall_clock
        self._rules = rules
        self._brake = brake
        self._on_alarm = on_alarm
        self._in_flight = in_flight
        self._outstanding: set[str] = set()
        self._send, self._receive = trio.open_memory_channel[_Checked](in_flight)
        self._log_faults_from = -inf

    @property
    def room(self) -> int:
        """How many more may be started."""
        return self._in_flight - len(self._outstanding)

    def start(self, record: DomainRecord, nursery: trio.Nursery) -> None:
        """Check a record, unless that is under way or there is no room."""
        if self.room and record.domain not in self._outstanding:
            self._outstanding.add(record.domain)
            nursery.start_soon(self._run, record)

    async def gather(self, seconds: float) -> list[_Checked]:
        """What was checked: wait at most `seconds` for a first one, and a little for half of all."""
        checked: list[_Checked] = []
        with trio.move_on_after(seconds):
            checked.append(await self._receive.receive())
        enough = min(len(self._outstanding), max(1, self._in_flight // 2))
        with trio.move_on_after(_GATHER_SECONDS if checked else 0.0):
            while len(checked) < enough:
                checked.append(await self._receive.receive())
        return checked

    def forget(self, saved: list[DomainRecord]) -> None:
        """Make room: these are saved."""
        self._outstanding.difference_update(record.domain for record in saved)

    def note_census(self, census: Census) -> None:
        """Tell the brake how much of the fleet is negative."""
        before = self._brake.braking
        self._brake.note_census(census, self._wall_clock())
        self._tell_change_since(before)

    async def _run(self, record: DomainRecord) -> None:
        try:
            finding = await self._check(record.domain)
            if record.state is DomainState.DISABLED and finding.kind is VerdictKind.HOSTED:
                finding = await self._confirm(record.domain)
        except Exception:  # noqa: BLE001 - a fault of ours in one check must not take the daemon down
            self._log_fault(record.domain)
            finding = _FAULT
        limited = finding.kind is VerdictKind.LIMITED
        self._send.send_nowait(_Checked(self._settle(record, finding), limited))

    def _settle(self, record: DomainRecord, finding: Finding) -> DomainRecord:
        now = self._wall_clock()
        before = self._brake.braking
        self._brake.note(record, finding, now)
        self._tell_change_since(before)
        return after_check(record, finding, now, self._rules, may_disable=self._brake.allows(record, now))

    def _tell_change_since(self, before: Braking | None) -> None:
        braking = self._brake.braking
        if (braking is None) is not (before is None):
            self._on_alarm(braking)

    def _log_fault(self, domain: str) -> None:
        """The traceback, once a minute."""
        now = trio.current_time()
        if now >= self._log_faults_from:
            self._log_faults_from = now + _FAULT_LOG_SECONDS
            _log.exception("check of %s: a fault of fastvhost, please report it", domain)


class _Store:
    """Calls that are repeated until the store is there."""

    def __init__(self) -> None:
        self._is_away = False

    async def reach(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """What `call` returns once it raises no `StoreError`."""
        wait = 0.0
        while True:
            try:
                outcome = await call()
            except StoreError as error:
                if not self._is_away:
                    self._is_away = True
                    _log.warning("housekeeping waits for the store: %s", error)
            else:
                if self._is_away:
                    self._is_away = False
                    _log.info("housekeeping goes on: the store is back")
                return outcome
            wait = _longer(wait)
            await trio.sleep(wait)


def _longer(wait: float) -> float:
    first, most = _BACK_OFF
    return min(max(first, 2.0 * wait), most)
