"""What is said of wrong usage: one line, whatever was typed."""

import pytest

from fastvhost.one_line_parser import OneLineParser
from tests.support import refusal


@pytest.fixture
def parser() -> OneLineParser:
    made = OneLineParser(prog="tool", description="A tool.", epilog="example:\n  tool 1 --form json\n")
    made.add_argument("number", type=int, metavar="N")
    made.add_argument("--form", choices=("text", "json"))
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: N"),
        (["a\nb"], "argument N: invalid int value: 'a\\nb'"),
        (["1", "--form", "x\ny"], "argument --form: found 'x\\ny'; allowed: text, json"),
        (["1", "--form"], "argument --form: expected one argument"),
        (["1", "two\nlines"], "found 'two\\nlines'; allowed: --help, N, --form"),
        (["1", "--for", "json"], "found '--for'; allowed: --help, N, --form"),
    ],
)
def test_wrong_usage_names_what_was_found_and_what_is_allowed(
    parser: OneLineParser, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(parser.parse_args, arguments, capsys) == f"tool: {said}\n"


def test_command_that_is_missing_or_unknown_is_answered_by_those_that_there_are(
    parser: OneLineParser, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in ("begin", "end"):
        commands.add_parser(name, description=name, epilog="").add_argument("--fast", action="store_true")
    assert refusal(parser.parse_args, ["1"], capsys) == "tool: COMMAND: missing; allowed: begin, end\n"
    assert refusal(parser.parse_args, ["1", "stop"], capsys) == (
        "tool: argument COMMAND: found 'stop'; allowed: begin, end\n"
    )
    assert refusal(parser.parse_args, ["1", "begin", "--slow"], capsys) == (
        "tool N begin: found '--slow'; allowed: --help, --fast\n"
    )
    assert parser.parse_args(["1", "end", "--fast"]).command == "end"
