"""Readers of TOML values: each checks one value, or reads a table or a list by the readers of its parts.

A reader that refuses raises `NotAllowedError`, whose keys grow on the way up, so that whoever began knows
where the value stands.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from enum import Enum
from typing import TypeVar

__all__ = [
    "NotAllowedError",
    "Reader",
    "boolean",
    "integer",
    "list_of",
    "mapping",
    "not_allowed",
    "number",
    "one_of",
    "pair",
    "printable_text",
    "shown",
    "shown_key",
    "table",
]

_T = TypeVar("_T")

Reader = Callable[[object], _T]
"""Turns a value that tomllib found into the one that a section takes, or raises NotAllowedError."""

_MAX_SHOWN = 60
"""Characters of a value that an error message shows."""


class NotAllowedError(Exception):
    """What a reader refuses: `why` for the operator, `keys` from the table being read down to the value."""

    def __init__(self, why: str, *keys: str) -> None:
        super().__init__(why)
        self.why = why
        self.keys = keys


def not_allowed(value: object, allowed: str) -> NotAllowedError:
    return NotAllowedError(f"found {shown(value)}; allowed: {allowed}")


def shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # ValueError: 0x… with more digits than the interpreter prints
        return "<too large to show>"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def shown_key(key: str) -> str:
    return key if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_MAX_SHOWN}}}", key) else shown(key)


# Readers of a table, a list, a pair: each is made of the readers of its parts.


def table(build: Callable[..., _T], /, **readers: Reader[object]) -> Reader[_T]:
    """A table with these keys, all optional; `build` takes those that are there."""
    known = ", ".join(readers)

    def read(value: object) -> _T:
        if not isinstance(value, dict):
            raise not_allowed(value, f"a table of {known}")
        fields: dict[str, object] = {}
        for key, found in value.items():
            if key not in readers:
                nearest = get_close_matches(key.lower(), readers, n=1)
                hint = f"did you mean {nearest[0]}? " if nearest else ""
                raise NotAllowedError(f"unknown, with value {shown(found)}; {hint}allowed: {known}", key)
            try:
                fields[key] = readers[key](found)
            except NotAllowedError as error:
                raise NotAllowedError(error.why, key, *error.keys) from None
        return build(**fields)

    return read


def list_of(read_one: Reader[_T], what: str) -> Reader[tuple[_T, ...]]:
    """A list without its duplicates, in the order of the file."""

    def read(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list):
            raise not_allowed(value, f"a list of {what}")
        return tuple(dict.fromkeys(map(read_one, value)))

    return read


def pair(first: Reader[_T], second: Reader[_T], what: str) -> Reader[tuple[_T, _T]]:
    def read(value: object) -> tuple[_T, _T]:
        if not isinstance(value, list) or len(value) != 2:
            raise not_allowed(value, f"a list of two, {what}")
        return first(value[0]), second(value[1])

    return read


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise not_allowed(value, "true or false")
    return value


def integer(low: int, high: int) -> Reader[int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise not_allowed(value, f"an integer from {low} to {high:_}")
        return value

    return read


def number(low: float, high: float) -> Reader[float]:
    def read(value: object) -> float:
        # NaN fails the comparison, infinity the upper bound.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise not_allowed(value, f"a number from {low} to {high:_}")
        return float(value)

    return read


def printable_text(least: int, most: int) -> Reader[str]:
    def read(value: object) -> str:
        if (
            not isinstance(value, str)
            or not least <= len(value) <= most
            or not (value.isprintable() and value.isascii())
        ):
            raise not_allowed(value, f"printable ASCII text of {least} to {most} characters")
        return value

    return read


def mapping(key: Reader[str], value: Reader[_T], what: str) -> Reader[dict[str, _T]]:
    def read(found: object) -> dict[str, _T]:
        if not isinstance(found, dict):
            raise not_allowed(found, f"a table of {what}")
        return {key(name): value(item) for name, item in found.items()}

    return read


def one_of(words: type[Enum]) -> Reader[Enum]:
    def read(value: object) -> Enum:
        try:
            return words(value)
        except ValueError:
            raise not_allowed(value, " or ".join(f'"{word.value}"' for word in words)) from None

    return read
