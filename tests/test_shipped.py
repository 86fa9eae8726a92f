"""Manual pages and completions: as the code is, as their readers want them, and used in real shells."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastvhost.command_line import command_parser
from fastvhost.config import LogLevel
from tools.shipped.__main__ import PACKAGING, shipped
from tools.shipped.commands import commands_of

PAGES = ["fastvhost.1", "fastvhost.toml.5"]
BASH, ZSH, FISH = (
    PACKAGING / "completions" / name for name in ("fastvhost.bash", "_fastvhost", "fastvhost.fish")
)


def said(command: Sequence[str], folder: Path | None = None) -> str:
    """What a program that ends well prints, on either stream."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=30)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.parametrize("name", shipped())
def test_file_is_as_the_code_makes_it(name: str) -> None:
    assert (PACKAGING / name).read_text() == shipped()[name], "run `make shipped`"


@pytest.mark.server("mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_page_has_nothing_that_mandoc_warns_of(name: str) -> None:
    assert said(["mandoc", "-T", "lint", "-W", "warning", str(PACKAGING / name)]) == ""


@pytest.mark.server("mandoc")
def test_page_names_every_command_with_every_option_and_its_example() -> None:
    shown = said(["mandoc", "-T", "ascii", "-O", "width=200", str(PACKAGING / "fastvhost.1")])
    text = "".join(after for after, before in zip(shown, shown[1:] + " ", strict=True) if before != "\b")
    text = text.replace("\b", "")
    for command in commands_of(command_parser()):
        if command.words and not command.nested:
            lines = [line for line in text.splitlines() if line.startswith(f"     {' '.join(command.words)}")]
            assert len(lines) == 1, command.words
            for argument in command.arguments:
                assert argument.flag in lines[0]
                assert argument.metavar in lines[0]
            assert f"fastvhost {' '.join(command.words)} " in text


def test_log_levels_on_the_command_line_are_those_of_the_file() -> None:
    (serve,) = [command for command in commands_of(command_parser()) if command.words == ("serve",)]
    (argument,) = [one for one in serve.arguments if one.flag == "--log-level"]
    assert list(argument.choices) == [level.value for level in LogLevel]


LINES = [
    (
        "fastvhost ",
        {"serve", "reload", "query", "top", "explain", "check-config", "domains", "--version", "--help"},
    ),
    ("fastvhost se", {"serve"}),
    ("fastvhost serve --log-level ", {"info", "warning", "error"}),
    ("fastvhost serve --log-level wa", {"warning"}),
    ("fastvhost serve --config f", {"file.toml"}),
    ("fastvhost check-config f", {"file.toml"}),
    ("fastvhost query --t", {"--timeout"}),
    ("fastvhost domains re", {"remove", "reject"}),
    ("fastvhost domains list --state re", {"rejected", "removed"}),
    ("fastvhost domains --", {"--help"}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file.toml").touch()
    return tmp_path


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_bash_offers(folder: Path, line: str, expected: set[str]) -> None:
    script = (
        f"source {BASH}; COMP_WORDS=({line}); [[ '{line}' == *' ' ]] && COMP_WORDS+=('');"
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fastvhost; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    assert set(said(["bash", "-u", "-c", script], folder).split()) == expected


@pytest.mark.server("fish")
@pytest.mark.parametrize(("line", "expected"), LINES)
def test_fish_offers(folder: Path, line: str, expected: set[str]) -> None:
    offered = said(["fish", "--no-config", "-c", f"source {FISH}; complete -C '{line}'"], folder)
    words = {each.split("\t")[0] for each in offered.splitlines()}
    assert words >= {word for word in expected if not word.startswith("--") or "--" in line} - {"--help"}
    assert words - expected == set()


_ZSH = """
autoload -Uz compinit; compinit -D -u
_arguments() { print -l -- "$@" "$CURRENT $words" }
_describe() { print -l -- "${(@P)2}" }
words=(LINE); CURRENT=${#words}; [[ 'LINE' == *' ' ]] && { words+=(''); CURRENT=$#words }
source FILE
"""


@pytest.mark.server("zsh")
def test_zsh_is_told_of_words_options_and_files() -> None:
    def told(line: str) -> str:
        return said(["zsh", "-f", "-c", _ZSH.replace("LINE", line).replace("FILE", str(ZSH))])

    assert "serve:Answer until SIGTERM or SIGINT.\n" in told("fastvhost ")
    assert "--log-level[instead of log.level]:info|warning|error:(info warning error)\n" in told(
        "fastvhost serve "
    )
    assert "reject:Serve domains no more" in told("fastvhost domains ")
    assert "*:DOMAIN:\n" in told("fastvhost domains approve ")
    approve = told("fastvhost domains approve --config f a.test ")
    assert approve.endswith("\n5 approve --config f a.test \n"), "positionals count from the command"
    assert ":FILE:_files\n" in told("fastvhost check-config ")
