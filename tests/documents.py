"""The blocks of the documents that tests run as they stand there."""

import re
from pathlib import Path

__all__ = ["documented_block", "without_times"]

_ROOT = Path(__file__).parents[1]


def documented_block(document: str, name: str) -> str:
    """The fenced block of `document`, a path in the repository, that is marked as tested under `name`."""
    text = (_ROOT / document).read_text()
    (found,) = re.findall(rf"<!-- tested: {name} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    return str(found)


def without_times(shown: str) -> str:
    """What `fastvhost explain` shows, with the same times and server everywhere."""
    shown = re.sub(r"[0-9]+\.[0-9] ms from [0-9.]+:[0-9]+", "T ms from SERVER", shown)
    shown = re.sub(r"for [0-9]+ s\b", "for N s", shown)
    return re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "INSTANT", shown)
