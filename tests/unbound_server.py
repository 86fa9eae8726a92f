"""A real Unbound on loopback with whatever lines a test has, for as long as a block lasts."""

import os
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
import dns.rdatatype

from fastvhost.config import Endpoint

__all__ = ["UnboundError", "running_unbound", "stub_zone", "validating"]

_LOOPBACK = "127.0.0.1"
_POLLS = 100


class UnboundError(Exception):
    """Unbound did not start; carries its log."""


@contextmanager
def running_unbound(lines: str, *, port: int = 0) -> Iterator[Endpoint]:
    """Resolve by `lines` of unbound.conf on a port of loopback, 0 for a free one; blocks until it answers.

    Raises:
        UnboundError: it ended, or did not answer in some ten seconds.
    """
    unbound = shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if unbound is None:
        raise UnboundError("unbound is not installed")
    with tempfile.TemporaryDirectory(prefix="fastvhost-unbound-") as name:
        directory = Path(name)
        endpoint = Endpoint(_LOOPBACK, port or _free_port())
        config = directory / "unbound.conf"
        config.write_text(_globals(directory, endpoint) + lines)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [unbound, "-d", "-p", "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                if not _answers(process, endpoint):
                    raise UnboundError((directory / "log").read_text())
                yield endpoint
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def stub_zone(zone: str, server: Endpoint, *, minimise: bool) -> str:
    """What docs/protocol.md shows, with or without name minimisation."""
    return f"""\
server:
    qname-minimisation: {"yes" if minimise else "no"}
    harden-below-nxdomain: yes
    do-not-query-localhost: no
    domain-insecure: "{zone}"
    local-zone: "{zone}" nodefault
    ede: yes
stub-zone:
    name: "{zone}"
    stub-addr: {server.address}@{server.port}
"""


def validating(zones: Mapping[str, Endpoint]) -> str:
    """Resolve names under `zones` at the server of each and validate: the DNSKEY that the server has of its
    zone is the trust anchor, without one it is unsigned. Unbound's own aggressive use of NSEC is off."""
    anchors = [line for origin, server in zones.items() for line in _anchors(origin, server)]
    forwards = (
        f"forward-zone:\n    name: {origin}\n    forward-addr: {server.address}@{server.port}\n"
        for origin, server in zones.items()
    )
    return f"""\
server:
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    aggressive-nsec: no
    val-log-level: 2
{"".join(anchors)}{"".join(forwards)}"""


def _anchors(origin: str, server: Endpoint) -> list[str]:
    """The zone's secure entry points."""
    question = dns.message.make_query(origin, "DNSKEY")
    reply = dns.query.tcp(question, server.address, port=server.port, timeout=5.0)
    return [
        f'    trust-anchor: "{origin}. DNSKEY {key.to_text()}"\n'
        for rrset in reply.answer
        for key in rrset
        if rrset.rdtype == dns.rdatatype.DNSKEY and key.flags & 1
    ]


def _globals(directory: Path, endpoint: Endpoint) -> str:
    return f"""\
server:
    interface: {endpoint.address}
    port: {endpoint.port}
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    verbosity: 1
    num-threads: 1
    module-config: "iterator"
remote-control:
    control-enable: no
"""


def _free_port() -> int:
    """A port that neither UDP nor TCP uses at this moment."""
    while True:
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as udp, closing(socket.socket()) as tcp:
            udp.bind((_LOOPBACK, 0))
            port: int = udp.getsockname()[1]
            with suppress(OSError):
                tcp.bind((_LOOPBACK, port))
                return port


def _answers(process: subprocess.Popen[bytes], endpoint: Endpoint) -> bool:
    query = dns.message.make_query("localhost.", "A")
    for _ in range(_POLLS):
        with suppress(OSError, dns.exception.DNSException):
            reply = dns.query.udp(query, endpoint.address, port=endpoint.port, timeout=0.1)
            return reply.rcode() == dns.rcode.NOERROR
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return False
    return False
