"""The command line of a tool: as argparse reads it, but bad usage is one line."""

import argparse
from typing import NoReturn

__all__ = ["USAGE", "OneLineParser"]

USAGE = 2
"""Exit status of bad usage."""


class OneLineParser(argparse.ArgumentParser):
    """argparse prints its usage before an error; options may also be abbreviated there, here they may not."""

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """End the process with `message` on stderr and exit status 2."""
        self.exit(USAGE, f"{self.prog}: {message}\n")
