"""Faults over time: a script of changes, from text to what holds when.

A script has changes, one a line or parted by `;`. Each says when it comes and what holds from then on, in
the place of all that held before; `#` begins a comment::

    10 s: slow 2 s
    20 s: loss 30 %; 30 s: servfail
    40 s: refused for broken.example, slow 100 ms 50 %      # half of the queries for other names
    1 min: normal
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import dns.exception
import dns.name

from tools.dnslab.errors import LabError
from tools.dnslab.faults import Effect, Fault

__all__ = ["WORDS", "Change", "ScriptError", "parse_script", "read_script"]

MAX_CHANGES = 1_000
LATEST = 86_400.0
"""Seconds; a day."""

_EFFECTS = {
    "normal": Effect.NONE,
    "slow": Effect.NONE,
    "loss": Effect.DROP,
    "silent": Effect.DROP,
    "servfail": Effect.SERVFAIL,
    "refused": Effect.REFUSED,
    "truncated": Effect.TRUNCATE,
    "wrong-id": Effect.WRONG_ID_ONLY,
    "forged": Effect.WRONG_ID_FIRST,
    "lame": Effect.LAME,
}
WORDS = tuple(_EFFECTS)
"""What a change can say."""

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_TIME = rf"({_NUMBER})\s*(ms|s|min)"
_WHEN = re.compile(_TIME)
_CLAUSE = re.compile(
    rf"(?P<word>[a-z-]+)(?:\s+(?P<time>{_TIME}))?(?:\s+(?P<percent>{_NUMBER})\s*%)?(?:\s+for\s+(?P<name>\S+))?"
)


class ScriptError(LabError):
    """A script cannot be read: its author must edit what the message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What holds from an instant on."""

    at: float
    """Seconds since the start of the script, up to a day."""
    text: str
    """As the script says it."""
    faults: tuple[Fault, ...]
    """In the place of all faults before; the first that meets a query counts."""


def read_script(argument: str) -> tuple[Change, ...]:
    """The script that a command line has: its text, or `@FILE`.

    Raises:
        ScriptError: the file cannot be read, or the script is wrong.
    """
    if not argument.startswith("@"):
        return parse_script(argument)
    try:
        text = Path(argument[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{argument[1:]}: cannot be read: {error}") from error
    return parse_script(text)


def parse_script(text: str) -> tuple[Change, ...]:
    """The changes, at least one, in ascending order of time.

    Raises:
        ScriptError: it is no script, or its times do not ascend.
    """
    lines = (line.partition("#")[0] for line in text.splitlines())
    changes = [_change(each.strip()) for line in lines for each in line.split(";") if each.strip()]
    if not 0 < len(changes) <= MAX_CHANGES:
        raise ScriptError(f"a script has 1 to {MAX_CHANGES:,} changes, not {len(changes):,}")
    for earlier, later in pairwise(changes):
        if later.at <= earlier.at:
            raise ScriptError(f"{later.text!r} at {later.at:g} s does not come after {earlier.text!r}")
    return tuple(changes)


def _change(text: str) -> Change:
    when, colon, what = (part.strip() for part in text.partition(":"))
    time = _WHEN.fullmatch(when)
    if time is None or not colon or not what:
        raise ScriptError(f"{text!r}: a change is `10 s: WORD`, with a time in ms, s or min")
    at = float(time[1]) * _UNITS[time[2]]
    if at > LATEST:
        raise ScriptError(f"{text!r}: later than a day")
    faults = [fault for clause in what.split(",") for fault in _faults(clause.strip())]
    return Change(at=at, text=what, faults=tuple(faults))


def _faults(clause: str) -> Sequence[Fault]:
    found = _CLAUSE.fullmatch(clause)
    if found is None or found["word"] not in _EFFECTS:
        raise ScriptError(
            f"{clause!r}: a fault is WORD [TIME] [SHARE %] [for NAME]; WORD is one of {', '.join(WORDS)}"
        )
    word, time, percent = found["word"], found["time"], found["percent"]
    if (word == "slow") is not (time is not None):
        raise ScriptError(f"{clause!r}: {'slow' if word == 'slow' else 'only slow'} takes a time")
    if word == "loss" and percent is None:
        raise ScriptError(f"{clause!r}: loss takes a share, in per cent")
    delay = float(found[3]) * _UNITS[found[4]] if time is not None else 0.0
    share = 1.0 if percent is None else float(percent) / 100.0
    if share > 1.0:
        raise ScriptError(f"{clause!r}: over 100 %")
    names = _scope(clause, found["name"])
    return [Fault(effect=_EFFECTS[word], name=name, delay=delay, share=share) for name in names]


def _scope(clause: str, name: str | None) -> Sequence[str]:
    """A domain and all below it."""
    if name is None:
        return ("*",)
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise ScriptError(f"{clause!r}: {name!r} is no domain name") from error
    return (name, f"*.{name.removesuffix('.')}")
