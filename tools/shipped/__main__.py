"""Make what packages ship anew: python -m tools.shipped."""

from pathlib import Path

from fastvhost.command_line import command_parser
from tools.shipped.commands import commands_of
from tools.shipped.completions import bash_completion, fish_completion, zsh_completion
from tools.shipped.dashboard import dashboard
from tools.shipped.manual import command_page, configuration_page

__all__ = ["shipped"]

PACKAGING = Path(__file__).parents[2] / "packaging"


def shipped() -> dict[str, str]:
    """The text of each file by its path below `packaging`."""
    commands = commands_of(command_parser())
    return {
        "fastvhost.1": command_page(commands),
        "fastvhost.toml.5": configuration_page((PACKAGING / "fastvhost.toml").read_text()),
        "completions/fastvhost.bash": bash_completion(commands),
        "completions/_fastvhost": zsh_completion(commands),
        "completions/fastvhost.fish": fish_completion(commands),
        "grafana/fastvhost.json": dashboard(),
    }


if __name__ == "__main__":
    for name, text in shipped().items():
        path = PACKAGING / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
