"""The TCP way in: many queries on one connection, answered in the order in which they are due (RFC 7766)."""

import functools
from typing import NoReturn

import trio

from tools.dnslab.lab import MAX_DELAYED, Due, Lab

__all__ = ["serve_tcp"]

IDLE = 10.0
"""Seconds without a whole query after which a connection is closed; RFC 7766 section 6.2.3 wants a few."""
MAX_CONNECTIONS = 512
READ_SIZE = 16_384
"""Octets taken from a connection at one time."""
PREFIX = 2
"""Octets of the length before each message (RFC 1035 section 4.2.2)."""


async def serve_tcp(lab: Lab, listener: trio.SocketListener, nursery: trio.Nursery) -> NoReturn:
    """Accept connections for ever; returns only by cancellation.

    Each connection is a task in `nursery`; past `MAX_CONNECTIONS` a new one is closed at once and counted.
    """
    slots = trio.CapacityLimiter(MAX_CONNECTIONS)
    await trio.serve_listeners(
        functools.partial(_serve_connection, lab, slots), [listener], handler_nursery=nursery
    )


async def _serve_connection(lab: Lab, slots: trio.CapacityLimiter, stream: trio.SocketStream) -> None:
    # The borrower is the stream: the limiter then needs no task of its own to count by.
    try:
        slots.acquire_on_behalf_of_nowait(stream)
    except trio.WouldBlock:
        lab.tally.overflowed += 1
        return
    try:
        # Delayed replies of this connection end with it, and a broken one breaks only itself.
        async with trio.open_nursery() as replies:
            await _read_queries(lab, stream, trio.Lock(), replies)
    finally:
        slots.release_on_behalf_of(stream)


async def _read_queries(lab: Lab, stream: trio.SocketStream, turn: trio.Lock, replies: trio.Nursery) -> None:
    """Read till the peer ends its half, breaks the connection or is idle; delayed replies still go out."""
    unread = bytearray()
    while True:
        with trio.move_on_after(IDLE) as idle:
            try:
                octets = await _next_message(stream, unread)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
        if idle.cancelled_caught or octets is None:
            return
        due = lab.decide(octets, "tcp", trio.current_time())
        if not due.messages:
            continue
        if not due.delay:
            await _send(lab, stream, turn, due)
        elif lab.delayed < MAX_DELAYED:
            lab.delayed += 1
            replies.start_soon(_send_later, lab, stream, turn, due)
        else:
            lab.tally.overflowed += 1


async def _next_message(stream: trio.SocketStream, unread: bytearray) -> bytes | None:
    """Take the next message off `unread`, receiving as needed; None at the end of the stream."""
    while True:
        if len(unread) >= PREFIX:
            end = PREFIX + int.from_bytes(unread[:PREFIX], "big")
            if len(unread) >= end:
                octets = bytes(unread[PREFIX:end])
                del unread[:end]
                return octets
        chunk = await stream.receive_some(READ_SIZE)
        if not chunk:
            return None
        unread += chunk


async def _send_later(lab: Lab, stream: trio.SocketStream, turn: trio.Lock, due: Due) -> None:
    try:
        await trio.sleep(due.delay)
    finally:
        lab.delayed -= 1
    await _send(lab, stream, turn, due)


async def _send(lab: Lab, stream: trio.SocketStream, turn: trio.Lock, due: Due) -> None:
    """Send the messages whole: `turn` keeps delayed replies from mixing with others."""
    octets = b"".join(
        len(message.octets).to_bytes(PREFIX, "big") + message.octets for message in due.messages
    )
    async with turn:
        with trio.move_on_after(IDLE) as stuck:
            try:
                await stream.send_all(octets)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                lab.tally.unsent += len(due.messages)
        if stuck.cancelled_caught:
            lab.tally.unsent += len(due.messages)
            # Half a message may be out: nothing that follows could be read.
            await trio.aclose_forcefully(stream)
