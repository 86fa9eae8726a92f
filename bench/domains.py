"""The scale figure: a daemon that knows a million domains; how soon it answers, and in how much memory.

    python -m bench.domains --domains 1_000_000 --output bench/results/domains.json

The store is a SQLite file as `Store.put` would have left it, filled in bulk; no DNS query is sent.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

from bench.command import parse, parser_of, reported
from bench.processes import BenchError, Server, running, server_and_other_core
from fastvhost.config import Endpoint, Housekeeping
from fastvhost.domains.housekeeping import first_check, longest_wait
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.store import Store
from tools.load import Plan, run_load

__all__ = ["main"]

_ASKED = 30_000
"""Names of the load, each of them asked once before."""

_SWEPT = 128
"""Domains that a sweep asks the store for at one time."""

_BATCH = 500
"""Records of one revision, as the daemon writes them."""

_LISTED = 1_000
"""Lines of the first page of `fastvhost domains list`."""

_PEEKS = 5
_LEASE_SECONDS = 300.0
_MB = 1e6

_GOALS = {"start_seconds": 10.0, "resident_mb_at_start": 600.0, "resident_mb_after_asking": 600.0}
"""What issue 3 asks for at a million domains: less than these."""

# Nothing listens on the discard port, and nothing is due while it is measured.
_CONFIG = """\
[own]
names = ["sip.example.net"]
[listen]
pdb = "127.0.0.1:0"
dns = ""
admin = ""
[dns]
servers = ["127.0.0.1:9"]
[domains]
store = "{url}"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.domains --domains {arguments.domains:_}"
    with reported(command, arguments.output) as report:
        with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as directory:
            figures = _measure(Path(directory), arguments.domains, arguments.runs, arguments.seconds)
        report.update(figures=figures, goals=_GOALS)
        print("\n".join(_line(name, figure) for name, figure in figures.items()))
    print(f"\nall of it: {arguments.output}")
    return 0


def _measure(directory: Path, count: int, runs: int, seconds: float) -> dict[str, float]:
    file = directory / "known.db"
    url = f"sqlite:///{file}"
    print(f"filling: {count:,} domains", file=sys.stderr)
    _fill(file, url, count)
    config = directory / "fastvhost.toml"
    config.write_text(_CONFIG.format(url=url))
    figures = {"domains": float(count), "store_mb": file.stat().st_size / _MB}
    return figures | _served(config, count, runs, seconds) | _listed(config) | _queried(url)


# The store


def _domain(number: int) -> str:
    """Each of a registrable domain of its own, which costs the quotas most; every other one is longer."""
    return f"company-{number:07}.com" if number % 2 else f"sip.company-{number:07}.com"


def _fill(file: Path, url: str, count: int) -> None:
    """Known domains in SQLite, as `Store.put` leaves them: one is put, the others are its rows again.

    Raises:
        BenchError: `put` would change what is there, so it would have left something else.
    """
    with closing(Store(url, proxy="kamailio")) as store:
        store.prepare()
        now = _wall_now()
        store.put([_record(0, now)])
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            _repeat_row(connection, count, now)
        sample = [_record(number, now) for number in Random(0).sample(range(count), min(count, 1_000))]
        result = store.put(sample)
        if result.changed or result.refused or result.revision != _revision(count - 1):
            raise BenchError("the store that was filled is not one that put would have left")


def _record(number: int, now: float) -> DomainRecord:
    rules = Housekeeping()
    return DomainRecord(
        domain=_domain(number),
        state=DomainState.ACTIVE,
        first_seen=now,
        last_seen=now,
        last_verified=now,
        next_check=first_check(_domain(number), 3_600.0, now, rules),
        evidence="SRV of _sip._udp leads to sip.example.net port 5060",
    )


def _revision(number: int) -> int:
    return 1 + number // _BATCH


def _repeat_row(connection: sqlite3.Connection, count: int, now: float) -> None:
    (template,) = connection.execute("SELECT * FROM fastvhost_domain").fetchall()
    columns = [column for _, column, *_ in connection.execute("PRAGMA table_info(fastvhost_domain)")]
    row_id, modified = connection.execute("SELECT id, last_modified FROM domain").fetchone()

    def rows() -> Iterator[tuple[object, ...]]:
        row = dict(zip(columns, template, strict=True))
        for number in range(1, count):
            record = _record(number, now)
            row["domain"], row["next_check"] = record.domain, record.next_check
            row["revision"], row["row_id"] = _revision(number), row_id + number
            yield tuple(row.values())

    places = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO fastvhost_domain VALUES ({places})", rows())  # noqa: S608 - marks only
    connection.executemany(
        "INSERT INTO domain (id, domain, last_modified) VALUES (?, ?, ?)",
        ((row_id + number, _domain(number), modified) for number in range(1, count)),
    )
    connection.execute("UPDATE fastvhost_revision SET revision = ?", (_revision(count - 1),))


