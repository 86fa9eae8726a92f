"""The wall clock steps under a running daemon: ahead by a year, back before its own start, and home again."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from fastvhost.model import VerdictKind
from tests.chaos.form import long_form, report
from tests.chaos.zone import zone_of
from tests.daemon_process import running_daemon
from tests.support import OURS, PdbClient, until
from tools.dnslab import Lab, open_lab

DAY = 86_400

STAYS = [f"stays{number}.test" for number in range(5)]
GONE = "gone.test"
LATE = [f"late{number}.test" for number in range(3)]

pytestmark = [pytest.mark.server("faketime"), long_form]


def config(lab: Lab, folder: Path) -> str:
    host, port = lab.address
    return (
        f'[own]\naddresses = ["{OURS}"]\n[listen]\npdb = "127.0.0.1:0"\ndns = ""\nadmin = ""\n'
        f'answer_within = 5\n[dns]\nservers = ["{host}:{port}"]\n[limits]\nupstream_qps = 20_000\n'
        f'[domains]\nstore = "sqlite:///{folder}/fastvhost.db"\npoll = 0.1\n'
    )


class Clock:
    """The wall clock of a process under libfaketime; its monotonic clock stays the kernel's."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set it this far ahead of the true time, or back."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    @property
    def before(self) -> list[str]:
        """What starts a program under this clock."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        return [
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_NO_CACHE=1",
        ]


def records(folder: Path) -> dict[str, Any]:
    """What the store has of each domain, with whether the proxy is to serve it."""
    statement = (
        "SELECT known.*, row.id IS NOT NULL AS served FROM fastvhost_domain AS known "
        "LEFT JOIN domain AS row ON row.domain = known.domain"
    )
    engine = create_engine(f"sqlite:///{folder}/fastvhost.db", poolclass=NullPool)
    with engine.connect() as connection:
        return {row.domain: row for row in connection.execute(text(statement))}


async def test_clock_that_steps_a_year_ahead_and_two_back_loses_no_domain_and_checks_go_on(
    tmp_path: Path,
) -> None:
    clock = Clock(tmp_path)
    async with open_lab([zone_of([*STAYS, GONE, *LATE])], unknown="nxdomain") as lab:
        with ExitStack() as stack:
            entered = running_daemon(config(lab, tmp_path), before=clock.before)
            daemon = await trio.to_thread.run_sync(stack.enter_context, entered)
            client = stack.enter_context(PdbClient(daemon.pdb))

            async def learn(*hosts: str) -> None:
                for host in hosts:
                    assert await client.ask(host) is VerdictKind.HOSTED
                await until(lambda: set(hosts) <= records(tmp_path).keys(), within=30.0)

            async def all_are_checked_and_stay(shown: int) -> None:
                def checked() -> bool:
                    """One that is negative waits for its next check."""
                    now = datetime.now(UTC).timestamp() + shown
                    found = [row for row in records(tmp_path).values() if not row.negatives]
                    return all(abs(row.last_verified - now) < DAY for row in found)

                await until(checked, within=30.0)
                found = records(tmp_path).values()
                assert {(row.state, row.served) for row in found} == {("active", True)}
                for row in found:
                    assert await client.ask(row.domain) is VerdictKind.HOSTED
                assert await client.ask("none.invalid") is VerdictKind.NOT_HOSTED

            await learn(*STAYS, GONE)
            lab.replace_zones([zone_of(STAYS + LATE)])
            clock.step(365 * DAY)
            await until(lambda: records(tmp_path)[GONE].negatives == 1, within=30.0)
            assert records(tmp_path)[GONE].state == "active"
            await learn(LATE[0])
            await all_are_checked_and_stay(365 * DAY)
            lab.replace_zones([zone_of([*STAYS, GONE, *LATE])])
            clock.step(-365 * DAY)
            await all_are_checked_and_stay(-365 * DAY)
            await learn(LATE[1])
            daemon.stop()
            await trio.to_thread.run_sync(daemon.start)
            clock.step(0)
            await all_are_checked_and_stay(0)
            await learn(LATE[2])
            log = daemon.log()
            daemon.stop()
    assert "Traceback" not in log
    report(f"clock: {len(records(tmp_path))} domains through a step of a year ahead, two back and one ahead")
