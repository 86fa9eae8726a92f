"""The load generator against real servers on loopback: what it sends, and that its figures are true."""

import contextlib
import itertools
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import read_request, write_reply
from fastvhost.model import VerdictKind
from tests.support import free_port, refusal
from tools.load import Figures, LatencyHistogram, LoadError, Plan, run_load, run_together
from tools.load.__main__ import main
from tools.load.pace import Pace
from tools.load.ring import IDS, RequestRing
from tools.load.wire import SegmentedWire, open_wire

Replier = Callable[[bytes], Sequence[bytes]]

WIRES = [False, True] if sys.platform == "linux" else [False]
PATIENT = 20.0
"""Seconds after which a request is lost, where none is to be: the machine may be slow."""

NAMES = (b"a.example", b"b.example", b"longer-name.example 192.0.2.17")


class PdbServer:
    """A thread that answers each frame with what `replies` makes of it."""

    def __init__(self, sock: socket.socket, replies: Replier) -> None:
        self._sock = sock
        self._replies = replies
        self.endpoint = Endpoint(*sock.getsockname())
        self.names: list[bytes] = []
        self.ids: list[int] = []

    def serve(self) -> None:
        while True:
            frame, client = self._sock.recvfrom(512)
            if not frame:
                return
            name = read_request(frame)
            assert name is not None
            self.names.append(name)
            self.ids.append(int.from_bytes(frame[4:6], "big"))
            for reply in self._replies(frame):
                self._sock.sendto(reply, client)


def hosted(frame: bytes) -> Sequence[bytes]:
    return [write_reply(frame, VerdictKind.HOSTED)]


@contextlib.contextmanager
def pdb_server(replies: Replier = hosted) -> Iterator[PdbServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = PdbServer(sock, replies)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
                stopper.sendto(b"", server.endpoint)
            thread.join()


def assert_adds_up(figures: Figures) -> None:
    assert figures.sent == figures.answered + figures.lost
    assert figures.latency.count == figures.answered == figures.verdicts.total()


@pytest.mark.parametrize("batched", WIRES)
@pytest.mark.parametrize("window", [1, 7, 128])
def test_closed_loop_counts_every_answer(batched: bool, window: int) -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint, names=NAMES, window=window, seconds=None, count=1_000, timeout=PATIENT
        )
        figures = run_load(plan, batched=batched)
    assert_adds_up(figures)
    assert (figures.sent, figures.lost, figures.strays) == (1_000, 0, 0)
    assert figures.verdicts == {VerdictKind.HOSTED: 1_000}
    assert sorted(Counter(server.names)) == sorted(NAMES)
    assert max(Counter(server.names).values()) - min(Counter(server.names).values()) <= 1


@pytest.mark.parametrize("rate", [None, 1_000.0])
def test_a_rehearsal_is_not_measured(rate: float | None) -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint,
            names=NAMES,
            rate=rate,
            seconds=None,
            count=30,
            rehearse=True,
            timeout=PATIENT,
        )
        figures = run_load(plan)
    assert_adds_up(figures)
    assert (figures.answered, figures.strays) == (30, 0)
    assert figures.rehearsal_seconds > 0.0
    assert server.ids == [*range(30), *range(30)]


@pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT is Linux's")
@pytest.mark.parametrize(("rate", "count"), [(None, IDS + 10), (2_000.0, 300)])
def test_frames_of_one_length_arrive_one_by_one(rate: float | None, count: int) -> None:
    names = tuple(b"h%03d.example" % number for number in range(500))
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint, names=names, rate=rate, seconds=None, count=count, timeout=PATIENT
        )
        with open_wire(server.endpoint, RequestRing(plan), 64) as wire:
            assert isinstance(wire, SegmentedWire)
        figures = run_load(plan)
    assert_adds_up(figures)
    assert (figures.answered, figures.strays) == (count, 0)
    assert server.ids == [number % IDS for number in range(count)]
    assert set(server.names) <= set(names)


