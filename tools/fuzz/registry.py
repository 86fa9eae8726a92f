"""The targets by name. Nothing of fastvhost is imported here: the fuzzer instruments what it imports."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

__all__ = ["CORPUS", "TARGETS", "Check", "Target", "inputs_of", "load"]

CORPUS = Path(__file__).parents[2] / "tests" / "corpus"
"""A directory for each target: seeds that are real messages, and the inputs of faults that were mended."""

Check = Callable[[bytes], None]
"""Raises AssertionError, or anything else, where an invariant does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader of octets."""

    module: str
    """Of the function `check`."""
    max_octets: int
    """Of an input: beyond it the reader has nothing new to do."""
    in_c: bool = False
    """Whether what is tested is compiled: sanitizers see into it, coverage does not."""


TARGETS: Mapping[str, Target] = {
    "pdb": Target(module="tools.fuzz.pdb", max_octets=300),
    "dns": Target(module="tools.fuzz.dns_face", max_octets=700),
    "evapi": Target(module="tools.fuzz.evapi", max_octets=4_300),
    "reply": Target(module="tools.fuzz.reply", max_octets=2_000),
    "host": Target(module="tools.fuzz.host", max_octets=300),
    "attributes": Target(module="tools.fuzz.attributes", max_octets=1_500),
    "snapshot": Target(module="tools.fuzz.snapshot", max_octets=1_000),
    "batch": Target(module="tools.fuzz.batch", max_octets=400, in_c=True),
    "queries": Target(module="tools.fuzz.queries", max_octets=400, in_c=True),
}


def load(target: Target) -> Check:
    """Import the target."""
    return cast("Check", importlib.import_module(target.module).check)


def inputs_of(name: str) -> list[Path]:
    """What is kept for the target, by file name."""
    return sorted((CORPUS / name).iterdir())
