"""The lab as a process: `python -m tools.dnslab --zone FILE`; serves till SIGINT or SIGTERM."""

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import trio

from fastvhost.one_line_parser import OneLineParser
from tools.dnslab.errors import LabError
from tools.dnslab.faults import Effect, Fault
from tools.dnslab.lab import Lab
from tools.dnslab.marks import Mark
from tools.dnslab.opening import open_lab
from tools.dnslab.play import play
from tools.dnslab.script import WORDS, Change, read_script
from tools.dnslab.zones import Zone, read_zone

__all__ = ["SCRIPT_BEGINS", "main"]

SCRIPT_BEGINS = "dnslab: the script begins:"
"""How the line begins that is written to stderr right then."""


EPILOG = f"""\
examples:
  python -m tools.dnslab --zone example.zone --port 5300 --unknown nxdomain
  dig @127.0.0.1 -p 5300 CH TXT queries.dnslab.      the number of queries so far; not counted itself
  python -m tools.dnslab --zone example.zone --script '10 s: slow 2 s; 20 s: loss 30 %; 30 s: normal'

A change of a script is `TIME: FAULT, FAULT…` and replaces the one before. A FAULT is WORD [TIME] [SHARE %]
[for NAME], NAME with all below it, and the first that meets a query counts. WORD is one of
{", ".join(WORDS)}. `;` or a new line parts changes; @FILE has
them in a file. Each change is a line on stderr, with its instant, when it comes.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 after SIGINT or SIGTERM, and exits 2 on bad usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        faults = _faults(arguments.only, drop=arguments.drop, delay=arguments.delay)
    except ValueError as error:
        parser.error(f"--drop or --delay: {error}")
    if arguments.script and faults:
        parser.error("--script: not with --drop or --delay, which it would replace")
    try:
        script = () if arguments.script is None else read_script(arguments.script)
        zones = [read_zone(path) for path in arguments.zone]
        lab = trio.run(_serve, zones, arguments, faults, script)
    except LabError as error:
        parser.error(str(error))
    print(_summary(lab), file=sys.stderr)
    return 0


async def _serve(
    zones: list[Zone], arguments: argparse.Namespace, faults: list[Fault], script: Sequence[Change]
) -> Lab:
    """Serve till a signal comes, and return the lab for its counts."""
    host, port, unknown = arguments.host, arguments.port, arguments.unknown
    started = not arguments.hold
    # Signals first: one that comes right after the ready line must find its receiver.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) as signals:
        async with open_lab(zones, host=host, port=port, unknown=unknown) as lab:
            lab.faults.extend(faults)
            print(f"listening on {_address_text(lab.address)}", flush=True)
            async with trio.open_nursery() as nursery:
                if started:
                    nursery.start_soon(_play, lab, script)
                async for number in signals:
                    if number != signal.SIGUSR1:
                        break
                    if not started:
                        started = True
                        nursery.start_soon(_play, lab, script)
                nursery.cancel_scope.cancel()
    return lab


async def _play(lab: Lab, script: Sequence[Change]) -> None:
    if script:
        print(f"{SCRIPT_BEGINS} {len(script)} changes", file=sys.stderr, flush=True)
        await play(lab, script, _announce)


def _announce(change: Change) -> None:
    print(Mark(datetime.now(UTC), change.text), file=sys.stderr, flush=True)


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
    parser.add_argument("--script", metavar="SCRIPT", help="faults over time; @FILE: from a file")
    parser.add_argument("--hold", action="store_true", help="start the script at SIGUSR1, not at once")
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
