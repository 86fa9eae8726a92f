"""The UDP way in: a bounded drain of the socket, replies at once or by a task when delayed."""

import socket
from typing import Any, NoReturn

import trio

from tools.dnslab.lab import MAX_DELAYED, Due, Lab

__all__ = ["serve_udp"]

DRAIN = 64
"""Datagrams read before other tasks get their turn."""
MAX_QUERY = 4_096
"""Octets read of one datagram; a query is far smaller, and a longer one is cut and so malformed."""


async def serve_udp(lab: Lab, sock: socket.socket, stray: socket.socket, nursery: trio.Nursery) -> NoReturn:
    """Answer datagrams for ever; returns only by cancellation.

    Args:
        lab: decides what to send.
        sock: bound and non-blocking; left open.
        stray: bound to another port, non-blocking, for replies that come from the wrong one; left open.
        nursery: where delayed replies wait, at most `MAX_DELAYED`; over that they are dropped and counted.
    """
    while True:
        await trio.lowlevel.wait_readable(sock)
        for _ in range(DRAIN):
            try:
                octets, peer = sock.recvfrom(MAX_QUERY)
            except BlockingIOError:
                break
            except OSError:
                # An earlier reply's ICMP error, say: it is one datagram's and no reason to stop.
                continue
            due = lab.decide(octets, "udp", trio.current_time())
            if not due.messages:
                continue
            if not due.delay:
                _send(lab, sock, stray, due, peer)
            elif lab.delayed < MAX_DELAYED:
                lab.delayed += 1
                nursery.start_soon(_send_later, lab, sock, stray, due, peer)
            else:
                lab.tally.overflowed += 1


async def _send_later(lab: Lab, sock: socket.socket, stray: socket.socket, due: Due, peer: Any) -> None:
    try:
        await trio.sleep(due.delay)
        _send(lab, sock, stray, due, peer)
    finally:
        lab.delayed -= 1


def _send(lab: Lab, sock: socket.socket, stray: socket.socket, due: Due, peer: Any) -> None:
    for message in due.messages:
        try:
            (stray if message.stray_port else sock).sendto(message.octets, peer)
        except OSError:
            lab.tally.unsent += 1
