"""The run: requests out by a window or by the clock, replies matched, checked and timed."""

import select
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import inf

from tools.load.errors import LoadError
from tools.load.figures import Figures
from tools.load.pace import Pace
from tools.load.plan import Plan
from tools.load.replies import Matched, Replies
from tools.load.ring import IDS, RequestRing
from tools.load.wire import BATCH, Wire, open_wire

__all__ = ["Progress", "run_load", "run_together"]

Progress = Callable[[Figures, float], None]
"""Called about once a second with the figures so far, and the seconds since the start."""

_SHORT_WAIT = 0.01
"""Seconds between two looks at the clock while nothing comes."""

_SPIN = 200e-6
"""Open loop: a wait shorter than this spins, since waking from sleep would be late by a part of it."""

_LOOK_EVERY = 1e-3
"""Seconds between two looks at the replies to a loop beside the first."""

_FEW = 8
"""Of these, that are taken at a time: to read one takes some microseconds."""

_REHEARSAL_SECONDS = 10.0
"""After which it is over, complete or not."""


def run_load(
    plan: Plan,
    *,
    progress: Progress | None = None,
    begin: Callable[[], None] | None = None,
    batched: bool | None = None,
) -> Figures:
    """Run `plan` to its end and return what was measured. Blocks; a core of its own makes it honest.

    A closed loop measures capacity: its latency is mostly the queue that its window keeps. An open loop
    (`plan.rate`) measures latency, from the instant at which a request was due to be sent.

    Args:
        begin: called right before the first request, when all is ready for it.
        batched: False to use one system call a datagram; None for the quickest that the platform has.

    Raises:
        LoadError: nothing listens there, or a name cannot be asked for.
    """
    if plan.rate is not None:
        (figures,) = run_together([plan], progress=progress, begin=begin, batched=batched)
        return figures
    with _open_line(plan, batched) as line:
        if begin is not None:
            begin()
        loop = _ClosedLoop(line, plan, progress)
        loop.run()
        return loop.figures


def run_together(
    plans: Sequence[Plan],
    *,
    progress: Progress | None = None,
    begin: Callable[[], None] | None = None,
    batched: bool | None = None,
) -> list[Figures]:
    """Run open loops at once, each from a socket of its own, as `run_load` does; figures in their order.

    One thread does all of it: two on one core would measure how they share it. `progress` is told of
    the first.

    Raises:
        LoadError: see there.
    """
    with ExitStack() as stack:
        lines = [stack.enter_context(_open_line(plan, batched)) for plan in plans]
        paces = [_pace_of(plan) for plan in plans]
        if begin is not None:
            begin()
        runs = [
            _OpenLoop(line, plan, pace, progress if plan is plans[0] else None)
            for line, plan, pace in zip(lines, plans, paces, strict=True)
        ]
        wires = [line.wire for line in lines]
        while (sending := [run for run in runs if run.is_sending()]) or any(run.waiting for run in runs):
            next_due = min((run.send_due() for run in sending), default=inf)
            if not runs[0].collect() + sum(run.collect_beside() for run in runs[1:]):
                _wait_for(wires, min(next_due - time.perf_counter() - _SPIN, _SHORT_WAIT))
        return [run.figures for run in runs]


@dataclass(slots=True)
class _Line:
    """A socket, and what is asked and known of the replies by it."""

    ring: RequestRing
    wire: Wire
    replies: Replies
    rehearsal_seconds: float = 0.0


@contextmanager
def _open_line(plan: Plan, batched: bool | None) -> Iterator[_Line]:
    ring = RequestRing(plan)
    room = ring.stride + plan.dialect.room
    try:
        with open_wire(plan.server, ring, room, batched=batched) as wire:
            line = _Line(ring, wire, Replies(wire, ring, plan.dialect))
            if plan.rehearse:
                once = replace(plan, rate=None, seconds=_REHEARSAL_SECONDS, count=len(ring))
                rehearsal = _ClosedLoop(line, once)
                rehearsal.run()
                line.rehearsal_seconds = rehearsal.figures.seconds
            yield line
    except ConnectionRefusedError as error:
        raise LoadError(f"nothing listens on UDP {plan.server}") from error
    except OSError as error:
        raise LoadError(f"{plan.server}: {error.strerror or error}") from error


def _pace_of(plan: Plan) -> Pace:
    assert plan.rate is not None  # noqa: S101 - what makes a loop open
    return Pace(plan.rate, poisson=plan.poisson, burst=plan.burst)


def _wait_for(wires: Sequence[Wire], seconds: float) -> None:
    """Return when a reply is there, or after `seconds`; at once when they are negative."""
    if seconds > 0.0:
        select.select(wires, [], [], seconds)


def _tally(verdicts: Counter[int], outcomes: Sequence[int]) -> None:
    """Count these; nearly always all of them are the same."""
    first = outcomes[0]
    if outcomes.count(first) == len(outcomes):
        verdicts[first] += len(outcomes)
    else:
        verdicts.update(outcomes)


