"""A snapshot of a million verdicts: what it adds to the start, and whether answers wait while it is written.

    python -m bench.warm --entries 1_000_000 --output bench/results/warm.json

A fifth as many HOSTED verdicts are restored with them. Processor times do not depend on what else runs: of a
restoring, and of the steps between which others are answered while a snapshot is written. Latencies are those
of hits, in an open loop, of a daemon that writes snapshots all along and of one that writes none.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.command import Report, parse, parser_of, reported
from bench.generator import Load
from bench.open_loop import Latency, capacity, latencies, print_medians
from bench.processes import BenchError, free_port
from bench.rig import Rig
from bench.start import first_answer, with_byte_code
from fastvhost.cache import HostedEntry, KeptHosted, KeptUnknown, Piece, VerdictCache
from fastvhost.config import Cache, Config
from fastvhost.config_file import load_config
from fastvhost.model import Verdict, VerdictKind
from fastvhost.snapshot import (
    Snapshot,
    circumstances_of,
    read_snapshot,
    write_block,
    write_end,
    write_header,
)
from fastvhost.snapshot_blocks import payloads_of
from fastvhost.snapshot_file import Replacement

__all__ = ["main"]

_GOAL_SECONDS = 3.0
_GOAL_PAUSE_MS = 5.0
_PIECE = 1_000
_HOSTED_OF = 5
_TOLD_OF = 10
"""One unknown host in so many has a reason of its own."""
_NEVER, _ALL_ALONG = 86_400, 1
"""Seconds between two snapshots; one of a million takes ten."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; a table on stdout, JSON in a file. Exit 2 and one line when a part does not come up."""
    arguments = parse(_parser(), argv)
    command = f"python -m bench.warm --entries {arguments.entries} --runs {arguments.runs}"
    with reported(f"{command} --seconds {arguments.seconds:g}", arguments.output) as report:
        report.update(_measure(arguments.entries, arguments.runs, arguments.seconds))
    print(f"\nevery run: {arguments.output}")
    return 0


