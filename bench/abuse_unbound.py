"""Unbound under the attacks of `bench.abuse`, as a process whose memory can be read."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from bench.abuse_attacks import KNOWN
from bench.processes import BenchError, Server, running

__all__ = ["RATELIMIT", "has_unbound", "running_unbound"]

RATELIMIT = 50
"""Queries a second to the servers of one zone: the default of `limits.zone_rate`."""

_LOOPBACK = "127.0.0.1"
_ZONES = ("test", "victim.test", "invalid", "silent")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
_POLLS = 200
_POLL_SECONDS = 0.05

# Stub zones and not forward zones: what goes to a forwarder is not rate-limited.
_STUB = 'stub-zone:\n    name: "{zone}"\n    stub-addr: {address}@{port}\n'
_SERVER = """\
server:
    interface: {address}
    port: {port}
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    verbosity: 0
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    module-config: "iterator"
    ratelimit: {ratelimit}
    local-zone: "test" nodefault
    local-zone: "invalid" nodefault
remote-control:
    control-enable: no
"""


def has_unbound() -> bool:
    """Whether it is installed."""
    return shutil.which("unbound", path=_PATH) is not None


@contextmanager
def running_unbound(
    directory: Path, upstream_port: int, *, ratelimit: int, core: int | None
) -> Iterator[Server]:
    """Resolve the zones of `bench.abuse_upstream`; all else is default, `ratelimit` 0 too: none.

    Raises:
        BenchError: it did not answer for a known host within ten seconds.
    """
    unbound = shutil.which("unbound", path=_PATH)
    if unbound is None:
        raise BenchError("unbound is not installed (Debian: unbound)")
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind((_LOOPBACK, 0))
        port = int(free.getsockname()[1])
    stubs = (_STUB.format(zone=zone, address=_LOOPBACK, port=upstream_port) for zone in _ZONES)
    server = _SERVER.format(address=_LOOPBACK, port=port, directory=directory, ratelimit=ratelimit)
    (directory / "unbound.conf").write_text(server + "".join(stubs))
    # Unbound tells nobody its port; the shell that becomes it does.
    script = f'echo "port {port}"; exec "$0" -d -c unbound.conf'
    command = ["env", "-C", str(directory), "sh", "-c", script, unbound]
    with running(command, ready=r"^port (\d+)", core=core) as process:
        _wait_for(port)
        yield process


def _wait_for(port: int) -> None:
    query = dns.message.make_query(KNOWN[0], "A")
    for _ in range(_POLLS):
        with suppress(OSError, dns.exception.DNSException):
            if dns.query.udp(query, _LOOPBACK, port=port, timeout=_POLL_SECONDS).answer:
                return
        time.sleep(_POLL_SECONDS)
    raise BenchError(f"unbound on port {port} does not answer for {KNOWN[0]}")
