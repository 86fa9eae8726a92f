"""The log as lines: what they look like, which are written, and what is said of the others."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from ipaddress import ip_address

import pytest

from fastvhost.config import Log, LogFormat, LogLevel
from fastvhost.log import LimitedHandler, open_log
from fastvhost.model import Verdict, VerdictKind
from fastvhost.query_log import QueryLog

_log = logging.getLogger("fastvhost.somewhere")

HOSTED = Verdict(kind=VerdictKind.HOSTED, host="a.test", expires=0.0, reason="because")


@pytest.fixture
def stream() -> StringIO:
    return StringIO()


@pytest.fixture
def handler(stream: StringIO) -> Iterator[LimitedHandler]:
    level = logging.root.level
    with open_log(Log(per_minute=2), stream) as handler:
        yield handler
    logging.root.setLevel(level)


def lines(stream: StringIO) -> list[str]:
    """Without the time."""
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


def test_line_of_text_has_time_level_and_message(handler: LimitedHandler, stream: StringIO) -> None:
    _log.warning("%d wait", 3)
    time, rest = stream.getvalue().split(" ", 1)
    assert rest == "WARNING 3 wait\n"
    assert len(time) == len("2026-01-01T00:00:00+0000")


def test_line_of_json_has_fields(handler: LimitedHandler, stream: StringIO) -> None:
    handler.configure(Log(format=LogFormat.JSON))
    try:
        int("odd")
    except ValueError:
        _log.exception("a fault of %s", "ours\n")
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    assert fields.pop("traceback").endswith("with base 10: 'odd'")
    assert fields == {"level": "error", "logger": "fastvhost.somewhere", "message": "a fault of ours\n"}


@pytest.mark.parametrize(
    ("level", "written"),
    [
        (LogLevel.INFO, ["INFO a", "WARNING b", "ERROR c"]),
        (LogLevel.WARNING, ["WARNING b", "ERROR c"]),
        (LogLevel.ERROR, ["ERROR c"]),
    ],
)
def test_lines_below_the_level_are_not_written(
    handler: LimitedHandler, stream: StringIO, level: LogLevel, written: list[str]
) -> None:
    handler.configure(Log(level=level))
    _log.info("a")
    _log.warning("b")
    _log.error("c")
    assert lines(stream) == written


def test_kind_is_the_text_before_anything_is_put_in(handler: LimitedHandler, stream: StringIO) -> None:
    for number in range(9):
        _log.info("not learned: %s", f"host{number}")
    _log.info("something else")
    assert lines(stream) == ["INFO not learned: host0", "INFO not learned: host1", "INFO something else"]


def test_what_was_left_out_is_counted_before_the_next_line_after_the_minute(
    handler: LimitedHandler, stream: StringIO
) -> None:
    for after in (0.0, 1.0, 2.0, 3.0, 59.9, 60.0):
        record = _log.makeRecord(_log.name, logging.INFO, "", 0, "not learned: %s", (f"at {after}",), None)
        record.created = 1_000_000.0 + after
        handler.emit(record)
    assert lines(stream) == [
        "INFO not learned: at 0.0",
        "INFO not learned: at 1.0",
        "INFO 3 more lines were left out: not learned: %s",
        "INFO not learned: at 60.0",
    ]


def test_what_was_left_out_is_counted_at_the_end(stream: StringIO) -> None:
    level = logging.root.level
    with open_log(Log(per_minute=1), stream):
        for _ in range(3):
            _log.error("again")
    logging.root.setLevel(level)
    assert lines(stream) == ["ERROR again", "ERROR 2 more lines were left out: again"]
    _log.error("afterwards")
    assert "afterwards" not in stream.getvalue()


def test_queries_are_logged_beyond_the_limit_and_printable(handler: LimitedHandler, stream: StringIO) -> None:
    log = QueryLog(1.0)
    for _ in range(3):
        log("a.test\n\x1b[31m", ip_address("192.0.2.1"), HOSTED)
    assert lines(stream) == ["INFO query a.test\\n\\x1b[31m from 192.0.2.1: HOSTED"] * 3


def test_query_in_json_has_its_fields(handler: LimitedHandler, stream: StringIO) -> None:
    handler.configure(Log(format=LogFormat.JSON))
    QueryLog(1.0)("a.test", None, HOSTED)
    fields = json.loads(stream.getvalue())
    assert (fields["host"], fields["source"], fields["verdict"]) == ("a.test", "-", "HOSTED")


def test_queries_are_sampled(handler: LimitedHandler, stream: StringIO) -> None:
    drawn = iter([0.0, 0.25, 0.2499, 0.9])
    log = QueryLog(0.25, draw=lambda: next(drawn))
    for number in range(4):
        log(f"{number}.test", None, HOSTED)
    assert lines(stream) == [f"INFO query {number}.test from -: HOSTED" for number in (0, 2)]
