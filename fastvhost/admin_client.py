"""A client of the admin face: one request on a connection of its own.

Source: RFC 9112.
"""

import os
import socket
from dataclasses import dataclass

import h11
import trio

from fastvhost.config import Endpoint
from fastvhost.errors import FastvhostError

__all__ = ["AdminAnswer", "NoAdminError", "fetch"]

_MOST_OCTETS = 4_000_000
"""Of a response: the admin face's have at most 1 MB, but for domains with many attributes."""

_READ = 65_536


class NoAdminError(FastvhostError):
    """No admin face answers there: the daemon is not running, or listens elsewhere, or allows others only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAnswer:
    """What came back."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """As UTF-8; octets that are none are replaced."""
        return self.body.decode(errors="replace")


async def fetch(server: Endpoint, target: str) -> AdminAnswer:
    """GET `target`, a path with its query, whatever the status of the response; at most 4 MB.

    How long it may take is the caller's to say.

    Raises:
        NoAdminError: no connection, or what came is no response.
    """
    client = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="GET", target=target, headers=[("Host", str(server)), ("Connection", "close")]
    )
    octets = (client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b"")
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    try:
        with trio.socket.socket(family, socket.SOCK_STREAM) as sock:
            await sock.connect(server)
            while octets:
                octets = octets[await sock.send(octets) :]
            return await _receive(client, sock)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise NoAdminError(f"no answer from {server}: {why}") from error
    except h11.RemoteProtocolError as error:
        raise NoAdminError(f"what answers at {server} is no admin face: {error}") from error


async def _receive(client: h11.Connection, sock: trio.socket.SocketType) -> AdminAnswer:
    status, body = 0, b""
    while True:
        match client.next_event():
            case h11.NEED_DATA:
                octets = await sock.recv(_READ)
                if not octets and not status:
                    raise h11.RemoteProtocolError("the connection was closed without a response")
                client.receive_data(octets)
            case h11.Response(status_code=status):
                pass
            case h11.Data(data=part):
                body += part
                if len(body) > _MOST_OCTETS:
                    raise h11.RemoteProtocolError(f"more than {_MOST_OCTETS} octets")
            case h11.EndOfMessage():
                return AdminAnswer(status=status, body=body)
            case h11.InformationalResponse():
                pass
            case other:
                raise h11.RemoteProtocolError(f"{other!r} where a response was due")
