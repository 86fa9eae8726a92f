"""Parts that several tests are made of: a configuration on top of a lab, a client of the PDB face."""

import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import trio

from fastvhost.config import Cache, Config, Dns, Domains, Endpoint, Limits, Listen, Own
from fastvhost.faces.pdb_codec import read_reply, write_request
from fastvhost.model import Verdict, VerdictKind
from tools.dnslab import Lab, parse_zone

OURS = "203.0.113.10"
OWN = Own(addresses=(ip_network(OURS), ip_network("2001:db8::10")), names=frozenset({"sip.provider.example"}))

ZONE = parse_zone(f"""
$ORIGIN example.
$TTL 600
@                SOA   ns hostmaster 1 3600 600 86400 300
@                NS    ns
ns               A     127.0.0.1
_sip._udp.hosted SRV   10 10 5060 edge
edge             A     {OURS}
address          A     {OURS}
elsewhere        A     198.51.100.7
""")


def free_endpoint(address: str = "127.0.0.1") -> Endpoint:
    """A port that the kernel chooses."""
    return Endpoint(address, 0)


_FIXED_PORTS = range(20_000, 32_768)
"""Below those that Linux gives to whoever asks for any: nobody is given one of these meanwhile."""


def free_port() -> int:
    """A port of loopback that nobody has now, over UDP or TCP: for what is there, gone, and there again."""
    while True:
        port = secrets.choice(_FIXED_PORTS)
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port


_PATIENCE = 3.0


def config_on(lab: Lab, **sections: Any) -> Config:
    """Defaults, but the lab as the only DNS server, a PDB face on a free port, and seconds until PENDING: the
    machine may be slow.

    A section given as a mapping changes single keys of these.
    """
    config = Config(
        own=OWN,
        listen=Listen(pdb=free_endpoint(), dns=None, admin=None, answer_within=_PATIENCE),
        dns=Dns(servers=(Endpoint(*lab.address),)),
        cache=Cache(),
        limits=Limits(),
        domains=Domains(store=""),
    )
    changed = {name: replace(getattr(config, name), **keys) for name, keys in sections.items()}
    return replace(config, **changed)


def as_kept(verdict: Verdict) -> Verdict:
    """A verdict other than HOSTED as the cache keeps it: without its steps."""
    return replace(verdict, steps=())


_RECEIVE_BUFFER = 4 * 1024 * 1024


class PdbClient:
    """One UDP socket that asks a PDB face and matches replies as Kamailio does, by name."""

    def __init__(self, server: Endpoint) -> None:
        family = trio.socket.AF_INET6 if ":" in server.address else trio.socket.AF_INET
        self._server = tuple(server)
        self.socket = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
        # Of the usual buffer the kernel may hold back a quarter, and then 200 replies fill it.
        self.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def __enter__(self) -> "PdbClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, frame: bytes) -> None:
        await self.socket.sendto(frame, self._server)

    async def receive(self) -> bytes:
        return await self.socket.recv(4096)

    async def ask(self, name: str | bytes, *, within: float = 5.0) -> VerdictKind:
        """The verdict on `HOST` or `HOST SOURCE`; fails after `within` seconds."""
        octets = name.encode() if isinstance(name, str) else name
        request = write_request(octets, secrets.randbelow(0x10000))
        with trio.fail_after(within):
            await self.send(request)
            while True:
                kind = read_reply(await self.receive(), request)
                if kind is not None:
                    return kind


def refusal(
    main: Callable[[Sequence[str]], object], arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """What a command says to a command line that is wrong: one line on stderr, and exit status 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    return said


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    """Wait for a condition that nothing announces; fails after `within` seconds."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(0.002)


async def until_true(condition: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> None:
    """The same for a condition that has to be asked for."""
    with trio.fail_after(within):
        while not await condition():  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(0.02)
