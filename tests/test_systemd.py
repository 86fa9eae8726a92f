"""What systemd is told and what it passes, over real sockets."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from fastvhost.errors import ListenError
from fastvhost.systemd import Supervisor, take_passed_sockets

PID = 4711


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def supervisor(notify: socket.socket, **environment: str) -> Supervisor:
    return Supervisor({"NOTIFY_SOCKET": notify.getsockname(), **environment}, PID)


def test_assignments_are_told_in_one_datagram(notify: socket.socket) -> None:
    supervisor(notify).tell("READY=1", "STATUS=fine")
    assert notify.recv(100) == b"READY=1\nSTATUS=fine"


def test_reload_is_told_with_its_instant_in_microseconds(notify: socket.socket) -> None:
    supervisor(notify).tell_reloading(12.5)
    assert notify.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=12500000"


def test_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # the kernel chooses an abstract name
        name = sock.getsockname()
        Supervisor({"NOTIFY_SOCKET": "@" + name[1:].decode()}, PID).tell("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_to_tell_is_no_error(environment: dict[str, str]) -> None:
    Supervisor(environment, PID).tell("READY=1")


def test_socket_that_is_full_holds_nobody_up(notify: socket.socket) -> None:
    telling = supervisor(notify)
    for _ in range(10_000):
        telling.tell("READY=1")
    assert notify.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID)}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID + 1)}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_watchdog_interval_is_the_environment_s(environment: dict[str, str], seconds: float) -> None:
    assert Supervisor(environment, PID).watchdog_seconds == seconds


async def test_watchdog_is_kept_twice_in_each_interval(
    notify: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    kept = supervisor(notify, WATCHDOG_USEC="10000000")
    with trio.move_on_after(24.0):
        await kept.keep_watchdog()
    told = 0
    while told < 5:
        assert notify.recv(100) == b"WATCHDOG=1"
        told += 1
    with pytest.raises(BlockingIOError):
        notify.recv(100)


async def test_watchdog_that_nobody_keeps_waits_until_cancelled(
    notify: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after(1_000.0) as scope:
        await supervisor(notify).keep_watchdog()
    assert scope.cancelled_caught
    with pytest.raises(BlockingIOError):
        notify.recv(100)


def opened(log: list[int]) -> "type[socket.socket]":
    def open_one(fileno: int) -> socket.socket:
        log.append(fileno)
        return socket.socket(type=socket.SOCK_DGRAM)

    return open_one  # type: ignore[return-value]


def test_passed_sockets_come_by_name_and_children_are_not_told() -> None:
    filenos: list[int] = []
    environment = {"LISTEN_PID": str(PID), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "pdb:dns:dns", "HOME": "/"}
    found = take_passed_sockets(environment, PID, open_socket=opened(filenos))
    try:
        assert {name: len(sockets) for name, sockets in found.items()} == {"pdb": 1, "dns": 2}
        assert filenos == [3, 4, 5]
        assert environment == {"HOME": "/"}
        assert not any(os.get_inheritable(sock.fileno()) for sockets in found.values() for sock in sockets)
    finally:
        for sockets in found.values():
            for sock in sockets:
                sock.close()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": str(PID + 1), "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(PID), "LISTEN_FDS": "x"},
        {"LISTEN_PID": str(PID), "LISTEN_FDS": "0"},
    ],
)
def test_sockets_passed_to_another_process_or_none_are_not_taken(environment: dict[str, str]) -> None:
    filenos: list[int] = []
    assert take_passed_sockets(dict(environment), PID, open_socket=opened(filenos)) == {}
    assert filenos == []


def test_passed_sockets_without_names_are_unknown() -> None:
    found = take_passed_sockets({"LISTEN_PID": str(PID), "LISTEN_FDS": "1"}, PID, open_socket=opened([]))
    assert list(found) == ["unknown"]
    found["unknown"][0].close()


def test_passed_descriptor_that_is_no_socket_is_one_clear_line() -> None:
    def no_socket(fileno: int) -> socket.socket:
        raise OSError(88, "Socket operation on non-socket")

    with pytest.raises(
        ListenError, match=r"^descriptor 3 \(pdb\), passed by LISTEN_FDS, is no socket: Socket"
    ):
        take_passed_sockets(
            {"LISTEN_PID": str(PID), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "pdb"}, PID, open_socket=no_socket
        )
