"""The command line: which commands there are and what they take, and no more.

Each start of `fastvhost` passes through here, so nothing is imported that only one command needs.
"""

import argparse
from math import nan
from pathlib import Path

from fastvhost import __version__
from fastvhost.domains_command.arguments import add_domain_commands
from fastvhost.one_line_parser import USAGE, OneLineParser

__all__ = ["DEFAULT_CONFIG", "UNDECIDED", "command_parser"]

DEFAULT_CONFIG = Path("/etc/fastvhost.toml")
_DEFAULT_PID_FILE = Path("/run/fastvhost/fastvhost.pid")

UNDECIDED = 3
"""Exit status, with those of verdicts and `USAGE`."""

_LOG_LEVELS = ("info", "warning", "error")

_EXIT_CODES = """exit status:
  0  HOSTED
  1  NOT_HOSTED
  2  usage or configuration error
  3  anything undecided, or no reply
"""


def command_parser() -> OneLineParser:
    """All commands and their arguments.

    What it reads has `command`, and for `domains` also `domains_command`; and `fault`, the exit status where
    the command fails.
    """
    parser = OneLineParser(
        prog="fastvhost",
        description="Is this SIP host one of ours? Decided from DNS by RFC 3263.",
        epilog="`fastvhost COMMAND --help` shows an example of each.",
    )
    parser.add_argument("--version", action="version", version=f"fastvhost {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, text: str, example: str, *, fault: int = USAGE) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, epilog=example)
        added.set_defaults(fault=fault)
        return added

    serve = command(
        "serve",
        "Answer until SIGTERM or SIGINT.",
        "example:\n  fastvhost serve --config fastvhost.toml\n",
    )
    _add_config(serve)
    serve.add_argument(
        "--pid-file", metavar="FILE", type=Path, help="written for `fastvhost reload`; none without it"
    )

    serve.add_argument("--log-level", choices=_LOG_LEVELS, help="instead of log.level")

    reload = command(
        "reload",
        "Have a running daemon read its configuration again; exit 2 and the reason when it refuses.",
        "example:\n  fastvhost reload --pid-file /run/fastvhost/fastvhost.pid\n",
    )
    reload.add_argument(
        "--pid-file",
        metavar="FILE",
        type=Path,
        default=_DEFAULT_PID_FILE,
        help=f"that of `fastvhost serve` ({_DEFAULT_PID_FILE})",
    )

    query = command(
        "query",
        "Ask a running daemon over PDB.",
        f"example:\n  fastvhost query example.com --source 198.51.100.7\n\n{_EXIT_CODES}",
        fault=UNDECIDED,
    )
    query.add_argument("host", metavar="HOST", help="the host of a SIP URI")
    query.add_argument("--source", metavar="ADDR", help="the SIP peer on whose budget it is asked")
    query.add_argument("--server", metavar="ADDR:PORT", help="where the daemon listens (127.0.0.1:5380)")
    query.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=1.0, help="for each of two attempts (1)"
    )

    top = command(
        "top",
        "Watch a running daemon: rates, latency, budgets, caches, DNS, who asks most. q quits.",
        "example:\n  fastvhost top --interval 5\n",
        fault=UNDECIDED,
    )
    _add_config(top)
    _add_admin_server(top)
    top.add_argument(
        "--interval", metavar="SECONDS", type=_seconds, default=2.0, help="between two looks (2)"
    )
    top.add_argument("--once", action="store_true", help="print one frame and end")

    explain = command(
        "explain",
        "Look a host up from scratch and show each step, or show what a running daemon believes of it.",
        f"example:\n  fastvhost explain example.com --config fastvhost.toml\n\n{_EXIT_CODES}",
        fault=UNDECIDED,
    )
    explain.add_argument("host", metavar="HOST", help="the host of a SIP URI")
    _add_config(explain)
    explain.add_argument("--json", action="store_true", help="as JSON: see docs/explain.md")
    explain.add_argument(
        "--daemon", action="store_true", help="what the daemon believes, from memory; nothing is looked up"
    )
    explain.add_argument(
        "--walk",
        action="store_true",
        help="with --daemon: and what DNS says now; the daemon does not keep it",
    )
    explain.add_argument("--source", metavar="ADDR", help="with --daemon: were this SIP peer to ask")
    _add_admin_server(explain, "with --daemon: ")

    check = command(
        "check-config",
        "Check a configuration file; exit 2 and one line when it is wrong.",
        "example:\n  fastvhost check-config fastvhost.toml\n",
    )
    check.add_argument("file", metavar="FILE", type=Path)

    text = "Look at the known domains and decide on them."
    add_domain_commands(
        commands.add_parser(
            "domains",
            help=text,
            description=text,
            epilog="example:\n  fastvhost domains list --state pending\n",
        ),
        add_config=_add_config,
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the configuration ({DEFAULT_CONFIG}; without it this machine's addresses are ours)",
    )


def _add_admin_server(parser: argparse.ArgumentParser, when: str = "") -> None:
    parser.add_argument(
        "--server",
        metavar="ADDR:PORT",
        help=f"{when}the daemon's admin face (listen.admin of the configuration, or 127.0.0.1:5382)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: more than 0 and at most 60 seconds")
    return seconds
