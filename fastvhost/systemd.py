"""What systemd hands to a service, and what it wants to be told: sd_notify(3), sd_listen_fds(3).

Without systemd there is nothing of either: nobody is told, nothing is passed.
"""

import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import ExitStack, suppress
from typing import NoReturn

import trio

from fastvhost.errors import ListenError

__all__ = ["Supervisor", "take_passed_sockets"]

_FIRST_PASSED = 3
"""SD_LISTEN_FDS_START of sd-daemon.h."""


class Supervisor:
    """Whoever started us and wants to know how we are: NOTIFY_SOCKET and WATCHDOG_USEC in the environment."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        microseconds = environment.get("WATCHDOG_USEC", "") if watched else ""
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
        """Silence for longer is taken as death; 0.0: nobody watches."""

    def tell(self, *assignments: str) -> None:
        """Tell assignments such as `READY=1`; not at all where nobody listens or the socket is full."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(assignments).encode(), self._address)

    def tell_reloading(self, monotonic: float) -> None:
        """A reload has begun at `monotonic`, in seconds of CLOCK_MONOTONIC; `READY=1` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={monotonic * 1e6:.0f}")

    async def keep_watchdog(self) -> NoReturn:
        """Say from the event loop, twice in each interval, that it still turns; never ends."""
        if not self.watchdog_seconds:
            await trio.sleep_forever()
        while True:
            self.tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_seconds / 2)


def take_passed_sockets(
    environment: MutableMapping[str, str],
    pid: int,
    *,
    open_socket: Callable[[int], socket.socket] = lambda fileno: socket.socket(fileno=fileno),
) -> dict[str, list[socket.socket]]:
    """The sockets of socket activation by name (`FileDescriptorName=`); children are not told of them.

    Raises:
        ListenError: what was passed is not what its variables say.
    """
    passed_to, count, names = (
        environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if passed_to != str(pid) or not count.isdecimal():
        return {}
    by_name: dict[str, list[socket.socket]] = {}
    with ExitStack() as undo:
        for index, name in enumerate(_padded(names.split(":"), int(count))):
            fileno = _FIRST_PASSED + index
            try:
                sock = undo.enter_context(open_socket(fileno))
            except OSError as error:
                raise ListenError(
                    f"descriptor {fileno} ({name}), passed by LISTEN_FDS, is no socket: {error.strerror}"
                ) from error
            os.set_inheritable(sock.fileno(), False)
            by_name.setdefault(name, []).append(sock)
        undo.pop_all()
    return by_name


def _padded(names: list[str], count: int) -> list[str]:
    """One name for each descriptor; "unknown", as sd_listen_fds_with_names has it, for those without."""
    return [names[index] if index < len(names) and names[index] else "unknown" for index in range(count)]
