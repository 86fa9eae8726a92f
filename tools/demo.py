"""`make run`: the main job on embedded defaults, seen from outside.

A lab DNS server on loopback serves `demo.zone`, the daemon stands on top of it, and a client asks over the
real UDP protocol: first some hosts of every kind, then a flood of hosts that somebody made up.
"""

import argparse
import itertools
import random
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import trio

from fastvhost.config import Config, Dns, Domains, Endpoint, Listen, Own
from fastvhost.errors import FastvhostError
from fastvhost.faces.pdb_codec import read_reply, write_request
from fastvhost.model import VerdictKind
from fastvhost.service import Service, open_service
from tools.dnslab import Effect, Fault, Lab, LabError, open_lab, read_zone

ZONE = Path(__file__).with_name("demo.zone")

OWN = Own(
    addresses=(ip_network("203.0.113.10"), ip_network("2001:db8::10")),
    names=frozenset({"sip.provider.example"}),
)

HOSTS = (
    "srv.example",
    "naptr.example",
    "byname.example",
    "Address.Example.",
    "alias.example",
    "any.wild.example",
    "elsewhere.example",
    "nosip.example",
    "wrongport.example",
    "madeup.example",
    "203.0.113.10",
    "broken.example",
    "slow.example",
    "foo_bar.example",
)

FAULTS = (
    Fault(effect=Effect.SERVFAIL, name="broken.example"),
    Fault(name="slow.example", delay=1.0),
)

FLOOD_SECONDS = 4.0
FLOOD_PER_SECOND = 4_000
KNOWN_HOST = "srv.example"
PROGRESS_SECONDS = 0.25


class Client:
    """Asks a PDB face; replies are matched by id and name."""

    def __init__(self, server: Endpoint) -> None:
        self._server = tuple(server)
        self._socket = trio.socket.socket(type=trio.socket.SOCK_DGRAM)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def ask(self, name: str) -> tuple[VerdictKind, float]:
        """The verdict and the seconds that it took."""
        request = write_request(name.encode(), secrets.randbelow(0x10000))
        asked = trio.current_time()
        await self._socket.sendto(request, self._server)
        while True:
            kind = read_reply(await self._socket.recv(512), request)
            if kind is not None:
                return kind, trio.current_time() - asked


async def demo(*, once: bool) -> None:
    """The show, and then service until Ctrl-C unless `once`."""
    async with open_lab([read_zone(ZONE, origin="example.")], unknown="nxdomain") as lab:
        lab.faults.extend(FAULTS)
        config = Config(
            own=OWN,
            listen=Listen(pdb=Endpoint("127.0.0.1", 0), dns=None, admin=None),
            dns=Dns(servers=(Endpoint(*lab.address),)),
            domains=Domains(store=""),
        )
        async with open_service(config) as service:
            server = service.pdb_endpoint
            assert server is not None  # noqa: S101 - the face is on
            print(f"fastvhost answers PDB on {server}; its DNS is a lab server on {config.dns.servers[0]}.")
            print("We are 203.0.113.10, 2001:db8::10 and sip.provider.example.\n")
            await ask_around(service, server)
            await flood(lab, server)
            if not once:
                await serve_on(server)


async def ask_around(service: Service, server: Endpoint) -> None:
    """Every host twice over UDP: the first time DNS is asked, the second time memory answers."""
    print(f"{'host':<18} {'verdict':<21} {'TTL':>6} {'first':>10} {'again':>8}  reason")
    with Client(server) as client:
        for host in HOSTS:
            first_kind, first = await client.ask(host)
            verdict = await service.lookup(host)
            kind, again = await client.ask(host)
            shown = kind.name if kind is first_kind else f"{first_kind.name}, {kind.name}"
            ttl = verdict.ttl(trio.current_time())
            print(
                f"{host:<18} {shown:<21} {ttl:>4.0f} s {first * 1e6:>7,.0f} us {again * 1e6:>5,.0f} us"
                f"  {verdict.reason}"
            )


