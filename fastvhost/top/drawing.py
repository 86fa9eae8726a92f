"""The view as a frame for a terminal of some size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from rich.console import Group, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from fastvhost.top.blocks import Bar, Block, Cell, Styled, change_block, figure_blocks, since, talker_block
from fastvhost.top.figures import levels, rates
from fastvhost.top.scrape import Scrape

__all__ = ["View", "frame"]

_TWO_COLUMNS, _THREE_COLUMNS = 80, 120
"""Terminals of at least this width have so many."""

_ORDER = ("replies", "upstream", "memory", "answers", "latency", "refused")
"""What goes first where there is no room for all."""

_BAR = 10
_FIGURE = 7
"""Columns of a figure at least, so that nothing jumps when it grows."""
_MOST_LISTED = 20
_GAP = 2

_SPACIOUS = 60
"""Columns from which the first lines have something at their right ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is to be shown."""

    server: str
    """Where the daemon is asked."""
    before: Scrape | None = None
    now: Scrape | None = None
    away: str | None = None
    """Why the last look failed, after which `now` is old; None: it did not."""
    hint: str = ""
    """At the end of the first line."""


def frame(view: View, *, width: int, height: int | None, ascii_only: bool = False) -> RenderableType:
    """A frame of at most `width` columns and `height` lines; None: as many as it takes.

    From 80 by 24 on everything has a place; below, what is most asked for, in one column.
    """
    pen = _Pen(ascii_only)
    spacious = width >= _SPACIOUS
    lines: list[RenderableType] = [
        pen.split(_state(view, spacious=spacious), Text(view.hint if spacious else "", style="dim"))
    ]
    if view.away is not None:
        lines.append(pen.line(f"{view.away}; trying again"))
    if view.now is None:
        return Group(*lines)
    current, grown = levels(view.now), rates(view.before, view.now)
    cpu = "" if grown is None else f", {grown.cpu:.0%} of a processor"
    over = f"over {grown.seconds:.1f} s" if grown is not None and spacious else ""
    process = f"since {since(current.started)}, {current.resident / 1e6:,.0f} MB{cpu}"
    lines.append(pen.split(Text(process, style="dim"), Text(over, style="dim")))
    troubles = [*(["housekeeping brakes"] if current.braked else []), *(grown.troubles if grown else [])]
    if troubles:
        lines.append(pen.line("; ".join(troubles)))
    blocks = figure_blocks(grown, current)
    room = None if height is None else height - len(lines)
    columns = 3 if width >= _THREE_COLUMNS else 2 if width >= _TWO_COLUMNS else 1
    rows = _rows([blocks[name] for name in _ORDER], columns)
    left = _MOST_LISTED if room is None else room - sum(max(each.height for each in row) for row in rows) - 1
    rows += _rows(_lists(view.now, min(left, _MOST_LISTED), with_time=columns == 3), min(3, columns * 2 - 1))
    lines += _fitting(rows, room, pen, stale=view.away is not None)
    return Group(*lines)


def _state(view: View, *, spacious: bool) -> Text:
    name = Text("fastvhost", style="bold")
    if view.now is not None and spacious:
        name.append(f" {_harmless(levels(view.now).version)}")
    name.append(f" at {view.server}: ")
    if view.away is not None:
        return name.append("away", style="bold red")
    if view.now is None:
        return name.append("looking", style="yellow")
    if view.now.not_ready is not None:
        return name.append(_harmless(view.now.not_ready), style="bold red")
    return name.append("ready", style="green")


def _lists(now: Scrape, most: int, *, with_time: bool) -> Sequence[Block]:
    if most < 1:
        return ()
    return (
        talker_block("Top sources", now.sources, most),
        talker_block("Top zones", now.zones, most),
        change_block(now.changes, most, with_time=with_time),
    )


def _rows(blocks: Sequence[Block], columns: int) -> list[Sequence[Block]]:
    return [blocks[first : first + columns] for first in range(0, len(blocks), columns)]


def _fitting(
    rows: Iterable[Sequence[Block]], room: int | None, pen: "_Pen", *, stale: bool
) -> Iterable[RenderableType]:
    """Rows while there is room for the whole of them."""
    for row in rows:
        if room is not None:
            room -= max(block.height for block in row)
            if room < 0:
                return
        side_by_side = Table.grid(expand=True, padding=(0, _GAP, 0, 0), pad_edge=False)
        for _ in row:
            side_by_side.add_column(ratio=1)
        side_by_side.add_row(*(pen.block(block) for block in row), style="dim" if stale else None)
        yield side_by_side


def _harmless(text: str) -> str:
    """What does nothing to a terminal, whoever wrote it."""
    return "".join(each if each.isprintable() else "?" for each in text)


class _Pen:
    """Draws cells, with the characters that the terminal has."""

    def __init__(self, ascii_only: bool) -> None:
        self._full, self._empty = ("#", ".") if ascii_only else ("█", "░")
        self._overflow: OverflowMethod = "crop" if ascii_only else "ellipsis"

    def line(self, text: str) -> Text:
        """A line that says what is wrong, cut where it is too long."""
        return Text(_harmless(text), style="bold red", no_wrap=True, overflow=self._overflow)

    def split(self, left: Text, right: Text) -> Table:
        """One line with something at either end; the left one is cut where there is no room for both."""
        line = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        line.add_column(ratio=1, no_wrap=True, overflow=self._overflow)
        line.add_column(justify="right", no_wrap=True, overflow=self._overflow)
        line.add_row(left, right)
        return line

    def block(self, block: Block) -> RenderableType:
        """Its title, and its lines below."""
        table = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        for number in range(len(block.lines[0])):
            text = number in block.texts
            table.add_column(
                ratio=1 if text else None,
                min_width=None if text else _FIGURE,
                justify="left" if text else "right",
                no_wrap=True,
                overflow=self._overflow,
            )
        if block.heads:
            table.add_row(*(Text(head, style="bold") for head in (block.title, *block.heads)))
        for cells in block.lines:
            table.add_row(*map(self.cell, cells))
        if block.heads:
            return table
        return Group(self.split(Text(block.title, style="bold"), Text(block.note, style="bold")), table)

    def cell(self, cell: Cell) -> Text:
        """A cell as rich has it; what strangers wrote is no markup."""
        match cell:
            case Bar(share=share, style=style):
                full = round(share * _BAR) or int(share > 0)
                return Text(self._full * full, style=style).append(
                    self._empty * (_BAR - full), style="bright_black"
                )
            case Styled(text=text, style=style):
                return Text(_harmless(text), style=style)
            case str(text):
                return Text(_harmless(text))
            case never:
                assert_never(never)
