"""A forger between fastvhost and a lab: it answers from the very address and port that were asked.

So the kernel lets its datagrams through. It sees each query, which a forger on the internet does not; what
it may do with that is up to `forge`. Over TCP it only carries octets: nobody off the way forges that.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rrset
import trio

from tools.dnslab import Lab

__all__ = ["Client", "Forge", "bound_alike", "carry_connections", "lie", "open_forger"]

Client = tuple[str, int]
"""The address and port that a query came from."""

Forge = Callable[[bytes, Client], Iterable[bytes]]
"""From a query and who sent it to the datagrams that go out before the true answer."""


def lie(query: bytes) -> bytes:
    """A whole answer that makes any host ours, with the right id and question: what a lucky guess is."""
    asked = dns.message.from_wire(query)
    forged = dns.message.make_response(asked)
    forged.flags |= dns.flags.RA
    (question,) = asked.question
    text = '1 1 "a" "SIP+D2U" "" sip.provider.example.'
    if question.rdtype == dns.rdatatype.NAPTR:
        forged.answer.append(dns.rrset.from_text(question.name, 600, "IN", "NAPTR", text))
    return forged.to_wire()


@asynccontextmanager
async def open_forger(lab: Lab, forge: Forge) -> AsyncIterator[tuple[str, int]]:
    """Serve on a port of its own for the length of the block; the value is its address."""
    udp, listener = bound_alike()
    with udp, listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer, udp, lab, forge, nursery)
            nursery.start_soon(carry_connections, listener, lab.address)
            yield udp.getsockname()
            nursery.cancel_scope.cancel()


def bound_alike() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """UDP and TCP on one free port; another program may have the second of the pair, so try again."""
    for _ in range(20):
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen(1024)
        return trio.socket.from_stdlib_socket(udp), trio.socket.from_stdlib_socket(tcp)
    raise OSError("no port is free for both UDP and TCP")


async def _answer(udp: trio.socket.SocketType, lab: Lab, forge: Forge, nursery: trio.Nursery) -> None:
    while True:
        query, client = await udp.recvfrom(4_096)
        for forged in forge(query, client):
            await udp.sendto(forged, client)
        nursery.start_soon(_carry_answer, udp, lab, query, client)


async def _carry_answer(udp: trio.socket.SocketType, lab: Lab, query: bytes, client: Client) -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(lab.address)
        await sock.send(query)
        await udp.sendto(await sock.recv(65_535), client)


async def carry_connections(listener: trio.socket.SocketType, to: tuple[str, int]) -> None:
    """Carry octets both ways over TCP, for ever."""

    async def carry(stream: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream(*to)
        async with stream, server, trio.open_nursery() as both:

            async def one_way(source: trio.SocketStream, sink: trio.SocketStream) -> None:
                try:
                    async for octets in source:
                        await sink.send_all(octets)
                except trio.BrokenResourceError:
                    pass
                both.cancel_scope.cancel()

            both.start_soon(one_way, stream, server)
            both.start_soon(one_way, server, stream)

    await trio.serve_listeners(carry, [trio.SocketListener(listener)])
