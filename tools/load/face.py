"""Which face is asked, as a command line says it."""

import argparse

from fastvhost.config import Endpoint
from fastvhost.config_file import parse_endpoint
from tools.load.dialect import Dialect
from tools.load.dns import Dns
from tools.load.pdb import Pdb

__all__ = ["add_face", "face_of"]


def add_face(parser: argparse.ArgumentParser) -> None:
    """The options `--server` and `--dns`."""
    add = parser.add_argument
    add("--server", default="127.0.0.1", metavar="ADDR:PORT", help="default: 127.0.0.1, port 5380 or 5381")
    add(
        "--dns",
        nargs="?",
        const="vhost.internal",
        metavar="ZONE",
        help='A of HOST.ZONE by DNS, not PDB; "" for the hosts themselves (default ZONE: %(const)s)',
    )


def face_of(arguments: argparse.Namespace) -> tuple[Endpoint, Dialect]:
    """The server, and what it speaks.

    Raises:
        ConfigError, LoadError: they are none.
    """
    dialect: Dialect = Pdb() if arguments.dns is None else Dns(arguments.dns)
    return (
        parse_endpoint(arguments.server, default_port=dialect.default_port, name="--server"),
        dialect,
    )