@pytest.mark.parametrize("batched", WIRES)
def test_ids_come_round_after_all_of_them(batched: bool) -> None:
    with pdb_server() as server:
        plan = Plan(server=server.endpoint, names=NAMES, seconds=None, count=IDS + 10, timeout=PATIENT)
        figures = run_load(plan, batched=batched)
    assert (figures.answered, figures.lost, figures.strays) == (IDS + 10, 0, 0)
    assert server.ids == [*range(IDS), *range(10)]


def test_closed_loop_never_has_more_than_its_window_outstanding() -> None:
    held: list[bytes] = []

    def when_five_wait(frame: bytes) -> Sequence[bytes]:
        held.append(frame)
        if len(held) < 5:
            return ()
        released = [write_reply(request, VerdictKind.HOSTED) for request in held]
        held.clear()
        return released

    with pdb_server(when_five_wait) as server:
        plan = Plan(server=server.endpoint, names=NAMES, window=5, seconds=None, count=100, timeout=PATIENT)
        figures = run_load(plan)
        assert (figures.answered, figures.lost) == (100, 0)
        short = Plan(server=server.endpoint, names=NAMES, window=4, seconds=None, count=4, timeout=0.05)
        assert run_load(short).lost == 4


@pytest.mark.parametrize("batched", WIRES)
def test_what_is_not_answered_is_lost_and_the_loop_goes_on(batched: bool) -> None:
    turn = itertools.count()

    def every_other(frame: bytes) -> Sequence[bytes]:
        return hosted(frame) if next(turn) % 2 else ()

    with pdb_server(every_other) as server:
        plan = Plan(server=server.endpoint, names=NAMES, window=32, seconds=None, count=64, timeout=0.5)
        figures = run_load(plan, batched=batched)
    assert_adds_up(figures)
    assert (figures.answered, figures.lost) == (32, 32)


def stray_twice(frame: bytes) -> Sequence[bytes]:
    return [*hosted(frame), *hosted(frame)]


def stray_other_name(frame: bytes) -> Sequence[bytes]:
    return [*hosted(frame[:6] + bytes(frame[6:]).swapcase()), *hosted(frame)]


def stray_cut(frame: bytes) -> Sequence[bytes]:
    return [*hosted(frame), hosted(frame)[0][:-1]]


def stray_other_id(frame: bytes) -> Sequence[bytes]:
    return [*hosted(frame[:4] + b"\xff\xff" + frame[6:]), *hosted(frame)]


def stray_too_long(frame: bytes) -> Sequence[bytes]:
    return [hosted(frame)[0] + b"\0", *hosted(frame)]


@pytest.mark.parametrize("batched", WIRES)
@pytest.mark.parametrize(
    "replies", [stray_twice, stray_other_name, stray_cut, stray_other_id, stray_too_long]
)
def test_a_datagram_that_answers_nothing_is_a_stray(replies: Replier, batched: bool) -> None:
    with pdb_server(replies) as server:
        plan = Plan(
            server=server.endpoint, names=(b"a.example",), window=1, seconds=None, count=50, timeout=PATIENT
        )
        figures = run_load(plan, batched=batched)
    assert figures.answered == 50
    assert figures.verdicts == {VerdictKind.HOSTED: 50}
    # The last stray may come after the end.
    assert 49 <= figures.strays <= 50


@pytest.mark.parametrize("batched", WIRES)
def test_values_are_counted_even_when_they_are_no_verdict(batched: bool) -> None:
    values = itertools.cycle([b"\0\2", b"\0\3", b"\1\0", b"\0\0"])

    def any_value(frame: bytes) -> Sequence[bytes]:
        return [hosted(frame)[0][:-2] + next(values)]

    with pdb_server(any_value) as server:
        plan = Plan(server=server.endpoint, names=NAMES, seconds=None, count=40, timeout=PATIENT)
        figures = run_load(plan, batched=batched)
    assert figures.verdicts == {2: 10, 3: 10, 256: 10, 0: 10}
    assert figures.as_json()["verdicts"] == {
        "value 0": 10,
        "NOT_HOSTED": 10,
        "UNDETERMINED": 10,
        "value 256": 10,
    }


