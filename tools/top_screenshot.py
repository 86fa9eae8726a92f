"""A picture of `fastvhost top` over a real service: python -m tools.top_screenshot docs/top.svg.

A lab DNS server, a service with its faces and a store, clients that ask for hosted hosts and one that asks
for made-up ones; five seconds of that, as a terminal would show them.
"""

import argparse
import random
import re
import tempfile
from collections.abc import Callable
from io import StringIO
from ipaddress import ip_network
from pathlib import Path

import trio
from rich.console import Console
from rich.terminal_theme import MONOKAI

from fastvhost.config import Config, Dns, Domains, Endpoint, Limits, Listen, Own
from fastvhost.query import ask
from fastvhost.service import open_service
from fastvhost.top.drawing import View, frame
from fastvhost.top.live import look
from tools.dnslab import Effect, Fault, open_lab, parse_zone

_HOSTS = [f"customer{number}.example" for number in range(8)]
_ZONE = parse_zone(
    "$ORIGIN example.\n$TTL 600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n"
    + "".join(f"{host.partition('.')[0]} A 203.0.113.10\n" for host in _HOSTS)
)

_FREE = Endpoint("127.0.0.1", 0)
_WIDTH, _HEIGHT = 100, 30
_SECONDS = 5.0


async def _ask_again_and_again(server: Endpoint, name: Callable[[], str]) -> None:
    while True:
        await trio.to_thread.run_sync(lambda: ask(server, name().encode(), timeout=1.0))
        await trio.sleep(0.001)


def _hosted() -> str:
    return f"{random.choice(_HOSTS)} 198.51.100.7"


def _made_up() -> str:
    source = f"192.0.2.{min(int(random.expovariate(0.2)), 250)}"
    return f"h{random.getrandbits(40):x}.bad{random.randrange(9)}.test {source}"


async def _picture(folder: Path) -> str:
    async with open_lab([_ZONE], unknown="nxdomain") as lab:
        config = Config(
            own=Own(addresses=(ip_network("203.0.113.10"),)),
            listen=Listen(pdb=_FREE, dns=_FREE, admin=_FREE),
            dns=Dns(servers=(Endpoint(*lab.address),)),
            limits=Limits(upstream_qps=400.0),
            domains=Domains(store=f"sqlite:///{folder}/top.db"),
        )
        lab.faults = [Fault(effect=Effect.SERVFAIL, name="*.bad8.test")]
        async with open_service(config) as service, trio.open_nursery() as nursery:
            server = service.admin_endpoint
            if server is None or service.pdb_endpoint is None:
                raise AssertionError("both faces are on")
            for name in (_hosted, _hosted, _hosted, _made_up):
                nursery.start_soon(_ask_again_and_again, service.pdb_endpoint, name)
            await trio.sleep(1.0)
            before = await look(server)
            await trio.sleep(_SECONDS)
            now = await look(server)
            nursery.cancel_scope.cancel()
    shown = View(server="127.0.0.1:5382", before=before, now=now, hint="every 5 s; q: quit")
    console = Console(
        width=_WIDTH,
        height=_HEIGHT,
        record=True,
        file=StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(frame(shown, width=_WIDTH, height=_HEIGHT))
    svg = console.export_svg(title="fastvhost top", theme=MONOKAI)
    # The fonts that rich names would be loaded from elsewhere.
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.top_screenshot", description=__doc__)
    parser.add_argument("file", metavar="FILE", type=Path)
    file: Path = parser.parse_args().file
    with tempfile.TemporaryDirectory(prefix="fastvhost-top-") as folder:
        file.write_text(trio.run(_picture, Path(folder)))


if __name__ == "__main__":
    main()
