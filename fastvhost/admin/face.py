"""The admin face: joins the site with its connections, and notes the history that the page draws."""

import socket
from typing import NoReturn

import trio

from fastvhost.admin.history import SAMPLE_SECONDS, History, sample
from fastvhost.admin.looks import POLICY
from fastvhost.admin.sight import Sight
from fastvhost.admin.site import Site
from fastvhost.config import Endpoint, Listen
from fastvhost.faces.http import HttpLoop

__all__ = ["AdminFace"]

_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class AdminFace:
    """Answers HTTP on `sock`, a listening one, also while the service ends."""

    def __init__(self, sock: socket.socket, listen: Listen, sight: Sight) -> None:
        self._sight = sight
        self._history = History()
        self._http = HttpLoop(
            sock,
            allow=listen.allow,
            respond=Site(sight, self._history).respond,
            headers=_HEADERS,
            wall_clock=sight.wall_clock,
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._http.endpoint

    @property
    def latencies(self) -> None:
        """None: it gives no verdicts."""

    def counts(self) -> dict[str, int]:
        """Every counter and gauge by name."""
        return self._http.counts()

    def configure(self, listen: Listen) -> None:
        """See `fastvhost.faces.face.Face`; connections that are open stay."""
        self._http.allow(listen.allow)

    async def receive(self) -> NoReturn:
        """Note a sample of the figures every two seconds, until cancelled."""
        while True:
            now = trio.current_time()
            self._history.note(sample(self._sight.figures(now), self._sight.latencies(), now))
            await trio.sleep(SAMPLE_SECONDS)

    def answer_rest(self) -> None:
        """Nothing is received that nobody looks at."""

    async def watch_deadlines(self) -> None:
        """Answer requests until cancelled: while flights land, `/readyz` says that the service stops."""
        await self._http.serve()

    def close(self) -> None:
        """Nothing is held beside the connections."""
