"""The repeater: what its thread answers, what it leaves, and that nothing is lost between the two."""

import operator
import os
import random
import select
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bench.processes import on_core
from fastvhost.faces import compiled
from fastvhost.faces.batch import BATCH
from fastvhost.faces.compiled import LIBRARY, Repeater
from fastvhost.faces.entries import Repeated, key_of
from fastvhost.model import VerdictKind
from tools.compile_batch import compile_batch

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="no compiled form here")

PLACES = 8
ID_AT = 0
NOW = 1_000.0
FOR_EVER = 1e9
WITHIN = 10.0
KNOWN = b"IDknown"
FIRST_CORE = min(os.sched_getaffinity(0))


class Rig:
    """A repeater on a socket of loopback that was started at `NOW`, and a client that may ask."""

    def __init__(self) -> None:
        self.server = socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.server.bind(("127.0.0.1", 0))
        self.batch = Repeater(self.server, ID_AT, PLACES)
        self.client = socket.socket(type=socket.SOCK_DGRAM)
        self.client.connect(self.server.getsockname())
        self.client.settimeout(WITHIN)
        before = threads()
        self.batch.start(NOW)
        (self.thread,) = threads() - before
        self.client.send(b"anything")
        ((_, client),) = self.taken(1)
        self.batch.allow(client)

    def close(self) -> None:
        self.batch.close()
        self.server.close()
        self.client.close()

    def put(
        self,
        request: bytes,
        reply: bytes,
        *,
        number: int = 0,
        until: float = FOR_EVER,
        look_at: float = FOR_EVER,
    ) -> None:
        repeated = Repeated(
            key=key_of(request, ID_AT),
            reply=reply,
            kind=VerdictKind.HOSTED,
            until=until,
            look_at=look_at,
            expires=NOW + 100.0,
            ttl_at=(4,),
        )
        assert self.batch.put(number, repeated)

    def readable(self, seconds: float = 0.0) -> bool:
        return bool(select.select([self.batch.readable], [], [], seconds)[0])

    def taken(self, count: int) -> list[tuple[bytes, object]]:
        """What the next turns take, until they are so many."""
        rest: list[tuple[bytes, object]] = []
        while len(rest) < count:
            assert self.readable(WITHIN)
            rest += self.batch.turn(NOW)
        return rest

    def requests(self, count: int) -> list[bytes]:
        return [octets for octets, _ in self.taken(count)]

    def all_left(self, now: float) -> list[tuple[bytes, object]]:
        """What turns take until nothing is left."""
        left: list[tuple[bytes, object]] = []
        while taken := self.batch.turn(now):
            left += taken
        return left

    def received(self, count: int) -> None:
        """Wait until the thread has seen so many datagrams beside the first."""
        wait_until(lambda: self.batch.counters().received >= count + 1)