def _measure(entries: int, turns: int, seconds: float) -> Report:
    blocks = [write_block(payload) for piece in _pieces(entries) for payload in payloads_of(piece, 0.0)]
    total = entries + entries // _HOSTED_OF
    starts: dict[str, list[float]] = {"without": [], "with": []}
    runs: list[Latency] = []
    restoring, steps = _processor_seconds(blocks, total)
    with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        rig = Rig(stack, folder)
        environment = with_byte_code(folder / "byte-code")
        for turn in range(turns + 1):  # the first makes the byte code, and does not count
            for scene, took in starts.items():
                port = free_port()
                config = _with_snapshot(rig.config(f"start-{scene}", pdb_port=port), folder, every=_NEVER)
                octets = _put(load_config(config), blocks if scene == "with" else [], total)
                took.append(first_answer(config, port, rig, environment))
                if turn == 0:
                    took.clear()
    for scene, every in (("none is written", _NEVER), ("all along", _ALL_ALONG)):
        with tempfile.TemporaryDirectory(prefix="fastvhost-bench-") as name, ExitStack() as stack:
            rig = Rig(stack, Path(name))
            config = _with_snapshot(rig.config("warm"), Path(name), every=every)
            _put(load_config(config), blocks, total)
            daemon = rig.start_daemon(config)
            hits = Load(port=daemon.port, hosts=rig.hosts)
            most = capacity(hits, rig, seconds)
            runs += latencies(
                hits, daemon, rig, seconds, turns=turns, scene=scene, most=most, unknown_rate=1.0
            )
            resident = daemon.most_resident_octets()
    restore = sorted(starts["with"])[turns // 2] - sorted(starts["without"])[turns // 2]
    latency = print_medians(runs)
    print(f"\nto restore {total:,} entries, {octets / 1e6:,.0f} MB: {restore:.2f} s; goal: {_GOAL_SECONDS:g}")
    print(f"of that processor time, measured apart: {restoring:.2f} s")
    print(f"longest steps of writing, ms of processor time: {', '.join(f'{1e3 * one:.2f}' for one in steps)}")
    print(f"the most that was resident while writing: {resident / 1e6:,.0f} MB")
    return {
        "entries": total,
        "octets": octets,
        "goal_seconds": _GOAL_SECONDS,
        "goal_pause_ms": _GOAL_PAUSE_MS,
        "start_seconds": starts,
        "restore_seconds": restore,
        "restore_processor_seconds": restoring,
        "longest_steps_processor_seconds": steps,
        "resident_mb_at_most": resident / 1e6,
        **latency,
    }


def _processor_seconds(blocks: Sequence[bytes], entries: int) -> tuple[float, list[float]]:
    """To restore them; and for the longest steps of writing them again, the longest last."""
    gc.set_threshold(10_000, 20, 1_000_000_000)  # as the daemon has it
    octets = write_header(bytes(32), 0.0) + b"".join(blocks) + write_end(entries)
    cache = VerdictCache(Cache(hosted_entries=1_000_000))
    began = time.process_time()
    snapshot = read_snapshot(octets, bytes(32), now=0.0, wall=0.0, most=entries)
    if not isinstance(snapshot, Snapshot):
        raise BenchError(f"the snapshot cannot be read: {snapshot.why}")
    for piece in snapshot.pieces:
        cache.take_back(piece, 0.0)
    restoring = time.process_time() - began
    del snapshot
    steps = []
    began = time.thread_time()
    for piece in cache.pieces():
        for payload in payloads_of(piece, 0.0):
            write_block(payload)
        steps.append(time.thread_time() - began)
        began = time.thread_time()
    return restoring, sorted(steps)[-5:]


def _pieces(entries: int) -> Iterator[Piece]:
    for first in range(0, entries, _PIECE):
        numbers = range(first, min(first + _PIECE, entries))
        told = tuple(
            Verdict(
                kind=VerdictKind.NOT_HOSTED,
                host=f"h{number}.elsewhere{number % 997}.example",
                expires=3_600.0,
                reason=f"SRV _sip._udp.h{number}.elsewhere.example leads elsewhere",
            )
            for number in numbers[::_TOLD_OF]
        )
        absent = {
            f"h{number}.absent{number % 997}.example": 3_600.0 for number in numbers if number % _TOLD_OF
        }
        yield KeptUnknown(again=False, absent=absent, told=told)
        yield KeptHosted(entries=tuple(map(_hosted, range(first // _HOSTED_OF, numbers.stop // _HOSTED_OF))))


def _hosted(number: int) -> HostedEntry:
    host = f"h{number}.ours{number % 997}.example"
    verdict = Verdict(
        kind=VerdictKind.HOSTED,
        host=host,
        expires=3_600.0,
        reason=f"SRV _sip._udp.{host}: sip.example.net is one of own.names",
    )
    return HostedEntry(verdict, refresh_at=3_240.0, stale_until=90_000.0)


def _with_snapshot(config: Path, folder: Path, *, every: int) -> Path:
    keys = f'[cache]\nsnapshot = "{folder}/snapshot"\nsnapshot_every = {every}\nhosted_entries = 1_000_000\n'
    config.write_text(config.read_text().replace("[cache]\n", keys))
    return config


def _put(config: Config, blocks: Sequence[bytes], entries: int) -> int:
    """Put a snapshot there for the next start, none without blocks; its octets."""
    path = Path(config.cache.snapshot)
    path.unlink(missing_ok=True)
    if not blocks:
        return 0
    replacement = Replacement(path)
    made = circumstances_of(config.own, config.dns, config.dns.servers)
    replacement.write(write_header(made, time.time()))  # noqa: TID251 - the daemon's own
    replacement.write(b"".join(blocks))
    replacement.write(write_end(entries))
    replacement.commit()
    replacement.end()
    return replacement.octets


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("warm", __doc__)
    add = parser.add_argument
    add("--entries", type=int, default=1_000_000, metavar="N", help="unknown hosts (default: %(default)s)")
    add("--runs", type=int, default=3, help="of each start and rate (default: %(default)s)")
    add("--seconds", type=float, default=1.5, help="of one run (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