@pytest.mark.parametrize("batched", WIRES)
def test_unknown_hosts_are_never_asked_twice_not_even_by_two_runs(batched: bool) -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint, unknown_share=1.0, under="lab.example", seconds=None, count=40_000
        )
        first = run_load(plan, batched=batched)
        second = run_load(plan, batched=batched)
    assert first.answered == second.answered == 40_000
    assert len(set(server.names)) == 80_000
    assert all(name.endswith(b".lab.example") and name.count(b".") == 2 for name in server.names)


def test_unknown_hosts_stay_fresh_when_the_ring_comes_round() -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint, unknown_share=1.0, seconds=None, count=IDS + 1_000, timeout=PATIENT
        )
        figures = run_load(plan)
    assert figures.answered == len(set(server.names)) == IDS + 1_000


def test_a_mix_has_its_share_of_unknown_hosts() -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint,
            names=NAMES,
            unknown_share=0.25,
            seconds=None,
            count=20_000,
            timeout=PATIENT,
        )
        run_load(plan)
    unknown = [name for name in server.names if name not in NAMES]
    assert len(set(unknown)) == len(unknown)
    assert len(unknown) / 20_000 == pytest.approx(0.25, abs=0.02)


def test_latencies_of_known_hosts_are_told_apart_from_those_of_random_ones() -> None:
    pause = threading.Event()

    def random_ones_late(frame: bytes) -> Sequence[bytes]:
        if b"invalid" not in frame:
            return hosted(frame)
        pause.wait(0.02)
        return [write_reply(frame, VerdictKind.NOT_HOSTED)]

    with pdb_server(random_ones_late) as server:
        plan = Plan(
            server=server.endpoint,
            names=NAMES,
            unknown_share=0.5,
            window=1,
            seconds=None,
            count=40,
            timeout=PATIENT,
        )
        figures = run_load(plan)
    assert_adds_up(figures)
    assert figures.latency_of_known.count == figures.verdicts[VerdictKind.HOSTED] > 0
    assert figures.latency_of_unknown.count == figures.verdicts[VerdictKind.NOT_HOSTED] > 0
    quickest = figures.latency_of_unknown.percentile(0.0)
    assert quickest is not None
    assert quickest >= 0.02 * 0.99  # to 1 %


def test_merged_histograms_count_what_both_counted() -> None:
    one, other = LatencyHistogram(), LatencyHistogram()
    one.record([1e-3] * 98)
    other.record([1.0] * 2)
    both = one.merged(other)
    assert (both.count, both.highest) == (100, 1.0)
    assert both.percentile(98.0) == pytest.approx(1e-3, rel=0.01)
    assert both.percentile(99.0) == pytest.approx(1.0, rel=0.01)
    assert one.count == 98


def test_a_ring_holds_all_of_more_names_than_there_are_ids() -> None:
    names = tuple(b"h%d.example" % number for number in range(IDS + 1))
    ring = RequestRing(Plan(server=Endpoint("127.0.0.1", 1), names=names))
    assert len(ring) == 2 * IDS
    assert {echo[6:-1] for echo in ring.echoes} == set(names)


@pytest.mark.parametrize("batched", WIRES)
def test_a_reply_that_changes_is_counted_as_it_is_when_the_ring_comes_round(batched: bool) -> None:
    turn = itertools.count()

    def hosted_no_more(frame: bytes) -> Sequence[bytes]:
        kind = VerdictKind.HOSTED if next(turn) < IDS + 100 else VerdictKind.NOT_HOSTED
        return [write_reply(frame, kind)]

    with pdb_server(hosted_no_more) as server:
        plan = Plan(server=server.endpoint, names=NAMES, seconds=None, count=IDS + 300, timeout=PATIENT)
        ring = RequestRing(plan)
        figures = run_load(plan, batched=batched)
    assert len(ring) == IDS
    assert figures.verdicts == {VerdictKind.HOSTED: IDS + 100, VerdictKind.NOT_HOSTED: 200}


@pytest.mark.parametrize("batched", WIRES)
def test_replies_out_of_order_are_matched_when_the_ring_comes_round(batched: bool) -> None:
    held: list[bytes] = []

    def in_pairs(frame: bytes) -> Sequence[bytes]:
        held.append(write_reply(frame, VerdictKind.HOSTED))
        if len(held) < 2:
            return ()
        replies = held[::-1]
        held.clear()
        return replies

    with pdb_server(in_pairs) as server:
        plan = Plan(server=server.endpoint, names=NAMES, seconds=None, count=IDS + 300, timeout=PATIENT)
        figures = run_load(plan, batched=batched)
    assert (figures.answered, figures.lost, figures.strays) == (IDS + 300, 0, 0)


