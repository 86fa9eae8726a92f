"""How long the tests of chaos go on: a little each time, `make chaos` for as long as it takes."""

import os
import random
import secrets

import pytest

__all__ = ["ROUNDS", "SOAK_SECONDS", "long_form", "report", "seeded"]

long_form = pytest.mark.skipif(
    "FASTVHOST_CHAOS_ROUNDS" not in os.environ, reason="takes long: a part of make chaos"
)

ROUNDS = int(os.environ.get("FASTVHOST_CHAOS_ROUNDS", "1"))
"""How often the daemon is killed, for each database."""

SOAK_SECONDS = float(os.environ.get("FASTVHOST_CHAOS_SOAK", "3"))
"""How long the daemon is soaked once it is warm."""

_SEED = os.environ.get("FASTVHOST_CHAOS_SEED")


def seeded() -> random.Random:
    """The draws of one test. The seed is printed, and FASTVHOST_CHAOS_SEED repeats it."""
    seed = int(_SEED) if _SEED else secrets.randbelow(2**32)
    report(f"FASTVHOST_CHAOS_SEED={seed}")
    return random.Random(seed)


def report(what: str) -> None:
    """Say what happened: pytest shows it where the test fails, and `make chaos` where it passes."""
    print(what)  # noqa: T201 - captured
