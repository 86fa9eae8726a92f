"""The one-way rule of docs/architecture.md, read from the source: who may import whom.

Imports count wherever they stand: at the top, in a function, under TYPE_CHECKING.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fastvhost"
ROOT = PACKAGE.name

CORE = frozenset(
    {
        "errors",
        "model",
        "host",
        "config",
        "aside",
        "config_file",
        "toml_readers",
        "target",
        "limits",
        "log_limit",
        "query_log",
        "sources",
        "budgets",
        "scan_resistant",
        "segments",
        "snapshot",
        "snapshot_blocks",
        "heavy_hitters",
        "talkers",
        "retractions",
        "lookup_counters",
        "presumption",
        "zone_cut",
        "cache",
        "changes",
        "coalesce",
        "compiled_library",
        "giving_way",
        "slow_zones",
        "wildcards",
        "evidence",
    }
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Modules that stand together, each named by a module or a whole package below `fastvhost`."""

    modules: frozenset[str]
    may_import: frozenset[str]
    """Modules and packages of ours; "*" for all."""
    never: frozenset[str] = frozenset()
    """Modules and packages of ours that "*" leaves out, and of others that this layer does without."""


TOP = frozenset(
    {
        "",
        "__main__",
        "cli",
        "command_line",
        "one_line_parser",
        "serve",
        "query",
        "explain_command",
        "local",
        "log",
        "pid_file",
        "admin_client",
        "top",
        "systemd",
        "domains_command",
    }
)
"""The commands, and the package itself ("") with its public names."""

LAYERS: Mapping[str, Layer] = {
    "core": Layer(modules=CORE, may_import=CORE, never=frozenset({"socket", "trio", "dns"})),
    "resolve": Layer(modules=frozenset({"resolve"}), may_import=CORE | {"resolve"}),
    "domains": Layer(modules=frozenset({"domains"}), may_import=CORE | {"domains"}),
    "flying": Layer(
        modules=frozenset({"flying", "probing"}), may_import=CORE, never=frozenset({"socket", "dns"})
    ),
    "lookup": Layer(
        modules=frozenset({"lookup", "belief"}),
        may_import=CORE | {"domains", "flying", "lookup"},
        never=frozenset({"socket", "dns"}),
    ),
    "faces": Layer(modules=frozenset({"faces"}), may_import=CORE | {"lookup", "faces"}),
    "admin": Layer(
        modules=frozenset({"admin"}), may_import=CORE | {"belief", "domains", "lookup", "faces", "admin"}
    ),
    "service": Layer(
        modules=frozenset({"service", "asking", "oversight", "snapshots", "snapshot_file"}),
        may_import=frozenset({"*"}),
        never=TOP,
    ),
    "top": Layer(modules=TOP, may_import=frozenset({"*"})),
}
"""From below to above."""

BANNED_EVERYWHERE = frozenset({"asyncio"})


@dataclass(frozen=True)
class Import:
    """One imported module, absolute, and the line that imports it."""

    module: str
    line: int


def paths() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The module below `fastvhost`, as in `resolve.wire`; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in paths()}