async def flood(lab: Lab, server: Endpoint) -> None:
    """Hosts that nobody ever heard of, from many sources, while a known host is asked for all along."""
    print(
        f"\nA flood: {FLOOD_PER_SECOND:,} made-up hosts a second for {FLOOD_SECONDS:.0f} s, "
        f"while {KNOWN_HOST} is asked for all along."
    )
    seen = FloodSeen(lab)
    lab.clear_counts()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(tuple(server))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_collect, sock, seen)
            nursery.start_soon(_ask_known, server, seen)
            nursery.start_soon(_show_progress, seen)
            await _send_flood(sock)
            nursery.cancel_scope.deadline = trio.current_time() + 0.5  # replies under way
    seen.show(end="\n")
    spent = lab.total / FLOOD_SECONDS
    print(
        f"Of these {seen.replies.total():,} hosts {lab.total:,} were asked about in DNS: {spent:,.0f} "
        f"queries a second; limits.upstream_qps allows {Config(own=OWN).limits.upstream_qps:,.0f}."
    )


class FloodSeen:
    """What the flood has done so far."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._started = trio.current_time()
        self.replies: Counter[VerdictKind] = Counter()
        self.known: list[float] = []
        """Seconds of each answer about the known host."""
        self.known_wrong = 0

    def show(self, *, end: str = "") -> None:
        """One line, over the one before on a terminal."""
        kinds = ", ".join(f"{kind.name} {count:,}" for kind, count in sorted(self.replies.items()))
        seconds = trio.current_time() - self._started
        median = sorted(self.known)[len(self.known) // 2] * 1e6 if self.known else 0.0
        line = (
            f"{seconds:4.1f} s  {kinds} | upstream {self._lab.total:,} | "
            f"{KNOWN_HOST}: {len(self.known):,} asked, {self.known_wrong} wrong, median {median:,.0f} us"
        )
        if sys.stdout.isatty():
            print(f"\r\x1b[K{line}", end=end, flush=True)
        elif end:
            print(line)


async def _send_flood(sock: trio.socket.SocketType) -> None:
    hosts = made_up_hosts()
    started = trio.current_time()
    per_tick = FLOOD_PER_SECOND // 100
    for tick in range(int(FLOOD_SECONDS * 100)):
        for name in itertools.islice(hosts, per_tick):
            await sock.send(write_request(name.encode(), 0))
        await trio.sleep_until(started + tick / 100)


async def _collect(sock: trio.socket.SocketType, seen: FloodSeen) -> None:
    while True:
        frame = await sock.recv(512)
        seen.replies[VerdictKind(int.from_bytes(frame[-2:], "big"))] += 1


async def _ask_known(server: Endpoint, seen: FloodSeen) -> None:
    with Client(server) as client:
        while True:
            kind, seconds = await client.ask(KNOWN_HOST)
            seen.known.append(seconds)
            seen.known_wrong += kind is not VerdictKind.HOSTED
            await trio.sleep(0.005)


async def _show_progress(seen: FloodSeen) -> None:
    while True:
        await trio.sleep(PROGRESS_SECONDS)
        seen.show()


def made_up_hosts() -> Iterator[str]:
    """`HOST SOURCE`, each host new, from a great many sources and zones."""
    chance = random.Random(3263)
    for number in itertools.count():
        source = f"100.{chance.randrange(64, 128)}.{chance.randrange(256)}.{chance.randrange(256)}"
        yield f"x{number}.zone{chance.randrange(10_000)}.com {source}"


async def serve_on(server: Endpoint) -> None:
    """Until SIGINT or SIGTERM."""
    print(
        "\nServing until Ctrl-C. Ask it from another terminal:\n"
        f"  .venv/bin/fastvhost query srv.example --server {server}"
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def main() -> int:
    """Run the show; exit 0, or 2 with one line on stderr when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="end after the show")
    args = parser.parse_args()
    code = 0
    try:
        trio.run(lambda: demo(once=args.once))
    except* (FastvhostError, LabError) as errors:
        print(f"demo: {errors.exceptions[0]}", file=sys.stderr)
        code = 2
    except* KeyboardInterrupt:
        code = 130
    return code


if __name__ == "__main__":
    sys.exit(main())