def test_seconds_end_a_run() -> None:
    with pdb_server() as server:
        started = time.perf_counter()
        figures = run_load(Plan(server=server.endpoint, names=NAMES, seconds=0.1))
        assert time.perf_counter() - started >= 0.1
    assert_adds_up(figures)
    assert figures.answered > 0


@pytest.mark.parametrize("batched", WIRES)
def test_open_loop_sends_when_due_whatever_comes_back(batched: bool) -> None:
    with pdb_server(lambda _frame: ()) as server:
        plan = Plan(server=server.endpoint, names=NAMES, rate=2_000.0, seconds=0.2, window=1, timeout=0.05)
        figures = run_load(plan, batched=batched)
    assert figures.answered == 0
    assert figures.sent == figures.lost == pytest.approx(400, abs=1)  # 0.2 s is not exact in binary


def test_open_loop_measures_from_the_instant_at_which_a_request_was_due() -> None:
    """A server that stalls once for 0.1 s delays all that fell due meanwhile, not one request."""
    turn = itertools.count()
    stall = threading.Event()

    def stalls_once(frame: bytes) -> Sequence[bytes]:
        if next(turn) == 100:
            stall.wait(0.1)
        return hosted(frame)

    with pdb_server(stalls_once) as server:
        figures = run_load(
            Plan(server=server.endpoint, names=NAMES, rate=1_000.0, seconds=None, count=300, timeout=PATIENT)
        )
    assert figures.answered == 300
    assert figures.latency.highest >= 0.1
    late = figures.latency.percentile(75.0)
    assert late is not None
    # 100 of 300 were due within the stall: a quarter of all waited at least 20 ms.
    assert late >= 0.02


def test_progress_is_told_while_the_run_goes_on() -> None:
    told: list[tuple[int, float]] = []
    with pdb_server() as server:
        plan = Plan(server=server.endpoint, names=NAMES, rate=500.0, seconds=1.1)
        figures = run_load(plan, progress=lambda so_far, at: told.append((so_far.sent, at)))
    sent, at = told[0]
    assert 0 < sent < figures.sent
    assert at >= 1.0


@pytest.mark.parametrize("poisson", [False, True])
def test_a_pace_counts_what_is_due_before_an_instant(poisson: bool) -> None:
    pace = Pace(1_000.0, poisson=poisson)
    assert (pace.at(0), pace.due(0.0), pace.due(1e-9)) == (0.0, 0, 1)
    for number in (1, 1_000, IDS - 1, IDS, 3 * IDS + 7):
        at = pace.at(number)
        assert pace.due(at + 1e-7) == number + 1
    assert pace.at(IDS) == pytest.approx(IDS / 1_000.0)


@pytest.mark.parametrize("poisson", [False, True])
def test_a_pace_tells_since_when_the_last_requests_with_some_ids_were_due(poisson: bool) -> None:
    pace = Pace(1_000.0, poisson=poisson)
    sent = 3 * IDS + 8
    elapsed = pace.at(sent)
    for ids in (range(8), range(IDS - 2, IDS), [7, IDS - 1, 8, 0]):
        numbers = [(3 if one < 8 else 2) * IDS + one for one in ids]
        expected = [elapsed - pace.at(number) for number in numbers]
        assert pace.since_due(ids, sent, elapsed) == pytest.approx(expected)


def test_a_pace_in_bursts_has_several_due_at_a_time() -> None:
    pace = Pace(1_000.0, burst=5)
    assert [pace.at(number) for number in (0, 4, 5, 9)] == [0.0, 0.0, 0.005, 0.005]
    assert [pace.due(elapsed) for elapsed in (0.0, 1e-9, 0.005, 0.0051)] == [0, 5, 5, 10]


