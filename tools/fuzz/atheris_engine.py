"""One target under atheris: a process of its own, for libFuzzer ends it when the time is over."""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

from tools.fuzz.registry import CORPUS, TARGETS, load

__all__ = ["main"]

_SLOWEST = 60
"""Seconds that one input may take on the slowest of machines."""

_MOST_MEMORY = 1_024
"""MiB."""


def main(name: str, seconds: str, seed: str, found: str) -> None:
    """Fuzz the target `name` for whole `seconds`; inputs go to the directory `found`. Never returns."""
    target = TARGETS[name]
    with atheris.instrument_imports(include=["fastvhost"]):
        check = load(target)
    corpus = Path(found) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={target.max_octets}",
        f"-timeout={_SLOWEST}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(CORPUS / name)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
