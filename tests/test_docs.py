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
    for section in ("listen", "dns", "cache", "limits", "domains", "log"):
        for key in getattr(documented, section).__slots__:
            assert re.search(rf"^{key} = ", found[1], re.MULTILINE), f"{section}.{key}"


def anchors(path: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "bench/README.md",
        *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
    ],
)
def test_links_and_make_targets_of_a_document_exist(document: str) -> None:
    path = ROOT / document
    text = path.read_text()
    for link in re.findall(r"\]\(([^):]+)\)", text):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=\s{2,}|`|$)", text, re.MULTILINE)) <= targets


def rooms() -> set[str]:
    """The modules and packages below `fastvhost` that the table of docs/architecture.md names."""
    found = set()
    for row in re.findall(r"^\| (`.*?) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE):
        names = re.findall(r"`([\w/]+)`", row)
        folder = names[0].rpartition("/")[0]
        found |= {name if "/" in name or not folder else f"{folder}/{name}" for name in names}
    return found


def test_every_module_has_a_room_and_every_room_a_module() -> None:
    package = ROOT / "fastvhost"
    modules = {path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")}
    modules = {module for module in modules if not module.endswith(("__init__", "__main__"))}
    folders = {module.partition("/")[0] for module in modules if "/" in module}
    assert rooms() <= modules | folders
    assert {module for module in modules if not {module, module.partition("/")[0]} & rooms()} == set()
