"""A real Knot DNS on loopback, for as long as a block lasts."""

import grp
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from fastvhost.config import Endpoint

__all__ = ["KnotError", "free_port", "running_knot"]

_LOOPBACK = "127.0.0.1"

_STARTS = 3
"""Another program may take the port between our look and Knot's bind."""

_POLLS = 250
_POLL_SECONDS = 0.02


class KnotError(Exception):
    """Knot DNS did not start; carries its log."""


@contextmanager
def running_knot(
    zones: Mapping[str, str | Path],
    *,
    unloadable: Mapping[str, str] | None = None,
    signed: Mapping[str, str] | None = None,
    config: str = "",
) -> Iterator[Endpoint]:
    """Serve `zones`, by origin their text or a file of it, on a free port of loopback, UDP and TCP.

    Zones of `unloadable` are configured and cannot be read, so that Knot answers SERVFAIL for them. Those of
    `signed` Knot signs, with `nsec` or `nsec3`.
    `config` is appended to the configuration. Entering blocks until every zone of `zones` is answered
    for; leaving ends this one process and removes its directory.

    Raises:
        KnotError: Knot ended, or did not serve the zones within some five seconds.
    """
    with tempfile.TemporaryDirectory(prefix="fastvhost-knot-") as name:
        directory = Path(name)
        for origin, text in {**zones, **(unloadable or {})}.items():
            text = text.read_text() if isinstance(text, Path) else text
            (directory / f"{origin}.zone").write_text(text)
        for start in range(1, _STARTS + 1):
            endpoint = Endpoint(_LOOPBACK, free_port())
            identity = secrets.token_hex(8)
            text = _config(directory, endpoint, identity, [*zones, *(unloadable or {})], signed or {})
            (directory / "knot.conf").write_text(text + config)
            with _process(directory) as process:
                served = _serves(process, endpoint, identity, list(zones))
                if served:
                    yield endpoint
                    return
            if start == _STARTS:
                raise KnotError((directory / "knot.log").read_text())


@contextmanager
def _process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    knotd = shutil.which("knotd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if knotd is None:
        raise KnotError("knotd is not installed (Debian: knot)")
    with (directory / "knot.log").open("wb") as log:
        process = subprocess.Popen(
            [knotd, "-c", directory / "knot.conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _config(
    directory: Path, endpoint: Endpoint, identity: str, origins: list[str], signed: Mapping[str, str]
) -> str:
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    zones = "\n".join(_zone_config(origin, signed.get(origin)) for origin in origins)
    return f"""\
server:
    listen: {endpoint.address}@{endpoint.port}
    rundir: {directory}
    user: {user}:{group}
    identity: {identity}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: {directory}
policy:
  - id: nsec
    algorithm: ecdsap256sha256
  - id: nsec3
    algorithm: ecdsap256sha256
    nsec3: on
template:
  - id: default
    storage: {directory}
    file: "%s.zone"
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
    semantic-checks: off
zone:
{zones}
"""


def _zone_config(origin: str, policy: str | None) -> str:
    signing = f"\n    dnssec-signing: on\n    dnssec-policy: {policy}" if policy else ""
    return f"  - domain: {origin}{signing}"


def free_port() -> int:
    """A port that neither UDP nor TCP uses at this moment."""
    while True:
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as udp, closing(socket.socket()) as tcp:
            udp.bind((_LOOPBACK, 0))
            port: int = udp.getsockname()[1]
            with suppress(OSError):
                tcp.bind((_LOOPBACK, port))
                return port


def _serves(process: subprocess.Popen[bytes], endpoint: Endpoint, identity: str, origins: list[str]) -> bool:
    """Wait until this very process answers for every zone; False when it ended or never did."""
    waiting = [*origins, ""]
    for _ in range(_POLLS):
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            while waiting and _answers(endpoint, identity, waiting[-1]):
                waiting.pop()
            if not waiting:
                return True
        else:
            return False
    return False


def _answers(endpoint: Endpoint, identity: str, origin: str) -> bool:
    """Whether the SOA of `origin` is answered; for none, whether the server is the one of `identity`."""
    query = (
        dns.message.make_query(origin, "SOA") if origin else dns.message.make_query("id.server", "TXT", "CH")
    )
    try:
        reply = dns.query.udp(query, endpoint.address, port=endpoint.port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    if origin:
        return reply.rcode() == dns.rcode.NOERROR and bool(reply.answer)
    return any(identity in rdata.to_text() for rrset in reply.answer for rdata in rrset)
