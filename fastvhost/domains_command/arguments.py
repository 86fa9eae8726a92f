"""The command line of `fastvhost domains`: its commands and their arguments, and no more.

Each start of `fastvhost` passes through here, so nothing is imported that a command needs.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["add_domain_commands"]

_USAGE = 2
_UNDECIDED = 3

_STATES = ("active", "pending", "disabled", "rejected", "removed")

_VERIFY_EXIT_CODES = """exit status, the highest for several domains:
  0  HOSTED
  1  NOT_HOSTED
  2  usage or configuration error
  3  anything undecided
"""


def add_domain_commands(
    domains: argparse.ArgumentParser, *, add_config: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the commands to the parser of `domains`; what it reads has `domains_command` and `fault`."""
    commands = domains.add_subparsers(dest="domains_command", metavar="COMMAND")

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  fastvhost domains {example}\n",
        )
        added.set_defaults(fault=_USAGE)
        add_config(added)
        return added

    listing = command("list", "List what the store knows, by name.", "list --state pending")
    listing.add_argument("--state", choices=_STATES, help="those in this state only")
    _add_json(listing)

    show = command("show", "Show all that is known of a domain; exit 1 when nothing is.", "show example.com")
    _add_domain(show)
    _add_json(show)

    _add_domain(command("add", "Serve a domain on your word.", "add example.com"))
    _add_domain(
        command(
            "remove",
            "Serve a domain no more and forget it. DNS may teach it again: see `reject`.",
            "remove example.com",
        )
    )
    _add_domains(command("approve", "Serve domains that wait or were rejected.", "approve example.com"))
    _add_domains(
        command("reject", "Serve domains no more and never learn them again.", "reject spam.example")
    )

    confirm = command(
        "confirm",
        "Disable what DNS has proved to be gone and the brake is holding.",
        "confirm --dry-run",
    )
    confirm.add_argument("--dry-run", action="store_true", help="only show them")

    _add_domain(command("token", "Print the TXT record that proves a domain's consent.", "token example.com"))

    verify = command("verify", "Ask DNS about domains now, and note the outcome.", "verify example.com")
    verify.epilog = f"{verify.epilog}\n{_VERIFY_EXIT_CODES}"
    verify.set_defaults(fault=_UNDECIDED)
    _add_domains(verify)

    reading = command("import", "Write the domains of a CSV file, all or none.", "import domains.csv")
    reading.add_argument(
        "file", metavar="FILE", type=Path, help="as `export` writes; only `domain` must be there"
    )

    writing = command("export", "Write all domains as CSV.", "export domains.csv")
    writing.add_argument("file", metavar="FILE", type=Path, nargs="?", help="standard output without it")


def _add_domain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN")


def _add_domains(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domains", metavar="DOMAIN", nargs="+")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
