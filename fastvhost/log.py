"""The daemon's log: lines of text or of JSON, so many of a kind in a minute."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from fastvhost.config import Log, LogFormat
from fastvhost.log_limit import LineLimit

__all__ = ["LimitedHandler", "open_log"]

_SAMPLED = "fastvhost.query_log"
"""Whose lines are as many as the operator has asked for."""

_Kind = tuple[str, int, str]
"""Logger, level and the text before anything is put in."""


@contextmanager
def open_log(log: Log, stream: TextIO) -> Iterator["LimitedHandler"]:
    """Have everything logged to `stream` while the block lasts."""
    handler = LimitedHandler(stream, log)
    logging.root.addHandler(handler)
    try:
        yield handler
    finally:
        handler.write_left_out()
        logging.root.removeHandler(handler)


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes lines; those over `log.per_minute` of their kind are counted instead."""

    def __init__(self, stream: TextIO, log: Log) -> None:
        super().__init__(stream)
        self._limit: LineLimit[_Kind] = LineLimit(log.per_minute)
        self.configure(log)

    def configure(self, log: Log) -> None:
        """Write by this section from now on."""
        self.write_left_out()
        self._limit = LineLimit(log.per_minute)
        self.setFormatter(_formatter(log.format))
        logging.root.setLevel(log.level.value.upper())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, after those on what was left out of minutes that are over."""
        if record.name != _SAMPLED:
            self._write_left_out(self._limit.ended(record.created))
            kind = (record.name, record.levelno, str(record.msg))
            if not self._limit.admits(kind, record.created):
                return
        super().emit(record)

    def write_left_out(self) -> None:
        """Write how many lines were left out of the minutes that are not over."""
        self._write_left_out(self._limit.end())

    def _write_left_out(self, left_out: Iterable[tuple[_Kind, int]]) -> None:
        for (name, level, text), count in left_out:
            line = f"{count} more lines were left out: {text}"
            super().emit(logging.LogRecord(name, level, "", 0, line, None, None))


def _formatter(log_format: LogFormat) -> logging.Formatter:
    if log_format is LogFormat.JSON:
        return _JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")


class _JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message; traceback; a query's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields | getattr(record, "query", {}))
