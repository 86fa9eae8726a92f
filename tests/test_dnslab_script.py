"""Faults over time in the lab DNS server: scripts, when their changes come, and the marks that they leave."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support import ZONE, refusal
from tools.dnslab import (
    Effect,
    Fault,
    FaultRules,
    Lab,
    Mark,
    ScriptError,
    open_lab,
    parse_script,
    play,
    read_marks,
    read_script,
)
from tools.dnslab.__main__ import SCRIPT_BEGINS, main
from tools.dnslab.script import MAX_CHANGES, WORDS

SCRIPT = "10 s: slow 2 s; 20s: loss 30%\n\n 0.5 min: servfail  # all of it\n40 s: normal"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab([ZONE]) as lab:
        yield lab


def test_script_says_what_holds_from_when_on() -> None:
    changes = parse_script(SCRIPT)
    assert [(change.at, change.text) for change in changes] == [
        (10.0, "slow 2 s"),
        (20.0, "loss 30%"),
        (30.0, "servfail"),
        (40.0, "normal"),
    ]
    assert [change.faults for change in changes] == [
        (Fault(delay=2.0),),
        (Fault(effect=Effect.DROP, share=0.3),),
        (Fault(effect=Effect.SERVFAIL),),
        (Fault(),),
    ]


@pytest.mark.parametrize(
    ("what", "effect"),
    [
        ("normal", Effect.NONE),
        ("silent", Effect.DROP),
        ("servfail", Effect.SERVFAIL),
        ("refused", Effect.REFUSED),
        ("truncated", Effect.TRUNCATE),
        ("wrong-id", Effect.WRONG_ID_ONLY),
        ("forged", Effect.WRONG_ID_FIRST),
        ("lame", Effect.LAME),
    ],
)
def test_script_word_is_an_effect_on_all_names_or_on_a_share(what: str, effect: Effect) -> None:
    (change,) = parse_script(f"0 s: {what}")
    assert change.faults == (Fault(effect=effect),)
    (change,) = parse_script(f"0 s: {what} 12.5 %")
    assert change.faults == (Fault(effect=effect, share=0.125),)


def test_script_fault_for_a_name_holds_at_it_and_below_it_and_first_match_wins() -> None:
    (change,) = parse_script("100 ms: refused for Broken.example, slow 50 ms")
    assert change.at == pytest.approx(0.1)
    rules = FaultRules(change.faults)

    def met(owner: str) -> tuple[Effect, float]:
        fault = rules.choose(owner, "A", "udp")
        assert fault is not None
        return fault.effect, fault.delay

    assert met("broken.example") == met("_sip._udp.broken.example") == (Effect.REFUSED, 0.0)
    assert met("unbroken.example") == (Effect.NONE, 0.05)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1 to 1,000 changes, not 0"),
        (" ; \n# nothing", "1 to 1,000 changes, not 0"),
        ("servfail", "a change is `10 s: WORD`"),
        ("10: servfail", "with a time in ms, s or min"),
        ("-1 s: servfail", "with a time in ms, s or min"),
        ("10 s:", "a change is `10 s: WORD`"),
        ("86401 s: normal", "later than a day"),
        ("10 s: dead", "WORD is one of normal, slow, loss"),
        ("10 s: slow", "slow takes a time"),
        ("10 s: servfail 2 s", "only slow takes a time"),
        ("10 s: loss", "loss takes a share"),
        ("10 s: loss 101 %", "over 100 %"),
        ("10 s: silent for a..example", "no domain name"),
        ("10 s: silent,", "a fault is WORD"),
        ("10 s: silent; 10 s: normal", "'normal' at 10 s does not come after 'silent'"),
    ],
)
def test_script_that_is_none_is_one_line(text: str, why: str) -> None:
    with pytest.raises(ScriptError, match=why) as raised:
        parse_script(text)
    assert "\n" not in str(raised.value)


def test_script_of_as_many_changes_as_there_may_be_is_read() -> None:
    changes = [f"{number} s: normal" for number in range(MAX_CHANGES + 1)]
    assert len(parse_script("\n".join(changes[:-1]))) == MAX_CHANGES
    with pytest.raises(ScriptError, match="1 to 1,000 changes, not 1,001"):
        parse_script(";".join(changes))


def test_script_from_a_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "outage"
    path.write_text(SCRIPT)
    assert read_script(f"@{path}") == read_script(SCRIPT) == parse_script(SCRIPT)
    with pytest.raises(ScriptError, match="absent: cannot be read"):
        read_script(f"@{tmp_path / 'absent'}")


async def test_play_makes_each_change_at_its_instant(
    lab: Lab, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    made: list[tuple[float, str, list[Fault]]] = []
    await play(
        lab,
        parse_script(SCRIPT),
        lambda change: made.append((trio.current_time() - start, change.text, list(lab.faults))),
    )
    assert [at for at, _, _ in made] == [10.0, 20.0, 30.0, 40.0]
    assert [faults for _, _, faults in made] == [list(change.faults) for change in parse_script(SCRIPT)]


async def test_play_cancelled_leaves_what_holds(lab: Lab, autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(15.0) as scope:
        await play(lab, parse_script(SCRIPT), lambda _: None)
    assert scope.cancelled_caught
    assert list(lab.faults) == [Fault(delay=2.0)]


def test_marks_are_read_among_other_lines() -> None:
    east = timezone(timedelta(hours=2))
    marks = (
        Mark(datetime(2026, 11, 23, 10, 0, 0, 125_000, tzinfo=UTC), "loss 30 %"),
        Mark(datetime(2026, 11, 23, 12, 0, 1, tzinfo=east), "normal"),
    )
    log = f"listening on 127.0.0.1:53\n{marks[0]}\n2026-11-23T10:00:00+0000 INFO query\n{marks[1]}\n"
    assert read_marks(log) == marks
    assert str(marks[0]) == "2026-11-23T10:00:00.125+00:00 loss 30 %"


def test_every_word_of_a_script_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs/load-testing.md").read_text()
    rows = "".join(row for row in text.splitlines() if row.startswith("| `"))
    assert [word for word in WORDS if f"`{word}" not in rows] == []


def test_process_plays_its_script_from_the_signal_on(tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    zone.write_text("$ORIGIN example.\n@ 60 SOA ns h 1 1 1 1 30\n")
    command = [sys.executable, "-m", "tools.dnslab", "--zone", str(zone), "--hold", "--script"]
    with subprocess.Popen(
        [*command, "0 s: slow 5 ms; 1 ms: servfail"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline().startswith("listening on ")
            before = datetime.now(UTC)
            process.send_signal(signal.SIGUSR1)
            first, *lines = [process.stderr.readline() for _ in range(3)]
            assert first == f"{SCRIPT_BEGINS} 2 changes\n"
            marks = read_marks("".join(lines))
            assert [mark.text for mark in marks] == ["slow 5 ms", "servfail"]
            assert marks[0].instant >= before - timedelta(milliseconds=1)
            process.send_signal(signal.SIGUSR1)  # once is enough
            process.terminate()
            assert process.wait(20) == 0
            assert process.stderr.read().startswith("dnslab: 0 queries")
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--script", "10 s"], "a change is `10 s: WORD`"),
        (["--script", "1 s: normal", "--delay", "1"], "not with --drop or --delay"),
    ],
)
def test_command_line_with_a_wrong_script_is_one_line_and_exit_2(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why in refusal(main, ["--zone", "unread", *arguments], capsys)
