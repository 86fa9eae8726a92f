"""Looking at a daemon again and again, and showing what was seen."""

import signal
from dataclasses import replace
from typing import NoReturn

import trio
from rich.console import Console
from rich.screen import Screen

from fastvhost.admin_client import NoAdminError, fetch
from fastvhost.config import Endpoint
from fastvhost.top.drawing import View, frame
from fastvhost.top.metrics import UnreadableError
from fastvhost.top.scrape import Scrape, read_scrape
from fastvhost.top.terminal import keys_one_by_one, until_told_to_end

__all__ = ["look", "show_live", "show_once"]

_LISTED = 20

_LOOK_SECONDS = 5.0
"""For all requests of one look."""

_OK, _UNAVAILABLE = 200, 503


async def look(server: Endpoint) -> Scrape:
    """Ask for everything that the view needs, within 5 seconds.

    Raises:
        NoAdminError: nothing came, or what came is not from fastvhost.
    """
    try:
        with trio.fail_after(_LOOK_SECONDS):
            ready = await fetch(server, "/readyz")
            metrics = await _body(server, "/metrics")
            at = trio.current_time()
            talkers = await _body(server, f"/sources?limit={_LISTED}")
            changes = await _body(server, "/changes")
        return read_scrape(
            at=at,
            metrics=metrics,
            not_ready=ready.text if ready.status == _UNAVAILABLE else None,
            talkers=talkers,
            changes=changes,
        )
    except trio.TooSlowError:
        raise NoAdminError(f"no answer from {server} within {_LOOK_SECONDS:g} s") from None
    except UnreadableError as error:
        raise NoAdminError(f"what answers at {server} is not fastvhost's admin face: {error}") from error


async def show_once(server: Endpoint, console: Console, *, interval: float) -> None:
    """Print one frame, with rates over `interval` seconds; as long as it takes.

    Raises:
        NoAdminError: nothing came, or what came is not from fastvhost.
    """
    before = await look(server)
    await trio.sleep(interval)
    view = View(server=str(server), before=before, now=await look(server))
    console.print(frame(view, width=console.width, height=None, ascii_only=_ascii_only(console)))


async def show_live(server: Endpoint, console: Console, *, interval: float) -> None:
    """Show a frame every `interval` seconds, on a screen of its own, until q or a signal.

    A daemon that is away is said to be, and looked for again and again.
    """
    shown = _Shown(View(server=str(server), hint=f"every {interval:g} s; q: quit"), console)
    with keys_one_by_one() as keys, console.screen(hide_cursor=True):
        shown.draw()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_look_again_and_again, server, interval, shown)
            nursery.start_soon(_draw_anew, shown)
            await until_told_to_end(keys)
            nursery.cancel_scope.cancel()


class _Shown:
    """The view as it is now, on a screen of its own."""

    def __init__(self, view: View, console: Console) -> None:
        self._view = view
        self._console = console

    def seen(self, scrape: Scrape) -> None:
        """The daemon answered."""
        self._view = replace(self._view, before=self._view.now, now=scrape, away=None)
        self.draw()

    def missed(self, why: str) -> None:
        """It did not: what was seen last stays."""
        self._view = replace(self._view, away=why)
        self.draw()

    def draw(self) -> None:
        """All of the screen anew, as large as it is by now."""
        console = self._console
        width, height = console.size
        drawn = frame(self._view, width=width, height=height, ascii_only=_ascii_only(console))
        console.update_screen(Screen(drawn))


async def _look_again_and_again(server: Endpoint, interval: float, shown: _Shown) -> NoReturn:
    while True:
        next_at = trio.current_time() + interval
        try:
            shown.seen(await look(server))
        except NoAdminError as error:
            shown.missed(str(error))
        await trio.sleep_until(next_at)


async def _draw_anew(shown: _Shown) -> NoReturn:
    with trio.open_signal_receiver(signal.SIGWINCH) as signals:
        async for _ in signals:
            shown.draw()
    raise AssertionError("signals have no end")


async def _body(server: Endpoint, target: str) -> str:
    answer = await fetch(server, target)
    if answer.status != _OK:
        raise UnreadableError(f"{target} has status {answer.status}")
    return answer.text


def _ascii_only(console: Console) -> bool:
    return not console.encoding.startswith("utf")
