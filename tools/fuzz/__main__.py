"""Targets one after the other, each in a process of its own; a line for each on stdout."""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fastvhost.one_line_parser import OneLineParser
from tools.fuzz.registry import TARGETS, inputs_of, load
from tools.fuzz.sanitised import compile_sanitised, keep_current, sanitised_environment

__all__ = ["main"]

_FAULT = 1
_SECONDS = 60
_FOUND = Path(".fuzz")
_GRACE = 180.0
"""Seconds beyond its own that a process may take to start and to end, on the slowest of machines."""

_COUNT = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
_LAST_LINES = 100
"""As many as a sanitizer has to say."""

_EPILOG = """\
examples:
  python -m tools.fuzz                       every target, ten seconds each
  python -m tools.fuzz dns --seconds 600     one of them
  python -m tools.fuzz dns --input FILE      one input once, with its traceback

exit status: 0; 1 where an invariant does not hold; 2 usage
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 or 1, and exits 2 on bad usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = arguments.target or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"{unknown[0]}: not one of {', '.join(TARGETS)}")
    if arguments.seconds < len(names):
        parser.error(f"--seconds {arguments.seconds}: at least one for each of {len(names)} targets")
    if arguments.input is not None:
        if len(names) != 1:
            parser.error("--input: name one target")
        try:
            octets = arguments.input.read_bytes()
        except OSError as error:
            parser.error(f"{arguments.input}: {error.strerror}")
        load(TARGETS[names[0]])(octets)
        return 0
    seconds = arguments.seconds // len(names)
    sound = [_fuzz(name, seconds, arguments.seed, arguments.found / name) for name in names]
    return 0 if all(sound) else _FAULT


def _fuzz(name: str, seconds: int, seed: int, found: Path) -> bool:
    """Whether every invariant of the target held."""
    found.mkdir(parents=True, exist_ok=True)
    if not TARGETS[name].in_c:
        command = ["tools.fuzz.atheris_engine", name, str(seconds), str(seed), str(found)]
        return _told(name, _run(command, None, seconds))
    with TemporaryDirectory() as directory:
        library = Path(directory) / f"lib{name}.so"
        why = compile_sanitised(library, name)
        if why is not None:
            print(f"{name:12} not compiled: {why}")
            return False
        command = ["tools.fuzz.sanitised", name, str(seconds), str(seed), str(found), str(library)]
        ran = _run(command, sanitised_environment(), seconds)
    if ran.returncode:
        keep_current(found)
    return _told(name, ran)


def _run(
    arguments: list[str], environment: dict[str, str] | None, seconds: int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + _GRACE,
        check=False,
    )


def _told(name: str, ran: subprocess.CompletedProcess[str]) -> bool:
    count = _COUNT.search(ran.stdout)
    if ran.returncode == 0 and count is not None:
        print(f"{name:12} {int(count[1]):>12,} inputs, {len(inputs_of(name))} of them kept", flush=True)
        return True
    print("\n".join(ran.stdout.splitlines()[-_LAST_LINES:]))
    print(f"{name:12} a fault: exit status {ran.returncode}", flush=True)
    return False


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="fuzz",
        description="Octets that nobody would choose, for every reader of octets that strangers choose.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("target", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    add("--seconds", type=int, default=_SECONDS, metavar="N", help="in all (default: %(default)s)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="the same inputs in the same order; 0: others each time",
    )
    add("--found", type=Path, default=_FOUND, metavar="DIR", help="for what is found (default: %(default)s)")
    add("--input", type=Path, metavar="FILE", help="only this input, once")
    return parser


if __name__ == "__main__":
    sys.exit(main())
