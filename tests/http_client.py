"""A client of the admin face: one request on a connection of its own, or octets as they are."""

import json
from dataclasses import dataclass
from typing import Any

import h11
import trio

from fastvhost.config import Endpoint

__all__ = ["HttpReply", "get", "raw"]

_WITHIN = 10.0


@dataclass(frozen=True, kw_only=True)
class HttpReply:
    """A response as it came in."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def raw(server: Endpoint, octets: bytes) -> bytes:
    """Send `octets`; all that comes until the server ends the connection."""
    with trio.fail_after(_WITHIN):
        stream = await trio.open_tcp_stream(server.address, server.port)
        async with stream:
            await stream.send_all(octets)
            received = b""
            async for part in stream:
                received += bytes(part)
            return received


async def get(
    server: Endpoint,
    target: str,
    *,
    method: str = "GET",
    host: str | None = None,
    headers: dict[str, str] | None = None,
) -> HttpReply:
    """The response to one request; fails after ten seconds."""
    client = h11.Connection(h11.CLIENT)
    fields = {"Host": str(server) if host is None else host, "Connection": "close"} | (headers or {})
    request = h11.Request(method=method, target=target, headers=list(fields.items()))
    octets = (client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b"")
    client.receive_data(await raw(server, octets))
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response), head
    body = b""
    while isinstance(part := client.next_event(), h11.Data):
        body += bytes(part.data)
    return HttpReply(
        status=head.status_code,
        headers={name.decode(): value.decode() for name, value in head.headers},
        body=body,
    )
