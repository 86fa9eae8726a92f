"""Servers that answer the same names from their caches, one thread each: how each is started and filled.

A DNS peer forwards to the lab and is asked for the address of a host. What is compared is thus a cached
answer to one UDP query, whatever it says.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from bench.processes import Server, free_port, serving
from bench.rig import HOSTS, Rig
from tools.load import Dns

__all__ = ["DNS_PEERS", "DnsPeer", "find_program", "peer_versions", "running_redis", "start_dns_peer"]

_LOOPBACK = "127.0.0.1"
_REDIS_KEY = "h{:012}.hosted.example"
"""As redis-benchmark writes its random numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsPeer:
    """A DNS server with a cache."""

    name: str
    program: str
    package: str
    """Debian's, which tools/install-bench-peers installs."""
    arguments: Sequence[str]
    """Of the program, which runs in a directory of its own."""
    file: str
    """Its configuration file there."""
    config: str
    """What stands in it: PORT and LAB are the ports to listen on and to forward to."""


_UNBOUND = """\
server:
  interface: 127.0.0.1
  port: PORT
  num-threads: 1
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "."
  pidfile: "unbound.pid"
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@LAB
"""

_RECURSOR = """\
local-address=127.0.0.1
local-port=PORT
threads=1
daemon=no
disable-syslog=yes
socket-dir=.
setuid=
setgid=
dnssec=off
dont-query=
security-poll-suffix=
forward-zones-recurse=.=127.0.0.1:LAB
"""

_DNSDIST = """\
setLocal("127.0.0.1:PORT")
newServer("127.0.0.1:LAB"):setUp()
getPool(""):setCache(newPacketCache(100000, {maxTTL=86400}))
setSecurityPollSuffix("")
"""

_KRESD = """\
trust_anchors.remove(".")
net.listen("127.0.0.1", PORT, {kind = "dns"})
cache.open(100 * MB, "lmdb://cache")
policy.add(policy.all(policy.FORWARD("127.0.0.1@LAB")))  -- what STUB brings is kept for 5 s only
"""

_DNSMASQ = """\
port=PORT
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
server=127.0.0.1#LAB
cache-size=20000
dns-forward-max=1000
pid-file=
user=root
"""

DNS_PEERS = (
    DnsPeer(
        name="Unbound",
        program="unbound",
        package="unbound",
        arguments=("-d", "-p", "-c", "unbound.conf"),
        file="unbound.conf",
        config=_UNBOUND,
    ),
    DnsPeer(
        name="PowerDNS Recursor",
        program="pdns_recursor",
        package="pdns-recursor",
        arguments=("--config-dir=.",),
        file="recursor.conf",
        config=_RECURSOR,
    ),
    DnsPeer(
        name="dnsdist",
        program="dnsdist",
        package="dnsdist",
        arguments=("--supervised", "--disable-syslog", "-C", "dnsdist.conf"),
        file="dnsdist.conf",
        config=_DNSDIST,
    ),
    DnsPeer(
        name="Knot Resolver",
        program="kresd",
        package="knot-resolver",
        arguments=("-n", "-q", "-c", "kresd.conf", "."),
        file="kresd.conf",
        config=_KRESD,
    ),
    DnsPeer(
        name="dnsmasq",
        program="dnsmasq",
        package="dnsmasq-base",
        arguments=("--keep-in-foreground", "--conf-file=dnsmasq.conf", "--log-facility=-"),
        file="dnsmasq.conf",
        config=_DNSMASQ,
    ),
)


def find_program(name: str) -> str | None:
    """Where it is installed; servers are often in sbin, which is not on everybody's path."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def peer_versions() -> dict[str, str]:
    """What Debian's package manager says of those that are installed; empty where there is none."""
    packages = [*(peer.package for peer in DNS_PEERS), "redis-server"]
    query = shutil.which("dpkg-query")
    if query is None:
        return {}
    said = subprocess.run(
        [query, "--show", "--showformat=${Package} ${Version}\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # it fails where one is missing, and tells of the others
    )
    versions = (line.split(" ", 1) for line in said.stdout.splitlines())
    return {package: version for package, version in versions if version}


def start_dns_peer(peer: DnsPeer, program: str, rig: Rig, stack: ExitStack, directory: Path) -> Server:
    """Run it until `stack` ends, with every host cached.

    Raises:
        BenchError: it does not come up, or does not answer every host.
    """
    directory.mkdir()
    port = free_port()
    config = peer.config.replace("PORT", str(port)).replace("LAB", str(rig.lab.port))
    (directory / peer.file).write_text(config)
    server = stack.enter_context(
        serving(
            [program, *peer.arguments],
            port=port,
            answers=_answers_dns,
            core=rig.server_core,
            directory=directory,
        )
    )
    rig.warm_up(port, Dns(""), "NOERROR, 1 answer")
    return server


@contextmanager
def running_redis(program: str, rig: Rig, directory: Path) -> Iterator[Server]:
    """A Redis in which each host is a key, for the length of the block.

    Raises:
        BenchError: it does not come up.
    """
    directory.mkdir()
    port = free_port()
    command = [program, "--bind", _LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    with serving(command, port=port, answers=_accepts, core=rig.server_core, directory=directory) as server:
        commands = "".join(f"SET {_REDIS_KEY.format(number)} 1\n" for number in range(HOSTS))
        filled = ["redis-cli", "-p", str(port)]
        subprocess.run(filled, input=commands, text=True, check=True, stdout=subprocess.DEVNULL)
        yield server


def _answers_dns(port: int) -> bool:
    question = dns.message.make_query("h10000.hosted.example.", "A")
    with suppress(dns.exception.DNSException, OSError):
        return bool(dns.query.udp(question, _LOOPBACK, port=port, timeout=0.5).answer)
    return False


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), 0.5).close()
    except OSError:
        return False
    return True
