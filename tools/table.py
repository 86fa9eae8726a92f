"""Rows of text as a table, for a terminal and for Markdown."""

from collections.abc import Sequence

__all__ = ["markdown", "plain"]


def plain(rows: Sequence[Sequence[str]]) -> str:
    """In columns, all to the right; the first row has the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """As a table of GitHub's Markdown."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *rest])
