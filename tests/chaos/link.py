"""A bad link in front of a UDP server: it loses datagrams, doubles them and lets them overtake each other."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from fastvhost.config import Endpoint
from tests.forger import bound_alike, carry_connections

__all__ = ["Link", "open_link"]

_MOST_CLIENTS = 4_096
"""Each has a socket of its own towards the server."""


@dataclass(slots=True, kw_only=True)
class Link:
    """How bad it is, which may change at any time, and what it has done. Both ways count."""

    address: Endpoint
    loss: float
    """The share of datagrams that are lost, 0–1."""
    doubled: float
    """The share that arrive twice, 0–1."""
    delay: float
    """Most seconds that one takes; each its own, so that they overtake each other."""
    carried: int = 0
    lost: int = 0


@asynccontextmanager
async def open_link(
    server: tuple[str, int], draw: random.Random, *, loss: float, doubled: float = 0.05, delay: float = 0.05
) -> AsyncIterator[Link]:
    """Carry datagrams to `server` and back for the length of the block, and connections, which stay whole."""
    front, listener = bound_alike()
    with front, listener:
        link = Link(address=Endpoint(*front.getsockname()), loss=loss, doubled=doubled, delay=delay)
        sockets: dict[Any, trio.socket.SocketType] = {}
        async with trio.open_nursery() as nursery:

            async def carry(octets: bytes, sock: trio.socket.SocketType, to: Any) -> None:
                await trio.sleep(draw.uniform(0.0, link.delay))
                await sock.sendto(octets, to)

            def pass_on(octets: bytes, sock: trio.socket.SocketType, to: Any) -> None:
                if draw.random() < link.loss:
                    link.lost += 1
                    return
                for _ in range(1 + (draw.random() < link.doubled)):
                    link.carried += 1
                    nursery.start_soon(carry, octets, sock, to)

            async def back(sock: trio.socket.SocketType, client: Any) -> None:
                while True:
                    pass_on(await sock.recv(65_535), front, client)

            async def forth() -> None:
                while True:
                    octets, client = await front.recvfrom(65_535)
                    if client not in sockets:
                        assert len(sockets) < _MOST_CLIENTS
                        sockets[client] = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
                        await sockets[client].bind(("127.0.0.1", 0))
                        nursery.start_soon(back, sockets[client], client)
                    pass_on(octets, sockets[client], server)

            nursery.start_soon(forth)
            nursery.start_soon(carry_connections, listener, server)
            try:
                yield link
            finally:
                nursery.cancel_scope.cancel()
        for sock in sockets.values():
            sock.close()
