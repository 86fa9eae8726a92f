"""The terminal while the view is on it: keys one by one, and everything as it was afterwards."""

import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["keys_one_by_one", "until_told_to_end"]

_QUIT = frozenset(b"qQ")

_MOST_KEYS = 64


@contextmanager
def keys_one_by_one() -> Iterator[int | None]:
    """Keys come unechoed and at once on the file descriptor that is yielded; None: stdin is no terminal.

    Ctrl-Z does nothing meanwhile, since it would leave the shell on the view's screen.
    """
    if not sys.stdin.isatty():
        yield None
        return
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys)
        without_suspend = termios.tcgetattr(keys)
        without_suspend[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(keys, termios.TCSANOW, without_suspend)
        yield keys
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


async def until_told_to_end(keys: int | None) -> None:
    """Return at q, or at SIGINT (Ctrl-C), SIGTERM or SIGHUP."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_signal, nursery.cancel_scope)
        if keys is not None:
            nursery.start_soon(_until_quit, keys, nursery.cancel_scope)


async def _until_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        await anext(aiter(signals))
    scope.cancel()


async def _until_quit(keys: int, scope: trio.CancelScope) -> None:
    while True:
        await trio.lowlevel.wait_readable(keys)
        pressed = os.read(keys, _MOST_KEYS)
        if not pressed or _QUIT & set(pressed):  # at the end of input the terminal is gone
            scope.cancel()
