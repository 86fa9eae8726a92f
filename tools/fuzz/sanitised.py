"""One target in C under the address and undefined-behaviour sanitizers: random mutations of its corpus.

Coverage is not followed, since nothing here sees it in compiled code. A process of its own, which the parent
starts with the sanitizers' libraries loaded first.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fastvhost.faces import compiled
from fastvhost.resolve import compiled_queries
from tools.compile_batch import QUERIES, SOURCE, compile_batch
from tools.fuzz.registry import TARGETS, inputs_of, load

__all__ = ["compile_sanitised", "keep_current", "main", "mutated", "sanitised_environment"]

_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
_MOST_MUTATIONS = 8


_SOURCES = {"batch": SOURCE, "queries": QUERIES}
"""By target."""


def compile_sanitised(library: Path, name: str = "batch") -> str | None:
    """Make a target's library, whose code ends the process where it errs; or return why there is none."""
    return compile_batch(library, _SANITIZERS, source=_SOURCES[name])


def sanitised_environment() -> dict[str, str]:
    """What a process needs that loads such a library; leaks are not looked for: Python has its own."""
    libraries = [_library("libasan.so"), _library("libubsan.so")]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _library(name: str) -> str:
    compiler = os.environ.get("CC", "cc")
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def mutated(octets: bytes, others: Sequence[bytes], chance: random.Random, *, most: int) -> bytes:
    """`octets` with a few changes: octets put in, taken out, changed, or a part of another input."""
    changed = bytearray(octets)
    for _ in range(chance.randint(1, _MOST_MUTATIONS)):
        at = chance.randint(0, len(changed))
        match chance.randrange(4):
            case 0:
                changed[at:at] = chance.randbytes(chance.randint(1, 4))
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case 2:
                changed[at : at + 1] = chance.randbytes(1)
            case _:
                other = chance.choice(others)
                start = chance.randint(0, len(other))
                changed[at:at] = other[start : start + chance.randint(1, 64)]
    return bytes(changed[:most])


def main(name: str, seconds: str, seed: str, found: str, library: str) -> None:
    """Run the target `name` with `library` for `seconds`; the input of a fault is left in `found`."""
    if name == "queries":
        compiled_queries.LIBRARY = Path(library)
    else:
        compiled.LIBRARY = Path(library)
    target = TARGETS[name]
    check = load(target)
    chance = random.Random(int(seed) or None)
    inputs = [path.read_bytes() for path in inputs_of(name)]
    current = Path(found) / "current"
    ends = time.monotonic() + float(seconds)  # noqa: TID251 - no clock of the service
    count = 0
    while time.monotonic() < ends:  # noqa: TID251
        octets = mutated(chance.choice(inputs), inputs, chance, most=target.max_octets)
        current.write_bytes(octets)  # a sanitizer ends the process at once
        check(octets)
        count += 1
    current.unlink(missing_ok=True)
    print(f"stat::number_of_executed_units: {count}")


def keep_current(found: Path) -> None:
    """Keep the input that ended such a process, if one did."""
    current = found / "current"
    if current.exists():
        current.rename(found / f"crash-{sha256(current.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
