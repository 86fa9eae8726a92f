"""What the documents say, held against the code."""

import re
from pathlib import Path

import pytest

from fastvhost.config import Config, Own
from fastvhost.config_file import parse_config

ROOT = Path(__file__).parents[1]


def test_documented_defaults_are_the_defaults() -> None:
    found = re.search(
        r"<!-- tested: defaults -->\n```toml\n(.*?)```",
        (ROOT / "docs/configuration.md").read_text(),
        re.DOTALL,
    )
    assert found is not None
    documented = parse_config(found[1], name="docs/configuration.md")
    assert documented == Config(own=Own(addresses=documented.own.addresses))
    for section in ("listen", "dns", "cache", "limits", "domains"):
        for key in getattr(documented, section).__slots__:
            assert re.search(rf"^{key} = ", found[1], re.MULTILINE), f"{section}.{key}"


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
)
def test_links_and_make_targets_of_a_document_exist(document: str) -> None:
    path = ROOT / document
    text = path.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=\s{2,}|`|$)", text, re.MULTILINE)) <= targets
