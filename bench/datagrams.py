"""Datagrams at a fixed rate, and what came back: DNS queries, and what no load generator for PDB sends.

    python -m bench.datagrams --kind dns --server 127.0.0.1:5381 --under invalid --rate 1000 --count 5000

One line of JSON in the words of `tools.load`. Open loop: latency counts from when a datagram was due.
"""

import argparse
import gc
import json
import random
import secrets
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from struct import Struct
from typing import Literal, TypeAlias, assert_never

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_endpoint
from fastvhost.faces.pdb_codec import write_request
from fastvhost.model import VerdictKind
from tools.load import Figures, Pdb

__all__ = ["Kind", "Stream", "dns_query", "garbage", "main", "run", "spoofed", "verdict_of"]

Kind: TypeAlias = Literal["dns", "pdb", "spoofed", "garbage"]

_IDS = 0x10000
_GRACE_SECONDS = 1.0
"""After the last was sent; what comes later is lost."""
_HEADER = Struct("!6H")
_RECURSION_DESIRED = 0x0100
_A_IN = b"\0\x01\0\x01"
_NXDOMAIN = 3


def dns_query(host: str, number: int) -> bytes:
    """A question for the A record of `host`, with recursion desired; `number` below 65,536 is its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    return _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\0" + _A_IN


def spoofed(host: str, number: int, serial: int) -> bytes:
    """A PDB request for `host` in the name of the source `serial` of 10.0.0.0/8."""
    source = ".".join(str(octet) for octet in (0x0A00_0000 + serial % 2**24).to_bytes(4, "big"))
    return write_request(f"{host} {source}".encode(), number)


def garbage(chance: random.Random) -> bytes:
    """No request on either face: octets at random, or a request that is cut off."""
    if chance.random() < 0.5:
        return chance.randbytes(chance.randrange(300))
    whole = dns_query("k1.test", 0) if chance.random() < 0.5 else write_request(b"k1.test", 0)
    return whole[: chance.randrange(len(whole))]


def verdict_of(reply: bytes) -> VerdictKind:
    """What a DNS reply about an A record amounts to; a reply that is cut short amounts to nothing."""
    if len(reply) < _HEADER.size:
        return VerdictKind.UNDETERMINED
    _, flags, _, answers, _, _ = _HEADER.unpack_from(reply)
    rcode = flags & 0xF
    if rcode == 0 and answers:
        return VerdictKind.HOSTED
    return VerdictKind.NOT_HOSTED if rcode in (0, _NXDOMAIN) else VerdictKind.UNDETERMINED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is sent, and how fast."""

    kind: Kind
    server: Endpoint
    hosts: Iterator[str]
    rate: float
    count: int
    source: str | None = None

    def frame(self, serial: int, chance: random.Random) -> bytes:
        """Number `serial`, from 0 on."""
        match self.kind:
            case "dns":
                return dns_query(next(self.hosts), serial % _IDS)
            case "pdb":
                return write_request(next(self.hosts).encode(), serial % _IDS)
            case "spoofed":
                return spoofed(next(self.hosts), serial % _IDS, serial)
            case "garbage":
                return garbage(chance)
            case _:
                assert_never(self.kind)

    def read(self, reply: bytes) -> tuple[int, int] | None:
        """Id and verdict of a reply; None where it has none, as to garbage."""
        match self.kind:
            case "dns":
                return int.from_bytes(reply[:2], "big"), int(verdict_of(reply))
            case "pdb" | "spoofed":
                return int.from_bytes(reply[4:6], "big"), int.from_bytes(reply[-2:], "big")
            case "garbage":
                return None
            case _:
                assert_never(self.kind)


def run(stream: Stream) -> Figures:
    """Send all of it and wait for what comes back. Blocks.

    Raises:
        OSError: the source cannot be bound, or nothing listens there.
    """
    figures, due_at, chance = Figures(dialect=Pdb()), dict[int, float](), random.Random(0)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.bind((stream.source or "127.0.0.1", 0))
        sock.connect(stream.server)
        sock.setblocking(False)
        start = time.perf_counter()
        while figures.sent < stream.count:
            due = start + figures.sent / stream.rate
            if (early := due - time.perf_counter()) > 0.0:
                _collect(sock, stream, figures, due_at, early)
                continue
            due_at[figures.sent % _IDS] = due
            # A full queue loses it, as on the way.
            with suppress(BlockingIOError):
                sock.send(stream.frame(figures.sent, chance))
            figures.sent += 1
        sent_for = time.perf_counter() - start
        until = time.perf_counter() + _GRACE_SECONDS
        while due_at and (left := until - time.perf_counter()) > 0.0:
            _collect(sock, stream, figures, due_at, left)
    figures.seconds = sent_for
    figures.lost = figures.sent - figures.answered
    return figures


def _collect(
    sock: socket.socket, stream: Stream, figures: Figures, due_at: dict[int, float], seconds: float
) -> None:
    """Take the replies that are there, or that come within so many seconds."""
    readable, _, _ = select.select([sock], [], [], seconds)
    if not readable:
        return
    try:
        while True:
            reply = sock.recv(4_096)
            now = time.perf_counter()
            read = stream.read(reply)
            due = None if read is None else due_at.pop(read[0], None)
            if read is None or due is None:
                figures.strays += 1
                continue
            figures.answered += 1
            figures.verdicts[read[1]] += 1
            figures.latency_of_known.record([max(0.0, now - due)])
    except BlockingIOError:
        return


def _hosts(arguments: argparse.Namespace) -> Iterator[str]:
    """The hosts of the file, again and again, or endless new ones; each with the suffix."""
    suffix = f".{arguments.suffix}" if arguments.suffix else ""
    if arguments.hosts is not None:
        names: Iterator[str] = cycle(arguments.hosts.read_text().split())
    else:
        run_id = secrets.token_hex(4)
        names = (f"u{run_id}{serial:08}.{arguments.under}" for serial in count())
    return (f"{name}{suffix}" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.datagrams", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--kind", choices=("dns", "pdb", "spoofed", "garbage"), required=True)
    add("--server", required=True, metavar="ADDR:PORT")
    add("--hosts", type=Path, metavar="FILE", help="one a line, asked in turn; without it new hosts")
    add("--under", default="invalid", metavar="DOMAIN", help="where new hosts are (default: %(default)s)")
    add("--suffix", default="", metavar="ZONE", help="appended to every host: listen.zone")
    add("--rate", type=float, required=True, metavar="N", help="datagrams a second")
    add("--count", type=int, required=True, metavar="N", help="how many in all")
    add("--source", metavar="ADDR", help="send from this address")
    arguments = parser.parse_args(argv)
    stream = Stream(
        kind=arguments.kind,
        server=parse_endpoint(arguments.server, default_port=53),
        hosts=_hosts(arguments),
        rate=arguments.rate,
        count=arguments.count,
        source=arguments.source,
    )
    print(json.dumps(run(stream).as_json()))
    return 0


if __name__ == "__main__":
    gc.disable()  # nothing here makes cycles, and a collection would be measured as the server's
    sys.exit(main())