class _Run(ABC):
    """The state of one run. Requests are numbered from 0; the id of one is its number modulo `IDS`."""

    def __init__(self, line: _Line, plan: Plan, progress: Progress | None = None) -> None:
        self.figures = Figures(dialect=plan.dialect, rehearsal_seconds=line.rehearsal_seconds)
        self._ring = line.ring
        self._wire = line.wire
        self._replies = line.replies
        self._progress = progress
        self._timeout = plan.timeout
        # By id, whether a request is outstanding.
        self._outstanding = bytearray(IDS)
        self._batches: deque[tuple[int, int, float]] = deque()
        """First number, count and time of each batch that may still have requests outstanding."""
        self._most = plan.count if plan.count is not None else 2**63
        self._start = time.perf_counter()
        self._end = self._start + (plan.seconds if plan.seconds is not None else inf)
        self._report_at = self._start + 1.0

    @abstractmethod
    def _latencies(self, ids: Sequence[int], now: float) -> Sequence[float]:
        """Seconds from when requests with these ids were sent, or due, to `now`."""

    def collect(self, most: int = BATCH) -> int:
        """Take the replies that are there, at most a batch; return how many datagrams came."""
        matched = self._replies.take(self._outstanding, self.figures.sent, most)
        now = time.perf_counter()
        if matched.received:
            self._count(matched, now)
        self._expire(now)
        if self._progress is not None and now >= self._report_at:
            self._report_at = now + 1.0
            self._progress(self.figures, now - self._start)
        return matched.received

    @property
    def waiting(self) -> int:
        """Requests outstanding."""
        return self.figures.sent - self.figures.answered - self.figures.lost

    def _send(self, wanted: int, at: float) -> slice:
        """Send up to `wanted` frames in one batch, the first of which is due `at`; return their ids."""
        number = self.figures.sent
        first_id, in_ring = number % IDS, number % len(self._ring)
        # The first goes alone: in a batch sendmmsg would swallow what a closed port answers to it.
        count = min(wanted, BATCH, IDS - first_id) if number else 1
        self._expire(at, before=number + count - IDS)
        self._ring.refresh(in_ring, count)
        count = self._wire.send(in_ring, count)
        ids = slice(first_id, first_id + count)
        self._outstanding[ids] = b"\1" * count
        self._batches.append((number, count, at))
        self.figures.sent += count
        return ids

    def _count(self, matched: Matched, now: float) -> None:
        figures = self.figures
        figures.seconds = now - self._start
        answered = len(matched.outcomes) + len(matched.unknown_outcomes)
        figures.answered += answered
        figures.strays += matched.received - answered
        if matched.ids:
            _tally(figures.verdicts, matched.outcomes)
            figures.latency_of_known.record(self._latencies(matched.ids, now))
        if matched.unknown_ids:
            _tally(figures.verdicts, matched.unknown_outcomes)
            _tally(figures.verdicts_of_unknown, matched.unknown_outcomes)
            figures.latency_of_unknown.record(self._latencies(matched.unknown_ids, now))

    def _expire(self, now: float, before: int = 0) -> None:
        """Count as lost what is past its time-out, or has a number below `before`: its id is needed."""
        batches = self._batches
        while batches and (batches[0][2] < now - self._timeout or batches[0][0] < before):
            number, count, _ = batches.popleft()
            ids = slice(number % IDS, number % IDS + count)
            self.figures.lost += self._outstanding[ids].count(1)
            self._outstanding[ids] = bytes(count)


class _ClosedLoop(_Run):
    """Keeps `window` requests outstanding, topped up by a quarter at a time for the sake of batches."""

    def __init__(self, line: _Line, plan: Plan, progress: Progress | None = None) -> None:
        super().__init__(line, plan, progress)
        self._window = plan.window
        # By id, when it was sent.
        self._times = array("d", bytes(8 * IDS))

    def run(self) -> None:
        """To the end of the plan."""
        window, step = self._window, max(1, self._window // 4)
        while (now := time.perf_counter()) < self._end and self.figures.sent < self._most:
            room = min(window - self.waiting, self._most - self.figures.sent)
            if room >= min(step, self._most - self.figures.sent):
                ids = self._send(room, now)
                self._times[ids] = array("d", (now,)) * (ids.stop - ids.start)
            self._collect_or_wait()
        while self.waiting:
            self._collect_or_wait()

    def _collect_or_wait(self) -> None:
        if not self.collect():
            _wait_for([self._wire], _SHORT_WAIT)

    def _latencies(self, ids: Sequence[int], now: float) -> Sequence[float]:
        times = self._times
        return [now - times[message_id] for message_id in ids]


class _OpenLoop(_Run):
    """Sends each request when it is due, however many are outstanding.

    What falls due is sent even when it is late, for at most the time-out past the end: a rate that
    this machine cannot reach shows as fewer sent.
    """

    def __init__(self, line: _Line, plan: Plan, pace: Pace, progress: Progress | None = None) -> None:
        super().__init__(line, plan, progress)
        self._pace = pace
        self._look_at = self._start + _LOOK_EVERY / 2  # between the bursts that are due at a millisecond
        if plan.seconds is not None:
            self._most = min(self._most, pace.due(plan.seconds))

    def is_sending(self) -> bool:
        """Whether requests are to be sent yet."""
        return self.figures.sent < self._most and time.perf_counter() < self._end + self._timeout

    def send_due(self) -> float:
        """Send what is due, at most a batch; return when the next one is."""
        due = min(self._pace.due(time.perf_counter() - self._start), self._most) - self.figures.sent
        if due > 0:
            self._send(due, self._start + self._pace.at(self.figures.sent))
        return self._start + self._pace.at(self.figures.sent)

    def collect_beside(self) -> int:
        """Take a few of the replies that are there, every millisecond until none is left; return how many.

        For a loop beside the one that is measured, from which each look keeps the generator.
        """
        now = time.perf_counter()
        if now < self._look_at:
            return 0
        received = self.collect(_FEW)
        if received < _FEW:
            self._look_at += _LOOK_EVERY * ((now - self._look_at) // _LOOK_EVERY + 1)
        return received

    def _latencies(self, ids: Sequence[int], now: float) -> Sequence[float]:
        return self._pace.since_due(ids, self.figures.sent, now - self._start)
