"""Where a proxy on this machine listens to commands, or for who answers its questions.

Kamailio's jsonrpcs and evapi and OpenSIPS' mi_datagram ask nobody who he is, so only loopback and unix
sockets count.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fastvhost.config import Endpoint
from fastvhost.host import parse_address

__all__ = ["Target", "parse_target", "parse_tcp_target"]

_MAX_PATH = 107
"""Octets: sun_path of sockaddr_un less its NUL."""

_ADDRESS_AND_PORT = re.compile(r"(?:udp|tcp):(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_ALLOWED = (
    'the socket asks nobody who he is, so allowed are loopback, "udp:127.0.0.1:PORT" or "udp:[::1]:PORT" '
    'with a port from 1 to 65_535, and "unix:/PATH" of at most 107 octets'
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a proxy listens: a loopback address, or the path of a unix datagram socket."""

    address: Endpoint | Path

    def __str__(self) -> str:
        return f"unix:{self.address}" if isinstance(self.address, Path) else f"udp:{self.address}"


def parse_target(text: str) -> Target:
    """The target that `udp:ADDRESS:PORT` or `unix:/PATH` names.

    Raises:
        ValueError: anything else, or an address that is not loopback; one line that says what is allowed.
    """
    if text.startswith("unix:/") and text.isprintable() and len(text.encode()) - len("unix:") <= _MAX_PATH:
        return Target(Path(text.removeprefix("unix:")))
    endpoint = _loopback(text) if text.startswith("udp:") else None
    if endpoint is not None:
        return Target(endpoint)
    raise ValueError(f"{text!r} is no place to tell a proxy at; {_ALLOWED}")


def parse_tcp_target(text: str) -> Endpoint:
    """The loopback endpoint that `tcp:ADDRESS:PORT` names.

    Raises:
        ValueError: anything else; one line that says what is allowed.
    """
    endpoint = _loopback(text) if text.startswith("tcp:") else None
    if endpoint is None:
        raise ValueError(
            f"{text!r} is no proxy to answer; the socket asks nobody who he is, so allowed is loopback, "
            '"tcp:127.0.0.1:PORT" or "tcp:[::1]:PORT" with a port from 1 to 65_535'
        )
    return endpoint


def _loopback(text: str) -> Endpoint | None:
    found = _ADDRESS_AND_PORT.fullmatch(text)
    if found is None:
        return None
    address, port = parse_address(found[1] or found[2]), int(found[3])
    if address is None or not address.is_loopback or not 1 <= port <= 65_535:
        return None
    return Endpoint(str(address), port)
