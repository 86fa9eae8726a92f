"""The sockets of each face: bound to an address, or passed by whoever started us."""

import socket
from collections.abc import Mapping, Sequence
from typing import assert_never

from fastvhost.config import Endpoint, Listen
from fastvhost.errors import ListenError
from fastvhost.faces.dns import bind_dns
from fastvhost.faces.face import FaceName
from fastvhost.faces.tcp import bind_tcp, take_tcp
from fastvhost.faces.udp import bind_udp, take_udp

__all__ = ["bind_face", "passed_face", "wanted_faces"]


_FAMILIES = (socket.AF_INET, socket.AF_INET6)
"""Whose clients have addresses, which `listen.allow` is about."""


def wanted_faces(listen: Listen) -> dict[FaceName, Endpoint]:
    """Where each face is to listen, without those that are off."""
    wanted = {FaceName.PDB: listen.pdb, FaceName.DNS: listen.dns, FaceName.ADMIN: listen.admin}
    return {name: endpoint for name, endpoint in wanted.items() if endpoint is not None}


def bind_face(name: FaceName, endpoint: Endpoint) -> tuple[socket.socket, ...]:
    """The sockets of a face, bound to `endpoint`.

    Raises:
        ListenError: one of them cannot be bound.
    """
    match name:
        case FaceName.PDB:
            return (bind_udp(endpoint),)
        case FaceName.DNS:
            return bind_dns(endpoint)
        case FaceName.ADMIN:
            return (bind_tcp(endpoint),)
        case never:
            assert_never(never)


def passed_face(
    name: FaceName, passed: Mapping[str, Sequence[socket.socket]]
) -> tuple[socket.socket, ...] | None:
    """The sockets of a face as `bind_face` has them, from among those that were passed under its name.

    Returns None where none was.

    Raises:
        ListenError: they are not what the face needs.
    """
    sockets = passed.get(name.value, ())
    if not sockets:
        return None
    for sock in sockets:
        if sock.family not in _FAMILIES:
            raise ListenError(
                f"sockets passed as {name.value}: of IPv4 or IPv6 they are to be, not {_family_of(sock)}"
            )
    kinds = [sock.type for sock in sockets]
    match name:
        case FaceName.PDB:
            if kinds != [socket.SOCK_DGRAM]:
                raise ListenError(
                    f"sockets passed as pdb: one is needed, of datagrams; there are {_named(kinds)}"
                )
            return (take_udp(sockets[0]),)
        case FaceName.DNS:
            if sorted(kinds) != sorted((socket.SOCK_STREAM, socket.SOCK_DGRAM)):
                raise ListenError(
                    "sockets passed as dns: two are needed, of datagrams and of a stream; "
                    f"there are {_named(kinds)}"
                )
            datagrams, stream = sorted(sockets, key=lambda sock: sock.type is socket.SOCK_STREAM)
            return take_udp(datagrams), take_tcp(stream)
        case FaceName.ADMIN:
            if kinds != [socket.SOCK_STREAM]:
                raise ListenError(
                    f"sockets passed as admin: one is needed, of a stream; there are {_named(kinds)}"
                )
            return (take_tcp(sockets[0]),)
        case never:
            assert_never(never)


def _family_of(sock: socket.socket) -> str:
    return socket.AddressFamily(sock.family).name


def _named(kinds: Sequence[int]) -> str:
    return ", ".join(socket.SocketKind(kind).name for kind in kinds)