def test_a_pace_that_is_even_or_poisson_has_such_gaps() -> None:
    even, poisson = Pace(1_000.0), Pace(1_000.0, poisson=True)
    assert (even.due(10.0), even.at(10_000)) == (10_000, 10.0)
    gaps = [poisson.at(number + 1) - poisson.at(number) for number in range(20_000)]
    # Of exponential gaps of mean 1 ms a share of 1/e is longer than that.
    assert sum(gap > 1e-3 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_open_loop_by_poisson_sends_all_that_is_due() -> None:
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint,
            names=NAMES,
            rate=2_000.0,
            poisson=True,
            seconds=None,
            count=300,
            timeout=PATIENT,
        )
        figures = run_load(plan)
    assert_adds_up(figures)
    assert figures.answered == 300
    assert figures.seconds >= Pace(2_000.0, poisson=True).at(299)


def test_sources_are_named_by_known_and_random_hosts() -> None:
    sources = (b"192.0.2.1", b"192.0.2.2")
    with pdb_server() as server:
        plan = Plan(
            server=server.endpoint,
            names=(b"a.example",),
            unknown_share=0.5,
            sources=sources,
            seconds=None,
            count=400,
        )
        figures = run_load(plan)
    assert figures.answered == 400
    known = Counter(name for name in server.names if b"invalid" not in name)
    assert set(known) == {b"a.example 192.0.2.1", b"a.example 192.0.2.2"}
    assert figures.verdicts_of_unknown == {VerdictKind.HOSTED: 400 - known.total()}
    assert {name.partition(b" ")[2] for name in server.names} == set(sources)


def test_another_machine_is_asked_only_when_that_is_meant() -> None:
    elsewhere = Endpoint("192.0.2.1", 5380)
    with pytest.raises(LoadError, match="not a loopback address"):
        Plan(server=elsewhere, names=NAMES)
    assert Plan(server=elsewhere, names=NAMES, beyond_loopback=True).server == elsewhere


def by_name(frame: bytes) -> Sequence[bytes]:
    return [write_reply(frame, VerdictKind.NOT_HOSTED if b"invalid" in frame else VerdictKind.HOSTED)]


@pytest.mark.parametrize("batched", WIRES)
def test_open_loops_together_are_measured_each_by_itself(batched: bool) -> None:
    """One is answered, the other is not."""
    with pdb_server(by_name) as server, pdb_server(lambda _frame: ()) as silent:
        plan = Plan(
            server=server.endpoint, names=NAMES, rate=2_000.0, seconds=None, count=200, timeout=PATIENT
        )
        flood = Plan(server=silent.endpoint, unknown_share=1.0, rate=5_000.0, seconds=0.1, timeout=0.2)
        answered, lost = run_together([plan, flood], batched=batched)
    assert_adds_up(answered)
    assert answered.verdicts == {VerdictKind.HOSTED: 200}
    assert (lost.answered, lost.sent) == (0, lost.lost)
    assert lost.sent == pytest.approx(500, abs=1)


def test_a_histogram_since_a_copy_has_only_what_came_later() -> None:
    histogram = LatencyHistogram()
    histogram.record([1.0] * 3)
    copy = histogram.merged(LatencyHistogram())
    histogram.record([1e-3] * 10)
    later = histogram.since(copy)
    assert later.count == 10
    assert later.highest == pytest.approx(1e-3, rel=0.01)
    assert later.percentile(100.0) == later.highest
    assert histogram.since(histogram).highest == 0.0


@pytest.mark.parametrize("batched", WIRES)
def test_a_port_where_nothing_listens_is_an_error(batched: bool) -> None:
    plan = Plan(server=Endpoint("127.0.0.1", free_port()), names=NAMES)
    with pytest.raises(LoadError, match="nothing listens on UDP"):
        run_load(plan, batched=batched)


def test_percentiles_are_within_a_hundredth() -> None:
    histogram = LatencyHistogram()
    assert histogram.percentile(50.0) is None
    for microseconds in range(1, 1_001):
        histogram.record([microseconds / 1e6])
    assert histogram.percentile(50.0) == pytest.approx(500e-6, rel=0.01)
    assert histogram.percentile(99.0) == pytest.approx(990e-6, rel=0.01)
    assert histogram.percentile(99.9) == pytest.approx(999e-6, rel=0.01)
    assert histogram.percentile(100.0) == pytest.approx(1e-3, rel=0.01)
    assert (histogram.count, histogram.highest) == (1_000, 1e-3)