def imports(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    # `from fastvhost import config` names a module, `from fastvhost import __version__` none.
                    nested = f"{module}.{alias.name}"
                    is_module = nested.removeprefix(f"{ROOT}.") in MODULES and module.startswith(ROOT)
                    yield Import(nested if is_module else module, node.lineno)
            case ast.ImportFrom():
                yield Import("a relative import", node.lineno)


def is_within(module: str, names: frozenset[str]) -> bool:
    """Whether `module` or a package that it is in is one of `names`."""
    return any(module == name or (name != "" and module.startswith(f"{name}.")) for name in names)


def layer_of(module: str) -> str | None:
    found = [name for name, layer in LAYERS.items() if is_within(module, layer.modules)]
    return found[0] if len(found) == 1 else None


def broken_rule(module: str, imported: str) -> str | None:
    """Which rule it breaks that `module` imports `imported`; None when it may."""
    name = layer_of(module)
    if name is None:
        return "every module stands in exactly one layer of LAYERS"
    layer = LAYERS[name]
    if imported == "a relative import":
        return "imports are absolute"
    if is_within(imported, BANNED_EVERYWHERE):
        return "fastvhost runs on Trio"
    ours = imported == ROOT or imported.startswith(f"{ROOT}.")
    target = imported[len(ROOT) + 1 :] if ours else imported
    if is_within(target, layer.never):
        return f"{name} never imports {imported}"
    if ours and "*" not in layer.may_import and not is_within(target, layer.may_import):
        return f"{name} imports of ours only {', '.join(sorted(layer.may_import))}"
    return None


@pytest.mark.parametrize("module", MODULES)
def test_imports_of_a_module_point_one_way(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    broken = [
        f"{ROOT}.{module}, line {one.line}, imports {one.module}: {rule}"
        for one in imports(tree)
        if (rule := broken_rule(module, one.module)) is not None
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("module", MODULES)
def test_module_stands_in_exactly_one_layer(module: str) -> None:
    assert layer_of(module) is not None, f"{ROOT}.{module}: give it a place in LAYERS"


def test_layers_name_only_modules_that_exist() -> None:
    named = frozenset[str]().union(*(layer.modules for layer in LAYERS.values()))
    assert named <= MODULES.keys()


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("cache", "fastvhost.model", True),
        ("cache", "cachetools", True),
        ("cache", "trio", False),
        ("host", "dns.name", False),
        ("limits", "socket", False),
        ("model", "fastvhost.lookup", False),
        ("model", "fastvhost", False),
        ("resolve.wire", "dns.message", True),
        ("resolve.wire", "fastvhost.resolve.reply", True),
        ("resolve.wire", "fastvhost.domains.table", False),
        ("domains.table", "fastvhost.resolve.wire", False),
        ("domains.table", "fastvhost.faces.pdb", False),
        ("lookup", "fastvhost.domains.table", True),
        ("lookup", "fastvhost.resolve.walker", False),
        ("lookup", "fastvhost.faces.pdb", False),
        ("faces.pdb", "fastvhost.lookup", True),
        ("faces.pdb", "fastvhost.domains.table", False),
        ("faces.pdb", "fastvhost.service", False),
        ("service", "fastvhost.resolve.walker", True),
        ("service", "fastvhost.cli", False),
        ("service", "fastvhost", False),
        ("serve", "fastvhost.service", True),
        ("serve", "asyncio.events", False),
        ("cli", "a relative import", False),
        ("nowhere", "fastvhost.model", False),
    ],
)
def test_rule_for_an_import_allows_or_names_what_is_broken(module: str, imported: str, allowed: bool) -> None:
    assert (broken_rule(module, imported) is None) is allowed


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import trio, dns.name
from fastvhost import __version__, config
from fastvhost.resolve import wire
from fastvhost.model import Verdict
from . import sideways
if TYPE_CHECKING:
    from fastvhost.service import Service
def later():
    import asyncio
"""
    assert [one.module for one in imports(ast.parse(source))] == [
        "trio",
        "dns.name",
        "fastvhost",
        "fastvhost.config",
        "fastvhost.resolve.wire",
        "fastvhost.model",
        "a relative import",
        "fastvhost.service",
        "asyncio",
    ]


# State


_MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert"}
    | {"pop", "popitem", "popleft", "remove", "setdefault", "update"}
)
_HIDDEN_STATE = frozenset({"cache", "lru_cache", "ContextVar", "RunVar", "local"})


def module_names(tree: ast.Module) -> set[str]:
    """Names that the module's own statements bind to values."""
    return {
        target.id
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }


def root_name(node: ast.expr) -> str | None:
    """The name at the left end of `NAME[…].attribute`."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def state_of(tree: ast.Module) -> Iterator[str]:
    """Where a module keeps state of its own: a global that is rebound or mutated, or a hidden one."""
    names = module_names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                yield f"line {node.lineno}: global {', '.join(node.names)}"
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _MUTATORS:
                if root_name(value) in names:
                    yield f"line {node.lineno}: {root_name(value)} is changed by {attr}()"
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Subscript | ast.Attribute) and root_name(target) in names:
                        yield f"line {node.lineno}: {root_name(target)} is changed in place"
            case ast.AugAssign(target=target) if root_name(target) in names:
                yield f"line {node.lineno}: {root_name(target)} is changed in place"
    for statement in tree.body:
        bound: ast.expr | None = getattr(statement, "value", None)
        for expression in [*getattr(statement, "decorator_list", []), *([] if bound is None else [bound])]:
            function = expression.func if isinstance(expression, ast.Call) else expression
            name = getattr(function, "attr", getattr(function, "id", ""))
            if name in _HIDDEN_STATE:
                yield f"line {statement.lineno}: {name} holds state for the whole process"


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_no_state_in_globals(module: str) -> None:
    found = list(state_of(ast.parse(MODULES[module].read_text())))
    assert not found, "\n".join(
        f"{ROOT}.{module}, {one}; state belongs to what the service builds" for one in found
    )


@pytest.mark.parametrize(
    "source",
    [
        "seen = set()\ndef f(x):\n    seen.add(x)",
        "COUNTS = {}\ndef f(x):\n    COUNTS[x] = 1",
        "COUNTS = {}\ndef f(x):\n    COUNTS[x] += 1",
        "COUNTS: dict = {}\ndef f(x):\n    del COUNTS[x]",
        "STATE = object()\nSTATE.now = 1",
        "last = 0\ndef f(x):\n    global last\n    last = x",
        "@functools.cache\ndef f(x): ...",
        "@lru_cache(maxsize=None)\ndef f(x): ...",
        "current = contextvars.ContextVar('current')",
    ],
)
def test_state_in_globals_is_found(source: str) -> None:
    assert list(state_of(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["_TABLE = {1: 2}\ndef f(x):\n    return _TABLE[x]", "def f():\n    seen = set()\n    seen.add(1)"],
)
def test_constants_and_locals_are_no_state(source: str) -> None:
    assert not list(state_of(ast.parse(source)))
