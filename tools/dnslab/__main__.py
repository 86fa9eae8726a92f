"""The lab as a process: `python -m tools.dnslab --zone FILE`; serves till SIGINT or SIGTERM."""

import argparse
import signal
import sys
from collections.abc import Sequence

import trio

from tools.dnslab.errors import LabError
from tools.dnslab.faults import Effect, Fault
from tools.dnslab.lab import Lab
from tools.dnslab.opening import open_lab
from tools.dnslab.zones import Unknown, Zone, read_zone
from tools.one_line_parser import OneLineParser

__all__ = ["main"]


EPILOG = """\
example:
  python -m tools.dnslab --zone example.zone --port 5300 --unknown nxdomain
  dig @127.0.0.1 -p 5300 CH TXT queries.dnslab.      the number of queries so far; not counted itself
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 after SIGINT or SIGTERM, and exits 2 on bad usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        faults = _faults(arguments.only, drop=arguments.drop, delay=arguments.delay)
    except ValueError as error:
        parser.error(f"--drop or --delay: {error}")
    try:
        zones = [read_zone(path) for path in arguments.zone]
        lab = trio.run(_serve, zones, arguments.host, arguments.port, arguments.unknown, faults)
    except LabError as error:
        parser.error(str(error))
    print(_summary(lab), file=sys.stderr)
    return 0


async def _serve(zones: list[Zone], host: str, port: int, unknown: Unknown, faults: list[Fault]) -> Lab:
    """Serve till a signal comes, and return the lab for its counts."""
    # Signals first: one that comes right after the ready line must find its receiver.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_lab(zones, host=host, port=port, unknown=unknown) as lab:
            lab.faults.extend(faults)
            print(f"listening on {_address_text(lab.address)}", flush=True)
            await anext(aiter(signals))
    return lab


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="dnslab",
        description="A DNS server on loopback for tests, demos and benchmarks.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--zone", action="append", required=True, metavar="FILE", help="zone file; repeat for more"
    )
    parser.add_argument("--host", default="127.0.0.1", help="literal address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="UDP and TCP port (default: any that is free)")
    parser.add_argument(
        "--unknown",
        choices=("refused", "nxdomain"),
        default="refused",
        help="what is said of names outside every zone (default: %(default)s)",
    )
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="delay every reply")
    parser.add_argument(
        "--drop", type=float, default=0.0, metavar="SHARE", help="drop this share of queries, 0 to 1"
    )
    parser.add_argument(
        "--only", default="*", metavar="NAME", help="drop and delay only for a name, or all below it: *.NAME"
    )
    return parser


def _faults(name: str, *, drop: float, delay: float) -> list[Fault]:
    """First match wins: what is not dropped is delayed."""
    if not drop and not delay:
        return []
    return [Fault(effect=Effect.DROP, name=name, share=drop), Fault(name=name, delay=delay)]


def _address_text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _summary(lab: Lab) -> str:
    tally = lab.tally
    return (
        f"dnslab: {tally.total} queries ({tally.udp} UDP, {tally.tcp} TCP), {tally.malformed} malformed, "
        f"{tally.overflowed} over a bound, {tally.unsent} unsent"
    )


if __name__ == "__main__":
    sys.exit(main())
