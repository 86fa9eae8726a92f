"""The run: requests out by a window or by the clock, replies matched, checked and timed."""

import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from math import inf

from tools.load.errors import LoadError
from tools.load.figures import Figures
from tools.load.latency import LatencyHistogram
from tools.load.pace import Pace
from tools.load.plan import Plan
from tools.load.replies import Matched, Replies
from tools.load.ring import IDS, RequestRing
from tools.load.wire import BATCH, Wire, open_wire

__all__ = ["Progress", "run_load"]

Progress = Callable[[Figures, float], None]
"""Called about once a second with the figures so far, and the seconds since the start."""

_SHORT_WAIT = 0.01
"""Seconds between two looks at the clock while nothing comes."""

_SPIN = 200e-6
"""Open loop: a wait shorter than this spins, since waking from sleep would be late by a part of it."""


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
        batched: False to use one system call a datagram; None for the best that the platform has.

    Raises:
        LoadError: nothing listens there, or a name cannot be asked for.
    """
    ring = RequestRing(plan)
    pace = None if plan.rate is None else Pace(plan.rate, poisson=plan.poisson)
    slot = ring.stride + plan.dialect.room
    try:
        with open_wire(plan.server, ring, slot, batched=batched) as wire:
            if begin is not None:
                begin()
            run = _Run(plan, ring, wire, progress)
            if pace is None:
                run.closed_loop(plan.window)
            else:
                run.open_loop(pace)
            return run.figures
    except ConnectionRefusedError as error:
        raise LoadError(f"nothing listens on UDP {plan.server}") from error
    except OSError as error:
        raise LoadError(f"{plan.server}: {error.strerror or error}") from error


class _Run:
    """The state of one run. Requests are numbered from 0; the id of one is its number modulo `IDS`."""

    def __init__(self, plan: Plan, ring: RequestRing, wire: Wire, progress: Progress | None) -> None:
        self.figures = Figures(dialect=plan.dialect)
        self._ring = ring
        self._wire = wire
        self._replies = Replies(wire, ring, plan.dialect)
        self._progress = progress
        self._timeout = plan.timeout
        # By id: whether a request is outstanding, and when it was (due to be) sent.
        self._outstanding = bytearray(IDS)
        self._times = array("d", bytes(8 * IDS))
        self._batches: deque[tuple[int, int, float]] = deque()
        """First number, count and time of each batch that may still have requests outstanding."""
        self._most = plan.count if plan.count is not None else 2**63
        self._seconds = plan.seconds
        self._start = self._last_reply = time.perf_counter()
        self._end = self._start + (plan.seconds if plan.seconds is not None else inf)
        self._report_at = self._start + 1.0

    def closed_loop(self, window: int) -> None:
        """Keep `window` requests outstanding, topped up by a quarter at a time for the sake of batches."""
        step = max(1, window // 4)
        while (now := time.perf_counter()) < self._end and self.figures.sent < self._most:
            room = min(window - self._waiting(), self._most - self.figures.sent)
            if room >= min(step, self._most - self.figures.sent):
                self._send(room, now)
            self._collect(_SHORT_WAIT)
        self._drain()

    def open_loop(self, pace: Pace) -> None:
        """Send each request when it is due, however many are outstanding.

        What falls due is sent even when it is late, for at most the time-out past the end: a rate that
        this machine cannot reach shows as fewer sent.
        """
        most = self._most if self._seconds is None else min(self._most, pace.due(self._seconds))
        while (now := time.perf_counter()) < self._end + self._timeout and self.figures.sent < most:
            due = min(pace.due(now - self._start), most) - self.figures.sent
            if due > 0:
                self._send(due, self._start + pace.at(self.figures.sent), pace)
            next_due = self._start + pace.at(self.figures.sent) - time.perf_counter()
            self._collect(min(next_due - _SPIN, _SHORT_WAIT))
        self._drain()

    def _waiting(self) -> int:
        return self.figures.sent - self.figures.answered - self.figures.lost

    def _send(self, wanted: int, at: float, pace: Pace | None = None) -> None:
        """Send up to `wanted` frames in one batch, the first timed `at`, the next as `pace` has them."""
        number = self.figures.sent
        first_id, in_ring = number % IDS, number % len(self._ring)
        # The first goes alone: in a batch sendmmsg would swallow what a closed port answers to it.
        count = min(wanted, BATCH, IDS - first_id) if number else 1
        self._expire(at, before=number + count - IDS)
        self._ring.refresh(in_ring, count)
        count = self._wire.send(in_ring, count)
        ids = slice(first_id, first_id + count)
        self._outstanding[ids] = b"\1" * count
        self._times[ids] = (
            array("d", (at,)) * count if pace is None else pace.instants(number, count, self._start)
        )
        self._batches.append((number, count, at))
        self.figures.sent += count

    def _collect(self, wait: float) -> None:
        """Take the replies that are there; when there are none wait up to `wait` seconds for some."""
        matched = self._replies.take(self._outstanding, self.figures.sent)
        if not matched.received and wait > 0.0:
            self._replies.wait(wait)
            matched = self._replies.take(self._outstanding, self.figures.sent)
        now = time.perf_counter()
        if matched.received:
            self._count(matched, now)
        self._expire(now)
        if self._progress is not None and now >= self._report_at:
            self._report_at = now + 1.0
            self._progress(self.figures, now - self._start)

    def _count(self, matched: Matched, now: float) -> None:
        self._last_reply = now
        figures = self.figures
        figures.seconds = now - self._start
        answered = len(matched.outcomes) + len(matched.unknown_outcomes)
        figures.answered += answered
        figures.strays += matched.received - answered
        figures.verdicts.update(matched.outcomes)
        self._time(matched.ids, now, figures.latency_of_known)
        if matched.unknown_ids:
            figures.verdicts.update(matched.unknown_outcomes)
            figures.verdicts_of_unknown.update(matched.unknown_outcomes)
            self._time(matched.unknown_ids, now, figures.latency_of_unknown)

    def _time(self, ids: Sequence[int], now: float, latency: LatencyHistogram) -> None:
        # Few instants in a closed loop: requests of one batch share theirs.
        for sent_at, count in Counter(map(self._times.__getitem__, ids)).items():
            latency.record(now - sent_at, count)

    def _expire(self, now: float, before: int = 0) -> None:
        """Count as lost what is past its time-out, or has a number below `before`: its id is needed."""
        batches = self._batches
        while batches and (batches[0][2] < now - self._timeout or batches[0][0] < before):
            number, count, _ = batches.popleft()
            ids = slice(number % IDS, number % IDS + count)
            self.figures.lost += self._outstanding[ids].count(1)
            self._outstanding[ids] = bytes(count)

    def _drain(self) -> None:
        """Wait for what is outstanding."""
        while self._waiting():
            self._collect(_SHORT_WAIT)
