"""A command line as argparse reads it, but wrong usage is one line: what was found, where, what is allowed.

Made of argparse alone: the project's tools read theirs with it too.
"""

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

__all__ = ["USAGE", "OneLineParser"]

USAGE = 2
"""Exit status of wrong usage."""


class OneLineParser(argparse.ArgumentParser):
    """argparse prints its usage before an error; options may also be abbreviated there, here they may not.

    The parsers of its commands are such parsers, too. A command that must be there is one that has a `dest`,
    and is not `required`: argparse would not say which there are.
    """

    def __init__(self, *, prog: str, description: str, epilog: str, **more: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=formatter,
            allow_abbrev=False,
            **more,
        )

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does, but what is not known ends the process: only here is it known whose it was."""
        read, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"found {unknown[0]!r}; allowed: {', '.join(map(_name, self._actions))}")
        for action in self._actions:
            if action.nargs == argparse.PARSER and getattr(read, action.dest) is None:
                self.error(f"{_name(action)}: missing; allowed: {_choices(action)}")
        return read, unknown

    def error(self, message: str) -> NoReturn:
        """End the process with `message` on stderr and exit status 2."""
        self.exit(USAGE, f"{self.prog}: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # argparse's own words differ from one version of Python to the next.
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"found {value!r}; allowed: {_choices(action)}")


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)


def _choices(action: argparse.Action) -> str:
    return ", ".join(map(str, action.choices or ()))
