"""The grammar of the command line: what it reads, and that every command of it is there."""

from fastvhost.cli import _COMMANDS
from fastvhost.command_line import command_parser
from fastvhost.domains_command.commands import COMMANDS
from tools.shipped.commands import commands_of


def test_every_command_that_is_read_is_one_that_runs() -> None:
    nested = {command.words: command.nested for command in commands_of(command_parser())}
    assert nested[()] == tuple(_COMMANDS)
    assert nested[("domains",)] == tuple(COMMANDS)


def test_command_line_that_is_read_names_its_command_and_what_its_failure_is() -> None:
    read = command_parser().parse_args(["domains", "verify", "a.test"])
    assert (read.command, read.domains_command, read.domains, read.fault) == (
        "domains",
        "verify",
        ["a.test"],
        3,
    )
    assert command_parser().parse_args(["check-config", "x"]).fault == 2
