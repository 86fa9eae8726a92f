"""A client of the PDB face: one question, one answer, as `fastvhost query` asks it."""

import secrets
import socket
import time

from fastvhost.config import Endpoint
from fastvhost.errors import FastvhostError
from fastvhost.faces.pdb_codec import read_reply, write_request
from fastvhost.model import VerdictKind

__all__ = ["NoReplyError", "ask"]

_ATTEMPTS = 2


class NoReplyError(FastvhostError):
    """The daemon did not answer: it is not running there, or does not allow this client."""


def ask(server: Endpoint, name: bytes, *, timeout: float) -> tuple[VerdictKind, float]:
    """Ask `server` for `name` (`HOST` or `HOST SOURCE`); return its verdict and the seconds it took.

    Asks twice, `timeout` seconds each, as a datagram may be lost.

    Raises:
        NoReplyError: no reply came.
        ValueError: `name` does not fit a PDB frame.
    """
    request = write_request(name, secrets.randbelow(0x10000))
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(server)
            for _ in range(_ATTEMPTS):
                asked = time.perf_counter()
                sock.send(request)
                kind = _receive(sock, request, asked + timeout)
                if kind is not None:
                    return kind, time.perf_counter() - asked
    except OSError as error:
        raise NoReplyError(f"no reply from {server}: {error.strerror or error}") from error
    raise NoReplyError(f"no reply from {server} within {_ATTEMPTS} times {timeout:g} s")


def _receive(sock: socket.socket, request: bytes, until: float) -> VerdictKind | None:
    while (left := until - time.perf_counter()) > 0:
        sock.settimeout(left)
        try:
            kind = read_reply(sock.recv(512), request)
        except TimeoutError:
            break
        if kind is not None:
            return kind
    return None