def _wall_now() -> float:
    """Wall-clock seconds since the epoch: records outlive the process."""
    return datetime.now(UTC).timestamp()


# The daemon


def _served(config: Path, count: int, runs: int, seconds: float) -> dict[str, float]:
    """Start, memory and answers; the daemon has a core of its own where there are two.

    Raises:
        BenchError: a known domain is not HOSTED.
    """
    core, other_core = server_and_other_core()
    if other_core is not None:
        os.sched_setaffinity(0, {other_core})
    some = Random(1).sample(range(count), min(count, _ASKED))
    names = tuple(_domain(number).encode() for number in some)
    command = [sys.executable, "-m", "fastvhost", "serve", "--config", str(config)]
    started = time.perf_counter()
    with running(command, ready=r"ready: PDB on .*:(\d+)", core=core) as server:
        _ask(server, names[:1])
        figures = {"start_seconds": time.perf_counter() - started}
        figures["resident_mb_at_start"] = server.resident_octets() / _MB
        _ask(server, names)
        figures["resident_mb_after_asking"] = server.resident_octets() / _MB
        endpoint = Endpoint("127.0.0.1", server.port)
        rates = []
        for _ in range(runs):
            load = run_load(Plan(server=endpoint, names=names, seconds=seconds))
            rates.append(load.answers_per_second)
        figures |= {"answers_per_second": median(rates), "lowest": min(rates), "highest": max(rates)}
        figures["resident_mb_at_most"] = server.most_resident_octets() / _MB
    return figures


def _ask(server: Server, names: tuple[bytes, ...]) -> None:
    plan = Plan(
        server=Endpoint("127.0.0.1", server.port), names=names, window=32, seconds=None, count=len(names)
    )
    verdicts = run_load(plan).as_json()["verdicts"]
    if verdicts != {"HOSTED": len(names)}:
        raise BenchError(f"of {len(names):,} known domains the verdicts are {verdicts}")


def _listed(config: Path) -> dict[str, float]:
    """Seconds from exec to the last line of the first page."""
    command = [sys.executable, "-m", "fastvhost", "domains", "list", "--config", str(config)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as listing:
        try:
            assert listing.stdout is not None
            lines = [listing.stdout.readline() for _ in range(_LISTED)]
            took = time.perf_counter() - started
        finally:
            listing.kill()
    if not lines[-1]:
        raise BenchError("`fastvhost domains list` ended within its first page")
    return {"list_page_seconds": took}


# The queries that recur


def _queried(url: str) -> dict[str, float]:
    """Milliseconds of each query that a running daemon repeats, with nobody else at the store."""
    now = _wall_now()
    wait = longest_wait(Housekeeping())

    def due(at: float) -> Callable[[], int]:
        return lambda: len(store.due(at, _SWEPT, _LEASE_SECONDS, horizon=at + wait))

    with closing(Store(url, proxy="kamailio")) as store:
        store.prepare()
        revision = store.load().revision
        return {
            "due_none_ms": _milliseconds(due(now), 0),
            "due_128_ms": _milliseconds(due(now + wait), _SWEPT),
            "changes_none_ms": _milliseconds(lambda: len(store.changes_since(revision).states), 0),
            "changes_batch_ms": _milliseconds(lambda: len(store.changes_since(revision - 1).states)),
            "census_ms": _milliseconds(store.census),
            "operator_rows_ms": _milliseconds(store.operator_rows),
            "operator_dids_ms": _milliseconds(store.operator_dids),
        }


def _milliseconds(call: Callable[[], object], expected: object = None) -> float:
    took = []
    for _ in range(_PEEKS):
        started = time.perf_counter()
        found = call()
        took.append(1e3 * (time.perf_counter() - started))
        if expected is not None and found != expected:
            raise BenchError(f"a query found {found}, and {expected} were to be found")
    return median(took)


def _line(name: str, figure: float) -> str:
    goal = f"   goal: under {_GOALS[name]:g}" if name in _GOALS else ""
    return f"{name:>26}  {figure:>12,.{0 if figure >= 1_000 else 2}f}{goal}"


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("domains", __doc__)
    add = parser.add_argument
    add("--domains", type=int, default=1_000_000, metavar="N", help="known ones (default: %(default)s)")
    add("--runs", type=int, default=5, help="of load (default: %(default)s)")
    add("--seconds", type=float, default=2.5, help="of one run of load (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