def threads() -> set[int]:
    """The ids that the kernel has for the threads of this process."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def may_come_first() -> bool:
    """Whether a thread of this process may have real-time scheduling."""

    def attempt() -> bool:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            return False
        return True

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(attempt).result()


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        pause.wait(0.001)
    pytest.fail("it never came")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with closing(Rig()) as rig:
        yield rig


def test_reply_is_repeated_while_nobody_takes_a_turn(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    for message_id in (b"AB", b"CD"):
        rig.client.send(message_id + KNOWN[2:])
        reply = rig.client.recv(100)
        assert reply[:4] + reply[8:] == message_id + b"xxreply"
        assert 90 <= int.from_bytes(reply[4:8]) <= 100
    assert not rig.readable()
    assert rig.batch.repeated(VerdictKind.HOSTED) == 2


def test_request_that_nothing_is_repeated_for_makes_it_readable_until_it_is_taken(rig: Rig) -> None:
    assert not rig.readable()
    rig.client.send(b"IDnew")
    assert rig.requests(1) == [b"IDnew"]
    assert not rig.readable()


def test_reply_whose_time_has_passed_is_not_repeated(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply", until=NOW)
    rig.client.send(KNOWN)
    assert rig.requests(1) == [KNOWN]


def test_dropped_reply_is_not_repeated_any_more(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    rig.client.send(KNOWN)
    rig.client.recv(100)
    rig.batch.drop(0)
    rig.client.send(KNOWN)
    assert rig.requests(1) == [KNOWN]


def test_client_that_is_forgotten_gets_nothing_repeated(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    rig.batch.forget_allowed()
    rig.client.send(KNOWN)
    assert rig.requests(1) == [KNOWN]


def test_whole_batch_is_full_and_the_rest_is_there_still(rig: Rig) -> None:
    for number in range(BATCH + 1):
        rig.client.send(b"ID%d" % number)
    rig.received(BATCH + 1)
    assert len(rig.batch.turn(NOW)) == BATCH
    assert rig.batch.full
    assert rig.readable()
    assert [octets for octets, _ in rig.batch.turn(NOW)] == [b"ID%d" % BATCH]
    assert not rig.batch.full


def test_requests_of_any_length_are_taken_in_order_however_often_the_queue_turns_around(rig: Rig) -> None:
    chance = random.Random(7)
    sent: list[bytes] = []
    taken: list[bytes] = []
    for _ in range(400):
        for _ in range(chance.randrange(20)):
            request = chance.randbytes(chance.choice((2, 3, 9, 40, 300, 1_000, 1_024)))
            rig.client.send(request)
            sent.append(request)
        rig.received(len(sent))
        # Some stay, so that the queue's start moves.
        while len(sent) - len(taken) > 80:
            taken += [octets for octets, _ in rig.batch.turn(NOW)]
    taken += rig.requests(len(sent) - len(taken))
    assert taken == sent
    assert rig.batch.counters().overrun == 0


def test_known_host_is_answered_when_too_many_others_wait(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    count = 0
    while not rig.batch.counters().overrun:
        for _ in range(50):
            rig.client.send(bytes(1_000))
        count += 50
        rig.received(count)
        assert count < 2_000
    rig.client.send(KNOWN)
    assert rig.client.recv(100).endswith(b"reply")
    overrun = rig.batch.counters().overrun
    assert len(rig.taken(count - overrun)) == count - overrun
    rig.client.send(b"IDnew")
    assert rig.requests(1) == [b"IDnew"]


def test_reply_that_is_due_for_a_look_is_renewed_when_too_many_others_wait(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply", look_at=NOW)
    count = 0
    for octets in (1_000, 2):  # until not even the smallest has room
        before = rig.batch.counters().overrun
        while rig.batch.counters().overrun == before:
            for _ in range(50):
                rig.client.send(bytes(octets))
            count += 50
            rig.received(count)
            assert count < 4_000
    rig.client.send(KNOWN)
    assert rig.client.recv(100).endswith(b"reply")
    assert rig.all_left(NOW)[-1] == (KNOWN, None)


def test_stop_gives_what_was_left_and_receives_nothing_more(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    rig.client.send(b"IDfirst")
    rig.received(1)
    assert [octets for octets, _ in rig.batch.stop()] == [b"IDfirst"]
    rig.client.send(KNOWN)
    assert rig.batch.stop() == []
    assert rig.server.recv(100) == KNOWN


def test_repeated_replies_are_timed(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    for _ in range(10):
        rig.client.send(KNOWN)
        rig.client.recv(100)
    wait_until(lambda: sum(rig.batch.times()[VerdictKind.HOSTED].counts) == 10)
    assert rig.batch.times()[VerdictKind.HOSTED].total > 0.0
    assert sum(rig.batch.times()[VerdictKind.NOT_HOSTED].counts) == 0


def test_figures_can_be_read_after_the_end(rig: Rig) -> None:
    rig.put(KNOWN, b"IDxx....reply")
    rig.client.send(KNOWN)
    rig.client.recv(100)
    rig.batch.close()
    assert rig.batch.repeated(VerdictKind.HOSTED) == 1
    assert sum(rig.batch.times()[VerdictKind.HOSTED].counts) == 1
    assert rig.batch.stop() == []


def test_turns_go_on_where_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server:
        server.bind(("127.0.0.1", 0))
        with (
            closing(Repeater(server, ID_AT, PLACES)) as batch,
            socket.socket(type=socket.SOCK_DGRAM) as client,
        ):
            monkeypatch.setattr(batch, "_library", _WithoutThreads(batch._library))
            batch.start(NOW)
            client.sendto(b"IDnew", server.getsockname())
            assert [octets for octets, _ in batch.turn(NOW)] == [b"IDnew"]
            assert batch.readable == server.fileno()


def test_thread_comes_first_where_that_may_be_had(rig: Rig) -> None:
    policy = os.SCHED_RR if may_come_first() else os.SCHED_OTHER
    wait_until(lambda: os.sched_getscheduler(rig.thread) == policy)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_thread_that_comes_first_leaves_its_core_to_others_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is to do; here it leaves 0.3 s of it."""
    if not may_come_first():
        pytest.skip("no real-time scheduling here")
    monkeypatch.setattr(compiled, "LIBRARY", tmp_path / "libbatch.so")
    assert compile_batch(tmp_path / "libbatch.so", ["-DLEFT_TO_OTHERS=300000000"]) is None
    with closing(Rig()) as rig:
        rig.put(KNOWN, b"IDxx....reply")
        answered = [time.perf_counter()]
        while max(map(operator.sub, answered[1:], answered), default=0.0) < 0.2:
            rig.client.send(KNOWN)
            rig.client.recv(100)
            answered.append(time.perf_counter())
            assert answered[-1] < answered[0] + WITHIN


