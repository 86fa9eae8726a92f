"""The package as it is in this checkout beside that of another commit, in turn, in under a minute: ratios.

    python -m bench.quick --base COMMIT

Both run on the same interpreter and packages, with the generator and the lab of this checkout.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.generator import Load, generate
from bench.processes import BenchError, Server
from bench.rig import ROOT, ZONE, Rig
from tools.load import LoadError
from tools.table import plain

__all__ = ["main"]

_HEADINGS = ("traffic", "base/s", "now/s", "now : base", "lowest", "highest")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout. Exit 2 and one line when a part does not come up."""
    arguments = _parser().parse_args(argv)
    try:
        base = arguments.base or _default_base()
        with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory, ExitStack() as stack:
            tree = stack.enter_context(_checkout(base, Path(directory) / "base"))
            rates = _measure(Rig(stack, Path(directory)), tree, arguments.runs, arguments.seconds)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()[-1:]
        print(f"bench.quick: {' '.join(error.cmd)}: {''.join(said)}", file=sys.stderr)
        return 2
    except (BenchError, LoadError, OSError) as error:
        print(f"bench.quick: {error}", file=sys.stderr)
        return 2
    print(f"base: {_git('log', '-1', '--format=%h %s', base)}\n")
    print(plain([_HEADINGS, *(_row(name, pairs) for name, pairs in rates.items())]))
    return 0


def _measure(rig: Rig, tree: Path, turns: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """By traffic, for each turn the answers a second of the base and of this checkout."""
    base = rig.start_daemon(rig.config("base", tree=tree), tree=tree)
    now = rig.start_daemon(rig.config("now"))
    rates: dict[str, list[tuple[float, float]]] = {}
    for turn in range(turns):
        for name, loads in _traffic(rig, base, now).items():
            # Who goes first changes: the second one finds the machine warm.
            pair = {at: generate(loads[at], seconds, rig.other_core) for at in ((0, 1), (1, 0))[turn % 2]}
            answers = pair[0]["answers_per_second"], pair[1]["answers_per_second"]
            print(f"{turn + 1}/{turns} {name}: {answers[0]:,.0f} and {answers[1]:,.0f}", file=sys.stderr)
            rates.setdefault(name, []).append(answers)
    return rates


def _traffic(rig: Rig, *servers: Server) -> dict[str, list[Load]]:
    """What is asked of each server."""
    return {
        "hits, PDB": [Load(port=server.ports[0], hosts=rig.hosts) for server in servers],
        "hits, DNS": [Load(port=server.ports[1], hosts=rig.hosts, zone=ZONE) for server in servers],
        "mixed, PDB": [
            Load(port=server.ports[0], hosts=rig.hosts, unknown_share=0.1, window=64) for server in servers
        ],
        "misses, PDB": [Load(port=server.ports[0], unknown_share=1.0, window=64) for server in servers],
    }


def _row(name: str, pairs: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    ratios = [now / base if base else float("inf") for base, now in pairs]
    return (
        name,
        *(f"{median(rate):,.0f}" for rate in zip(*pairs, strict=True)),
        *(f"{ratio:.3f}" for ratio in (median(ratios), min(ratios), max(ratios))),
    )


@contextmanager
def _checkout(commit: str, directory: Path) -> Iterator[Path]:
    """A work tree of `commit`, its hot path compiled if that of this checkout is.

    Raises:
        subprocess.CalledProcessError: there is no such commit.
    """
    _git("worktree", "add", "--detach", str(directory), commit)
    try:
        compiler = directory / "tools" / "compile_batch.py"
        if any((ROOT / "fastvhost" / "faces").glob("*.so")) and compiler.exists():
            subprocess.run([sys.executable, str(compiler)], check=True, capture_output=True, text=True)
        yield directory
    finally:
        _git("worktree", "remove", "--force", str(directory))


def _default_base() -> str:
    """Where this branch left main; on main itself the commit before."""
    try:
        base = _git("merge-base", "HEAD", "main")
    except subprocess.CalledProcessError:
        return "HEAD~1"
    return "HEAD~1" if base == _git("rev-parse", "HEAD") else base


def _git(*arguments: str) -> str:
    git = ("git", "-C", str(ROOT))
    return subprocess.run((*git, *arguments), check=True, capture_output=True, text=True).stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.quick", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--base", metavar="COMMIT", help="default: where this branch left main, or HEAD~1")
    add("--runs", type=int, default=3, help="of each (default: %(default)s)")
    add("--seconds", type=float, default=0.8, help="of one run (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
