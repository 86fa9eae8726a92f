"""The commands of `fastvhost` as values, read from its own parser."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Argument", "Command", "commands_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One option, or one positional, which has no flag."""

    flag: str
    metavar: str
    """Empty for an option without a value."""
    text: str
    choices: tuple[str, ...]
    many: bool
    required: bool

    @property
    def is_file(self) -> bool:
        """Whether a file name completes it."""
        return self.metavar == "FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command by the words that call it; of no words, `fastvhost` itself."""

    words: tuple[str, ...]
    text: str
    after: str
    """Example and exit status, as `--help` has them."""
    arguments: tuple[Argument, ...]
    nested: tuple[str, ...]
    """The words of which one must follow."""


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """`fastvhost` itself and all of its commands, each before those within it."""
    return list(_commands(parser, (), ""))


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...], text: str) -> Iterator[Command]:
    nested: dict[str, argparse.ArgumentParser] = {}
    texts: dict[str, str] = {}
    arguments = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to be read
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            nested = dict(action.choices)
            texts = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            arguments.append(_argument(action))
    yield Command(
        words=words,
        text=text,
        after=parser.epilog or "",
        arguments=tuple(arguments),
        nested=tuple(nested),
    )
    for word, inner in nested.items():
        yield from _commands(inner, (*words, word), texts[word])


def _argument(action: argparse.Action) -> Argument:
    takes_value = action.nargs != 0
    choices = tuple(map(str, action.choices or ()))
    return Argument(
        flag=action.option_strings[-1] if action.option_strings else "",
        metavar=str(action.metavar or "|".join(choices) or action.dest.upper()) if takes_value else "",
        text=action.help or "",
        choices=choices,
        many=action.nargs == "+",
        required=not action.option_strings and action.nargs != "?",
    )
