"""The faces of a running service: started, told of a new configuration, replaced, and ended in order."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import trio

from fastvhost.config import Endpoint, Listen
from fastvhost.errors import ListenError
from fastvhost.faces.face import Face, FaceName
from fastvhost.faces.sockets import bind_face, passed_face, wanted_faces

__all__ = ["Bound", "BuildFace", "Front", "close"]

BuildFace = Callable[[FaceName, Sequence[socket.socket], Listen], Face]
"""Makes a face that answers on sockets as `bind_face` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Sockets that nothing listens on yet, and where `listen` asked for them; None: they were passed."""

    configured: Endpoint | None
    sockets: Sequence[socket.socket]


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """A face from its start to its end."""

    face: Face
    bound: Bound
    owes_for: float
    """Seconds from when it takes no more requests until none of its replies is owed any more."""
    receiving: trio.CancelScope = field(default_factory=trio.CancelScope)
    received: trio.Event = field(default_factory=trio.Event)


class Front:
    """Faces by name, each a task of its own while `open` lasts."""

    def __init__(self, build: BuildFace, passed: Mapping[str, Sequence[socket.socket]]) -> None:
        """`passed` are sockets that stand for an address of `listen`, by the name of their face.

        Raises:
            ListenError: there is no face of such a name.
        """
        names = [name.value for name in FaceName]
        for name in passed:
            if name not in names:
                raise ListenError(f"sockets passed as {name}: the names of faces are {', '.join(names)}")
        self._build = build
        self._passed = passed
        self._nursery: trio.Nursery | None = None
        self._by_name: dict[FaceName, _Run] = {}
        self._apart: dict[str, Face] = {}
        self._runs: set[_Run] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run faces while the block lasts, which outlives the flights that they wait for."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            yield
            nursery.cancel_scope.cancel()

    @property
    def faces(self) -> dict[str, Face]:
        """The faces that take requests."""
        return {name.value: run.face for name, run in self._by_name.items()} | self._apart

    def bind(self, listen: Listen) -> dict[FaceName, Bound]:
        """Sockets for the faces that `listen` asks for and that are not there yet.

        Raises:
            ListenError: one cannot be bound; then none is, and nothing has changed.
        """
        found: dict[FaceName, Bound] = {}
        try:
            for name, endpoint in wanted_faces(listen).items():
                run = self._by_name.get(name)
                if run is not None and run.bound.configured in (None, endpoint):
                    continue
                passed = passed_face(name, self._passed)
                if passed is not None:
                    found[name] = Bound(configured=None, sockets=[sock.dup() for sock in passed])
                else:
                    found[name] = Bound(configured=endpoint, sockets=bind_face(name, endpoint))
        except BaseException:
            close(found)
            raise
        return found

    def turn_to(self, listen: Listen, bound: Mapping[FaceName, Bound]) -> None:
        """Answer as `listen` says from now on: on the sockets of `bind`, and on those that stay.

        A face that is not asked for any more, or elsewhere, takes no more requests, and pays what it owes.
        Only while `open` lasts.
        """
        wanted = wanted_faces(listen)
        for name, run in list(self._by_name.items()):
            if name in wanted and name not in bound:
                run.owes_for = listen.answer_within
                run.face.configure(listen)
            else:
                del self._by_name[name]
                run.receiving.cancel()
        for name, sockets in bound.items():
            face = self._build(name, sockets.sockets, listen)
            self._by_name[name] = self._start(face, sockets, listen.answer_within)

    def stand(self, name: str, face: Face) -> None:
        """Run a face that `listen` says nothing of, for as long as `open` lasts."""
        self._apart[name] = face
        self._start(face, Bound(configured=None, sockets=()), inf)

    async def stop_receiving(self) -> None:
        """Take no more requests on any face; returns when none is taken any more.

        What is owed is paid for as long as `open` lasts.
        """
        for run in self._runs:
            run.owes_for = inf
            run.receiving.cancel()
        for run in list(self._runs):
            await run.received.wait()

    def _start(self, face: Face, bound: Bound, owes_for: float) -> _Run:
        assert self._nursery is not None  # noqa: S101 - see `turn_to`
        run = _Run(face=face, bound=bound, owes_for=owes_for)
        self._runs.add(run)
        self._nursery.start_soon(self._run, run)
        return run

    async def _run(self, run: _Run) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run.face.watch_deadlines)
                try:
                    with run.receiving:
                        await run.face.receive()
                    run.face.answer_rest()
                finally:
                    run.received.set()
                await trio.sleep(run.owes_for)
                nursery.cancel_scope.cancel()
        finally:
            self._runs.discard(run)
            run.face.close()
            for sock in run.bound.sockets:
                sock.close()


def close(bound: Mapping[FaceName, Bound]) -> None:
    """Give back sockets that will not be listened on."""
    for one in bound.values():
        for sock in one.sockets:
            sock.close()
