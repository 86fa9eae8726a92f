"""`fastvhost top`: on the terminal until it is told to end, or once."""

import os
import sys
from errno import EPIPE
from typing import NoReturn

import trio
from rich.console import Console

from fastvhost.config import Endpoint
from fastvhost.errors import FastvhostError
from fastvhost.top.live import show_live, show_once

__all__ = ["NoTerminalError", "run_top"]


class NoTerminalError(FastvhostError):
    """The output is no terminal, or one that can only print: the user must ask for one frame."""


class _Screen(Console):
    """A console whose reader may leave: by itself rich would end the process with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError(EPIPE, os.strerror(EPIPE))


def run_top(server: Endpoint, *, interval: float, once: bool) -> None:
    """Show the daemon whose admin face listens at `server`, every `interval` seconds or once.

    Raises:
        NoAdminError: once, and nothing came.
        NoTerminalError: not once, and there is no terminal to show it on.
    """
    console = _Screen(highlight=False, markup=False, emoji=False, soft_wrap=False)
    if once:
        trio.run(lambda: show_once(server, console, interval=interval))
        return
    if not console.is_terminal or console.is_dumb_terminal or not sys.stdout.isatty():
        raise NoTerminalError("this is no terminal with a screen of its own: --once prints one frame")
    trio.run(lambda: show_live(server, console, interval=interval))
