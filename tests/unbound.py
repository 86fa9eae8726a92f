"""A real Unbound on loopback that validates, for as long as a block lasts."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from fastvhost.config import Endpoint
from tests.knot import free_port

__all__ = ["UnboundError", "running_unbound"]

_LOOPBACK = "127.0.0.1"
_POLLS = 500
_POLL_SECONDS = 0.02


class UnboundError(Exception):
    """Unbound did not start, or does not answer; carries its log."""


@contextmanager
def running_unbound(zones: Mapping[str, Endpoint]) -> Iterator[Endpoint]:
    """Resolve names under `zones` at the server of each, and nothing else, on a free port of loopback.

    The DNSKEY that the server of a zone has is its trust anchor; without one it is unsigned. Unbound's own
    aggressive use of NSEC is off. Entering blocks until every zone is answered for; leaving ends this one
    process.

    Raises:
        UnboundError: Unbound ended, or did not answer for the zones within some ten seconds.
    """
    with tempfile.TemporaryDirectory(prefix="fastvhost-unbound-") as name:
        directory = Path(name)
        endpoint = Endpoint(_LOOPBACK, free_port())
        anchors = [line for origin, server in zones.items() for line in _anchors(origin, server)]
        (directory / "unbound.conf").write_text(_config(directory, endpoint, zones, anchors))
        with _process(directory) as process:
            if not _serves(process, endpoint, zones):
                raise UnboundError((directory / "unbound.log").read_text())
            yield endpoint


def _anchors(origin: str, server: Endpoint) -> list[str]:
    """The zone's secure entry points."""
    reply = dns.query.tcp(
        dns.message.make_query(origin, "DNSKEY"), server.address, port=server.port, timeout=5.0
    )
    return [
        f'    trust-anchor: "{origin}. DNSKEY {key.to_text()}"'
        for rrset in reply.answer
        for key in rrset
        if rrset.rdtype == dns.rdatatype.DNSKEY and key.flags & 1
    ]


def _serves(process: subprocess.Popen[bytes], endpoint: Endpoint, origins: Iterable[str]) -> bool:
    waiting = list(origins)
    for _ in range(_POLLS):
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            while waiting and _answers(endpoint, waiting[-1]):
                waiting.pop()
            if not waiting:
                return True
        else:
            return False
    return False


def _answers(endpoint: Endpoint, origin: str) -> bool:
    try:
        reply = dns.query.udp(
            dns.message.make_query(origin, "SOA"), endpoint.address, port=endpoint.port, timeout=0.5
        )
    except (OSError, dns.exception.DNSException):
        return False
    return reply.rcode() == dns.rcode.NOERROR and bool(reply.answer)


def _config(directory: Path, endpoint: Endpoint, zones: Mapping[str, Endpoint], anchors: list[str]) -> str:
    forwards = "\n".join(
        f"forward-zone:\n    name: {origin}\n    forward-addr: {server.address}@{server.port}"
        for origin, server in zones.items()
    )
    return f"""\
server:
    interface: {endpoint.address}
    port: {endpoint.port}
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    aggressive-nsec: no
    val-log-level: 2
{chr(10).join(anchors)}
remote-control:
    control-enable: no
{forwards}
"""


@contextmanager
def _process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    unbound = shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if unbound is None:
        raise UnboundError("unbound is not installed (Debian: unbound)")
    with (directory / "unbound.log").open("wb") as log:
        process = subprocess.Popen(
            [unbound, "-d", "-c", directory / "unbound.conf"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
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
