"""Fuzzing: each reader of octets that strangers choose is given octets that nobody would choose.

    python -m tools.fuzz                          every target, a minute in all
    python -m tools.fuzz dns reply --seconds 60   two of them, half a minute each

One file a target, with a function `check(octets)` that raises AssertionError where an invariant does not
hold. Atheris (libFuzzer) mutates what is in `tests/corpus/TARGET` and keeps what reaches new code in
`.fuzz/TARGET/corpus`. The target `batch`, which is in C, runs with the address and undefined-behaviour
sanitizers instead, on random mutations.

An input that breaks an invariant is left in `.fuzz/TARGET`. Copy it into `tests/corpus/TARGET`, named for
what is wrong: `tests/test_fuzz.py` runs all that is there, so it fails until the fault is mended, and stays.
"""