class Standing(Rig):
    """Requests that all have waited for too long."""

    def __init__(self) -> None:
        super().__init__()
        self.batch.set_patience(0.0)
        self._sent = 0
        for _ in range(5 * BATCH):
            self.request()

    def request(self) -> bool:
        """Whether a newcomer is let in."""
        overrun = self.batch.counters().overrun
        self.client.send(b"IDnew")
        self._sent += 1
        self.received(self._sent)
        return self.batch.counters().overrun == overrun

    def stand(self) -> None:
        """Have waited for too long for a while."""
        for later in (0.0, 0.2):
            self.take(later)

    def take(self, later: float) -> int:
        """Take a turn so many seconds after the first could have been; return how many that took."""
        return len(self.batch.turn(NOW + 1_000.0 + later))


@pytest.fixture
def standing() -> Iterator[Standing]:
    with closing(Standing()) as rig:
        yield rig


def test_pause_of_the_owner_turns_nobody_away(standing: Standing) -> None:
    for later in (0.0, 0.05, 0.09):
        assert standing.take(later) == BATCH
        assert standing.request()


def test_newcomers_are_turned_away_once_all_have_waited_for_too_long_for_a_while(standing: Standing) -> None:
    for later in (0.0, 0.2):
        assert standing.request()
        standing.take(later)
    assert not standing.request()
    assert not standing.request()
    assert standing.batch.counters().overrun == 2


def test_known_hosts_are_answered_and_renewed_where_newcomers_are_turned_away(standing: Standing) -> None:
    standing.put(KNOWN, b"IDxx....reply", look_at=NOW)
    standing.stand()
    assert not standing.request()
    standing.client.send(KNOWN)
    assert standing.client.recv(100).endswith(b"reply")
    assert standing.all_left(NOW + 1_000.3)[-1] == (KNOWN, None)


def test_queue_does_not_stand_while_the_youngest_has_not_waited_for_too_long(rig: Rig) -> None:
    began = time.perf_counter()  # so the clock of the thread is a little ahead
    rig.batch.set_patience(0.0)
    for number in range(15):
        rig.client.send(b"IDoldest")
        rig.received(2 * number + 1)
        threading.Event().wait(0.02)
        now = time.perf_counter() - began
        rig.client.send(b"IDyoungest")
        rig.received(2 * number + 2)
        assert len(rig.batch.turn(NOW + now)) == 2
    assert rig.batch.counters().overrun == 0


def test_newcomers_are_let_in_while_the_oldest_has_not_waited_for_too_long(standing: Standing) -> None:
    standing.stand()
    standing.batch.set_patience(FOR_EVER)
    assert standing.request()
    standing.batch.set_patience(0.0)
    assert not standing.request()


def test_queue_that_is_short_for_a_while_stands_no_more(standing: Standing) -> None:
    standing.stand()
    while standing.take(0.4):
        pass
    assert standing.request()  # nobody is before it
    assert not standing.request()
    assert standing.take(0.5) == 1
    assert standing.take(0.7) == 0
    assert standing.request()
    assert standing.request()


