"""A real Unbound on loopback that asks one server for one zone, for as long as a block lasts."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from fastvhost.config import Endpoint

__all__ = ["UnboundError", "running_unbound"]

_LOOPBACK = "127.0.0.1"
_POLLS = 100


class UnboundError(Exception):
    """Unbound did not start; carries its log."""


@contextmanager
def running_unbound(zone: str, server: Endpoint, *, minimise: bool) -> Iterator[Endpoint]:
    """Resolve names of `zone` by `server` on a free port of loopback; entering blocks until it answers.

    Raises:
        UnboundError: it ended, or did not answer in some ten seconds.
    """
    unbound = shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if unbound is None:
        raise UnboundError("unbound is not installed")
    with tempfile.TemporaryDirectory(prefix="fastvhost-unbound-") as name:
        directory = Path(name)
        endpoint = Endpoint(_LOOPBACK, _free_port())
        config = directory / "unbound.conf"
        config.write_text(_config(directory, endpoint, zone, server, minimise=minimise))
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


def _config(directory: Path, endpoint: Endpoint, zone: str, server: Endpoint, *, minimise: bool) -> str:
    """What docs/protocol.md shows, and what lets it run here."""
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
    qname-minimisation: {"yes" if minimise else "no"}
    harden-below-nxdomain: yes
    do-not-query-localhost: no
    domain-insecure: "{zone}"
    local-zone: "{zone}" nodefault
    module-config: "iterator"
    ede: yes
remote-control:
    control-enable: no
stub-zone:
    name: "{zone}"
    stub-addr: {server.address}@{server.port}
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
