"""The blocks of the documents that tests run as they stand there."""

import re
from pathlib import Path

__all__ = ["documented_block"]

_ROOT = Path(__file__).parents[1]


def documented_block(document: str, name: str) -> str:
    """The fenced block of `document`, a path in the repository, that is marked as tested under `name`."""
    text = (_ROOT / document).read_text()
    (found,) = re.findall(rf"<!-- tested: {name} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    return str(found)
