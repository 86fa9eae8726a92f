"""How text is laid out for people: how wide, in which characters and colours.

What is shown comes from DNS and from clients. Nothing of it may break a line, pass the margin or talk to the
terminal.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TextIO
from unicodedata import combining, east_asian_width

__all__ = ["Look", "Paragraph", "Style", "look_for"]

_WIDTH = 80
_NARROWEST = 40
"""Below it names and numbers would be in pieces: there the terminal may break lines by itself."""

_DRAWN = "├└│─✓✗→"


class Style(Enum):
    """What a paragraph is, by its Select Graphic Rendition (ECMA-48 section 8.3.117)."""

    PLAIN = ""
    NAME = "1"
    FAINT = "2"
    YES = "32"
    NO = "31"
    UNDECIDED = "33"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Text that goes on in the next line where it has to."""

    text: str = ""
    style: Style = Style.PLAIN
    first: str = ""
    """Before its first line."""
    rest: str = ""
    """Before each other line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a stream can show."""

    width: int = _WIDTH
    """Columns."""
    encoding: str = "utf-8"
    drawn: bool = True
    """Lines and marks are drawn; else they are made of ASCII."""
    coloured: bool = False

    def lines(self, paragraph: Paragraph) -> Iterator[str]:
        """The lines of a paragraph, none wider than `width`."""
        before = paragraph.first
        room = max(1, self.width - max(len(paragraph.first), len(paragraph.rest)))
        for line in _folded(self._printable(paragraph.text), room):
            yield f"{before}{self._painted(line, paragraph.style)}".rstrip()
            before = paragraph.rest

    def _printable(self, text: str) -> str:
        """Control characters would be obeyed, and what the stream has no octets for would be spelled out."""
        text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def _painted(self, line: str, style: Style) -> str:
        return f"\x1b[{style.value}m{line}\x1b[0m" if self.coloured and style.value and line else line


def look_for(stream: TextIO, environment: Mapping[str, str]) -> Look:
    """80 columns, or fewer on a narrow terminal; colours on a terminal only, and not with `NO_COLOR`
    (no-color.org)."""
    width, coloured = _WIDTH, False
    if stream.isatty():
        coloured = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except OSError:
            columns = 0
        width = min(_WIDTH, max(_NARROWEST, columns or _WIDTH))
    try:
        _DRAWN.encode(stream.encoding)
    except UnicodeEncodeError:
        drawn = False
    else:
        drawn = True
    return Look(width=width, encoding=stream.encoding, drawn=drawn, coloured=coloured)


def _folded(text: str, room: int) -> Iterator[str]:
    """Lines of at most `room` columns, broken at spaces; a word that is wider after a dot, or anywhere."""
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if _columns(joined) <= room:
            line = joined
            continue
        if line:
            yield line
        while _columns(word) > room:
            piece = _piece(word, room)
            yield piece
            word = word[len(piece) :]
        line = word
    yield line


def _piece(word: str, room: int) -> str:
    """As much of the beginning of a word as there is room for, at least a character."""
    end = 1
    while end < len(word) and _columns(word[: end + 1]) <= room:
        end += 1
    fits = word[:end]
    dot = fits.rfind(".") + 1
    return fits[:dot] if dot > len(fits) // 2 else fits


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