@contextmanager
def scheduled(policy: int, priority: int = 0) -> Iterator[None]:
    """What this thread starts within the block is scheduled as it is itself."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except PermissionError:
        pytest.skip("the policy may not be changed here")
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def test_owner_stands_in_for_a_thread_that_waits_for_its_core() -> None:
    # With this policy the thread has its turn when its owner waits, and not before.
    with on_core(FIRST_CORE), scheduled(os.SCHED_FIFO, 1), closing(Rig()) as rig:
        rig.put(KNOWN, b"IDxx....reply")
        rig.client.setblocking(False)
        rig.client.send(KNOWN)
        with pytest.raises(BlockingIOError):
            rig.client.recv(100)
        rig.client.settimeout(WITHIN)
        until = time.perf_counter() + WITHIN
        while not rig.batch.repeated(VerdictKind.HOSTED) and time.perf_counter() < until:
            rig.batch.stand_in()
        assert rig.client.recv(100).endswith(b"reply")
        rig.client.send(b"IDnew")
        while not rig.readable() and time.perf_counter() < until:
            rig.batch.stand_in()
        assert rig.requests(1) == [b"IDnew"]


def test_nobody_stands_in_for_a_thread_that_comes_first() -> None:
    if not may_come_first():
        pytest.skip("no real-time scheduling here")
    with on_core(FIRST_CORE), closing(Rig()) as rig:
        rig.put(KNOWN, b"IDxx....reply")
        wait_until(lambda: os.sched_getscheduler(rig.thread) == os.SCHED_RR)
        with scheduled(os.SCHED_FIFO, 10):  # before that thread
            rig.client.send(KNOWN)
            for _ in range(1_000):
                rig.batch.stand_in()
            assert rig.batch.repeated(VerdictKind.HOSTED) == 0
        assert rig.client.recv(100).endswith(b"reply")


def test_owner_and_thread_in_turn_lose_no_request_and_answer_none_twice() -> None:
    with scheduled(os.SCHED_BATCH), closing(Rig()) as rig:  # so that the thread does not come first
        rig.put(KNOWN, b"IDxx....reply")
        for first in range(0, 20_000, 50):
            for number in range(first, first + 50):
                rig.client.send(number.to_bytes(2, "big") + (KNOWN[2:] if number % 2 else b"new"))
            while rig.batch.counters().received < first + 51:
                rig.batch.stand_in()
            replies = sorted(int.from_bytes(rig.client.recv(100)[:2], "big") for _ in range(25))
            assert replies == list(range(first + 1, first + 50, 2))
            left = sorted(int.from_bytes(request[:2], "big") for request in rig.requests(25))
            assert left == list(range(first, first + 50, 2))
        wait_until(lambda: sum(rig.batch.times()[VerdictKind.HOSTED].counts) == 10_000)
        assert rig.batch.repeated(VerdictKind.HOSTED) == 10_000


def test_there_is_nobody_to_stand_in_for_after_the_stop() -> None:
    with scheduled(os.SCHED_BATCH), closing(Rig()) as rig:
        rig.put(KNOWN, b"IDxx....reply")
        rig.batch.stop()
        rig.client.send(KNOWN)
        rig.batch.stand_in()
        assert rig.server.recv(100) == KNOWN


class _WithoutThreads:
    """The library on a machine that has none to spare."""

    def __init__(self, library: object) -> None:
        self._library = library

    def __getattr__(self, name: str) -> object:
        return (lambda *_: -1) if name == "batch_start" else getattr(self._library, name)


def test_table_that_changes_all_along_repeats_no_reply_to_another_request(rig: Rig) -> None:
    """The owner changes everything that the thread reads, which must tear nothing."""
    chance = random.Random(11)
    names = [b"IDhost%d" % number for number in range(PLACES)]
    ended = threading.Event()

    def change() -> None:
        while not ended.is_set():
            number = chance.randrange(PLACES)
            match chance.randrange(12):
                case 0:
                    rig.batch.clear()
                case 1 | 2 | 3:
                    rig.batch.drop(number)
                case _:
                    rig.put(names[number], b"IDxx...." + names[number], number=number)
            for octets, client in rig.batch.turn(NOW):
                rig.batch.send(octets[:2] + b"xx....left " + octets, client)

    owner = threading.Thread(target=change)
    owner.start()
    try:
        for number in range(600):
            name = names[number % PLACES]
            message_id = number.to_bytes(2)
            rig.client.send(message_id + name[2:])
            reply = rig.client.recv(100)
            assert reply[:2] == message_id
            assert reply[8:] in (name, b"left " + message_id + name[2:])
    finally:
        ended.set()
        owner.join()
