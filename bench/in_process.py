"""The in-process API under load: `Service.lookup`, called by as many tasks as a window has places.

    python -m bench.in_process --config FILE --hosts FILE

Runs are asked for by lines of JSON on stdin, such as {"unknown_share": 0.1, "window": 64, "seconds": 2.5},
and told as lines of JSON on stdout; before the first one every host has been looked up. It ends with stdin.
"""

import argparse
import json
import random
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import trio

from fastvhost.config_file import load_config
from fastvhost.service import Service, open_service

__all__ = ["main"]


class _Hosts:
    """Which host is looked up next: the known ones in one random order, and ever new ones."""

    def __init__(self, known: list[str]) -> None:
        self._order = random.Random(0)  # the same order in every run: runs are compared
        self._known = known[:]
        self._order.shuffle(self._known)
        self._run = secrets.token_hex(4)
        self._serial = count()
        self._repeated = self._repeat()

    def reader(self, unknown_share: float) -> Callable[[], str]:
        if not unknown_share:
            return self._repeated.__next__
        return lambda: self._new() if self._order.random() < unknown_share else next(self._repeated)

    def _new(self) -> str:
        return f"u{self._run}{next(self._serial):08}.invalid"

    def _repeat(self) -> Iterator[str]:
        while True:
            yield from self._known


async def _serve(config: Path, known: list[str]) -> None:
    hosts = _Hosts(known)
    async with open_service(load_config(config)) as service:
        for _ in range(2):
            warm = await _run(service, hosts.reader(0.0), window=32, seconds=inf, most=len(known))
        if warm["verdicts"] != {"HOSTED": len(known)}:
            sys.exit(f"once warm the hosts are {warm['verdicts']}")
        print("ready", flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            asked = json.loads(line)
            next_host = hosts.reader(asked["unknown_share"])
            figures = await _run(service, next_host, window=asked["window"], seconds=asked["seconds"])
            print(json.dumps(figures), flush=True)


async def _run(
    service: Service, next_host: Callable[[], str], *, window: int, seconds: float, most: int = sys.maxsize
) -> dict[str, Any]:
    verdicts: Counter[str] = Counter()
    started = trio.current_time()
    numbers = iter(range(most))

    async def look_up() -> None:
        for _ in numbers:
            verdict = await service.lookup(next_host())
            verdicts[verdict.kind.name] += 1
            if trio.current_time() - started >= seconds:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(window):
            nursery.start_soon(look_up)
    took = trio.current_time() - started
    return {
        "answers_per_second": round(verdicts.total() / took, 1),
        "seconds": round(took, 6),
        "answered": verdicts.total(),
        "lost": 0,
        "verdicts": verdicts,
    }


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.in_process")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--hosts", type=Path, required=True)
    arguments = parser.parse_args()
    trio.run(_serve, arguments.config, arguments.hosts.read_text().split())


if __name__ == "__main__":
    main()