def test_percentile_weighs_counts() -> None:
    histogram = LatencyHistogram()
    histogram.record([1e-3] * 99)
    histogram.record([1.0])
    assert histogram.percentile(99.0) == pytest.approx(1e-3, rel=0.01)
    assert histogram.percentile(99.1) == pytest.approx(1.0, rel=0.01)


def test_command_line_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("# ours\na.example\n\n  b.example 192.0.2.1\n")
    with pdb_server() as server:
        command = ["--server", str(server.endpoint), "--hosts", str(hosts), "--count", "10"]
        assert main(command) == 0
        text = capsys.readouterr().out
        assert main([*command, "--json"]) == 0
        figures = json.loads(capsys.readouterr().out)
    assert set(server.names) == {b"a.example", b"b.example 192.0.2.1"}
    assert "sent 10  answered 10  lost 0  strays 0" in text
    assert "HOSTED 10" in text
    assert (figures["sent"], figures["answered"], figures["verdicts"]) == (10, 10, {"HOSTED": 10})
    assert set(figures["latency_us"]) == set(figures["latency_of_known_us"]) == {"p50", "p99", "p99.9", "max"}


def test_command_line_tells_the_flood_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("a.example\n")
    command = ["--hosts", str(hosts), "--rate", "1000", "--count", "20", "--flood", "4000"]
    with pdb_server(by_name) as server:
        command += ["--server", str(server.endpoint)]
        assert main(command) == 0
        text = capsys.readouterr().out
        assert main([*command, "--json"]) == 0
        figures = json.loads(capsys.readouterr().out)
    hits, flood = text.split("and of the flood beside it:\n")
    assert "sent 20  answered 20" in hits
    assert "NOT_HOSTED 80" in flood
    assert figures["verdicts"] == {"HOSTED": 20}
    assert figures["flood"]["verdicts"] == {"NOT_HOSTED": 80}


def test_command_line_without_one_reply_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pdb_server(lambda _frame: ()) as server:
        command = ["--server", str(server.endpoint), "--unknown", "1", "--count", "3", "--timeout", "0.05"]
        assert main(command) == 1
    assert "lost 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "no hosts to ask for"),
        (("--unknown", "0.5"), "no hosts to ask for"),
        (("--unknown", "1.1"), "from 0 to 1"),
        (("--unknown", "1", "--server", "192.0.2.1:5380"), "not a loopback address"),
        (("--unknown", "1", "--server", "localhost"), "localhost"),
        (("--unknown", "1", "--window", "0"), "the window is from 1 to 4,096"),
        (("--unknown", "1", "--window", "4097"), "the window is from 1 to 4,096"),
        (("--unknown", "1", "--rate", "0"), "the rate is over 0"),
        (("--unknown", "1", "--rate", "nan"), "the rate is over 0"),
        (("--unknown", "1", "--flood", "10"), "--flood is beside an open loop: --rate"),
        (("--unknown", "1", "--rate", "10", "--flood", "-1"), "the rate is over 0"),
        (("--unknown", "1", "--seconds", "0"), "seconds are over 0"),
        (("--unknown", "1", "--count", "0"), "the count is over 0"),
        (("--unknown", "1", "--timeout", "0"), "the time-out is over 0"),
        (("--unknown", "1", "--under", "no_domain"), "'no_domain': no domain"),
        (("--hosts", "absent.txt"), "absent.txt: No such file or directory"),
        (("--hosts", "long.txt"), "a PDB name has 1 to 246 octets"),
        (("--no-such",), "--no-such"),
    ],
)
def test_command_line_wrong_is_one_line_and_exit_2(
    arguments: Sequence[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text("a" * 247)
    said = refusal(main, arguments, capsys)
    assert said.startswith("load: ")
    assert why in said


def test_a_plan_needs_an_end() -> None:
    with pytest.raises(LoadError, match="neither seconds nor a count"):
        Plan(server=Endpoint("127.0.0.1", 1), names=NAMES, seconds=None)
