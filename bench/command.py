"""The benchmarks as commands: `--output`, a JSON report there, one line when a part does not come up."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

from bench.machine import circumstances
from bench.processes import BenchError
from tools.load import LoadError

__all__ = ["Report", "parse", "parser_of", "reported"]

_RESULTS = Path(__file__).with_name("results")

Report = dict[str, object]
"""What is written of a benchmark, for `json.dumps`."""


def parser_of(name: str, documentation: str) -> argparse.ArgumentParser:
    """Of `python -m bench.NAME`, told of by the first line of the module's documentation."""
    return argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=documentation.partition("\n")[0]
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, and as the last of them `--output`: by default NAME.json among the results."""
    results = _RESULTS / f"{parser.prog.rpartition('.')[2]}.json"
    parser.add_argument("--output", type=Path, default=results, metavar="FILE", help="the JSON report")
    return parser.parse_args(argv)


@contextmanager
def reported(command: str, output: Path, *failures: type[Exception]) -> Iterator[Report]:
    """A report of the circumstances for the block to add to; written when it ends.

    Args:
        command: `python -m bench.NAME` and the arguments that matter.
        failures: what else may go wrong, beside what may with every benchmark.

    Raises:
        SystemExit: a part did not come up, or it cannot be written: status 2, and one line on stderr.
    """
    report = circumstances(command)
    expected: tuple[type[Exception], ...] = (BenchError, LoadError, OSError, SubprocessError, *failures)
    try:
        yield report
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(report, indent=1) + "\n")
    except expected as error:
        print(f"{command.split()[2]}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
