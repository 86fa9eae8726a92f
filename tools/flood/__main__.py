"""A load test as a command: load on a daemon that runs, a report on stdout and in files."""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_endpoint
from fastvhost.errors import ConfigError
from fastvhost.one_line_parser import OneLineParser
from tools.dnslab.marks import Mark, read_marks
from tools.flood.errors import FloodError
from tools.flood.options import add_load, add_reports, check_reports, hosts_named, plan_of, write_reports
from tools.flood.running import flood
from tools.load import LoadError
from tools.load.face import add_face, face_of

__all__ = ["main"]

_NOTHING_ANSWERED = 1
_ADMIN_PORT = 5382

_EPILOG = """\
examples:
  python -m tools.flood --hosts hosts.txt --zipf 1 --rate 2000 --report load.html
  python -m tools.flood --hosts hosts.txt --random 0.5 --sources 198.51.100.0/24
  python -m tools.flood --axfr example.com@127.0.0.1:5300 --dns --seconds 60 --report load.json
  python -m tools.flood --hosts hosts.txt --marks lab.log        mark what python -m tools.dnslab changed

exit status: 0; 1 when not one reply came; 2 usage, or nothing listens there
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 or 1, and exits 2 on bad usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    marks: Path | None = arguments.marks
    try:
        check_reports(arguments.report)
        server, dialect = face_of(arguments)
        admin = Endpoint(server.address, _ADMIN_PORT)
        if arguments.admin is not None:
            admin = parse_endpoint(arguments.admin, default_port=_ADMIN_PORT, name="--admin")
        plan = plan_of(
            arguments,
            hosts_named(arguments),
            server,
            dialect,
            beyond_loopback=arguments.beyond_loopback,
        )
        report = flood(
            plan,
            title=f"{'PDB' if arguments.dns is None else 'DNS'} at {server}",
            admin=admin,
            marks=tuple if marks is None else lambda: _marks(marks),
            progress=None if arguments.quiet else sys.stderr,
        )
        write_reports(report, arguments.report)
    except (FloodError, LoadError, ConfigError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    return 0 if report.whole.answered else _NOTHING_ANSWERED


def _marks(path: Path) -> Sequence[Mark]:
    try:
        return read_marks(path.read_text(errors="replace"))
    except OSError as error:
        raise FloodError(f"--marks {path}: {error.strerror or error}") from error


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="flood", description="Load on a fastvhost that runs, and what it makes of it.", epilog=_EPILOG
    )
    add_face(parser)
    add = parser.add_argument
    add("--admin", metavar="ADDR:PORT", help="its admin face (default: port 5382 of the server's address)")
    add("--marks", type=Path, metavar="FILE", help="what tools.dnslab wrote to stderr: marks its changes")
    add(
        "--beyond-loopback",
        action="store_true",
        help="the server may be on another machine, which is yours to load",
    )
    add_load(parser, rate=1_000.0, seconds=10.0)
    add_reports(parser)
    return parser


if __name__ == "__main__":
    gc.disable()  # nothing here makes cycles, and a collection in the midst would be measured as the server's
    sys.exit(main())
