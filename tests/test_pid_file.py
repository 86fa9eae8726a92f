"""The PID file: who holds it, and what a reload came to."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastvhost.errors import PidFileError
from fastvhost.pid_file import PidFile, reload_daemon


@contextmanager
def on_hangup(call: Callable[[], None]) -> Iterator[None]:
    """This process is the daemon: SIGHUP has it called."""
    before = signal.signal(signal.SIGHUP, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def no_wait(_: float) -> None:
    """The signal is handled in this thread already."""


def test_file_has_the_pid_and_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(path):
        assert path.read_text().splitlines()[0] == str(os.getpid())
    assert not path.exists()


def test_second_daemon_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(path), pytest.raises(PidFileError, match="a daemon that runs holds it"), PidFile(path):
        pytest.fail("both hold it")


def test_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "none" / "pid"
    with pytest.raises(PidFileError, match=f"^{path}: cannot be written: No such file"), PidFile(path):
        pytest.fail("it was written")


def test_reload_returns_what_the_daemon_says(tmp_path: Path) -> None:
    with PidFile(tmp_path / "pid") as held:
        for why in ("reloaded: limits.waiters changed", "reloaded: nothing changed"):
            with on_hangup(lambda why=why: held.note_reload(refused=False, why=why)):
                assert reload_daemon(tmp_path / "pid", sleep=no_wait) == why


def test_reload_that_is_refused_raises_the_reason_in_one_line(tmp_path: Path) -> None:
    def refuse() -> None:
        held.note_reload(refused=True, why="not reloaded: a\nb " + "x" * 5_000)

    with PidFile(tmp_path / "pid") as held, on_hangup(refuse), pytest.raises(PidFileError) as raised:
        reload_daemon(tmp_path / "pid", sleep=no_wait)
    assert str(raised.value).startswith("not reloaded: a b xxx")
    assert "\n" not in str(raised.value)


def test_daemon_that_does_not_answer_is_waited_for_ten_seconds(tmp_path: Path) -> None:
    slept: list[float] = []
    silent = pytest.raises(PidFileError, match="has not answered in 10 s: see its log")
    with PidFile(tmp_path / "pid"), on_hangup(lambda: None), silent:
        reload_daemon(tmp_path / "pid", sleep=slept.append)
    assert sum(slept) == pytest.approx(10.0)


def test_file_that_a_killed_daemon_left_is_nobody_s(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n0 ok\n")
    nobody = pytest.raises(PidFileError, match="no daemon runs that holds it")
    with on_hangup(lambda: pytest.fail("it was told")), nobody:
        reload_daemon(tmp_path / "pid", sleep=no_wait)


def test_file_that_is_not_there_asks_whether_the_daemon_runs(tmp_path: Path) -> None:
    with pytest.raises(PidFileError, match="No such file or directory; does the daemon run"):
        reload_daemon(tmp_path / "pid", sleep=no_wait)


def test_file_of_another_program_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(path):
        path.write_text("17")
        with pytest.raises(PidFileError, match="not a PID file of fastvhost"):
            reload_daemon(path, sleep=no_wait)


def test_reader_never_sees_half_a_note(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with PidFile(path) as held:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                held.note_reload(refused=False, why="short")
                held.note_reload(refused=False, why="long " * 100)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(2_000):
                pid, note = path.read_bytes().split(b"\n")[:2]
                assert int(pid) == os.getpid()
                assert note.split(b" ")[1] == b"ok"
        finally:
            stop.set()
            writer.join()
