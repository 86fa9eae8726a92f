"""The alerts and the dashboard that are shipped: what they ask for is there, and Prometheus can read it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastvhost.admin.catalogue import FAMILIES, LATENCY
from fastvhost.service import open_service
from fastvhost.top.live import look
from tests.all_faces import config_with_all_faces
from tests.support import ZONE
from tools.dnslab import open_lab

ROOT = Path(__file__).parents[1]
RULES = ROOT / "packaging/prometheus/fastvhost.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "packaging/grafana/fastvhost.json").read_text())
CHARTS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

GIVEN_BY_PROMETHEUS = {"job", "instance", "le"}
DEPENDS_ON_TRAFFIC = {"rcode"}

_ALERT = re.compile(
    r"      - alert: (?P<name>Fastvhost\w+)\n"
    r"        expr: (?P<expr>(?:\|\n(?:          .+\n)+)|.+\n)"
    r"(?:        for: \d+m\n)?"
    r"        labels:\n          severity: (?:critical|warning)\n"
    r"        annotations:\n          summary: \".+\"\n          description: \".+\"\n"
)
"""The form that each alert has, so that it is read without a library."""

# Debian's package prometheus brings a server of 96 MB: not among those that tests install.
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def alerts() -> dict[str, str]:
    """Expressions by name."""
    return {found["name"]: found["expr"] for found in _ALERT.finditer(RULES.read_text())}


def expressions() -> list[str]:
    return [*alerts().values(), *(target["expr"] for chart in CHARTS for target in chart["targets"])]


def selectors(expression: str) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Metrics with their matchers by label: an operator and a value."""
    for name, braced in re.findall(r"\b((?:fastvhost|process)_\w+)(?:\{([^}]*)\})?", expression):
        matchers = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', braced)
        yield name, {label: (operator, value) for label, operator, value in matchers}


def promtool(*arguments: str) -> str:
    """What it says of what is well."""
    said = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_every_alert_is_in_the_form_that_is_checked_and_its_name_is_its_own() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(set(names)) == len(names)
    assert list(alerts()) == names


def test_every_alert_has_a_row_that_says_what_to_do() -> None:
    document = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `(Fastvhost\w+)` \|.+\|.+\|$", document, re.MULTILINE)
    assert rows == list(alerts())


@pytest.mark.parametrize("expression", expressions())
def test_expression_names_metrics_and_labels_of_the_catalogue(expression: str) -> None:
    families = {family.name: family for family in FAMILIES} | {f"{LATENCY.name}_bucket": LATENCY}
    found = list(selectors(expression))
    assert found or "up{" in expression
    known: set[str] = set(GIVEN_BY_PROMETHEUS)
    for name, matchers in found:
        labels = set(families[name].labels) | GIVEN_BY_PROMETHEUS
        assert matchers.keys() <= labels
        assert matchers.keys() & {"job", "instance"}, "other jobs have a process too"
        known |= labels
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert set(grouped.split(", ")) <= known


async def test_every_selector_finds_something_in_a_service_with_all_faces(tmp_path: Path) -> None:
    async with open_lab([ZONE]) as lab, open_service(config_with_all_faces(lab, tmp_path)) as service:
        assert service.admin_endpoint is not None
        metrics = (await look(service.admin_endpoint)).metrics
    for expression in expressions():
        for name, matchers in selectors(expression):
            assert name in metrics.samples or name == "fastvhost_upstream_answers_total", name
            ours = {
                label: matcher
                for label, matcher in matchers.items()
                if label not in GIVEN_BY_PROMETHEUS | DEPENDS_ON_TRAFFIC
            }
            for label, (operator, value) in ours.items():
                seen = metrics.by(name, label)
                assert operator in ("=", "=~")
                for each in value.split("|") if operator == "=~" else [re.escape(value)]:
                    assert any(re.fullmatch(each, one) for one in seen), f"{name}: no {label}={each}"


def test_selectors_of_an_expression_are_found_with_their_matchers() -> None:
    ((name, matchers),) = selectors('rate(fastvhost_x_total{job="a", why=~"b|c"}[5m])')
    assert (name, matchers) == ("fastvhost_x_total", {"job": ("=", "a"), "why": ("=~", "b|c")})


def test_panels_have_numbers_of_their_own_units_and_expressions() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    titles = [panel["title"] for panel in CHARTS]
    assert len(set(titles)) == len(titles)
    for chart in CHARTS:
        assert chart["fieldConfig"]["defaults"]["unit"]
        assert chart["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert chart["targets"]
        letters = [target["refId"] for target in chart["targets"]]
        assert len(set(letters)) == len(letters)
        for target in chart["targets"]:
            assert target["expr"].strip()
            assert target["legendFormat"]


def test_panels_do_not_cover_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@needs_promtool
def test_rules_are_read_by_prometheus() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


@needs_promtool
def test_alerts_are_raised_by_what_they_are_for_and_by_nothing_else() -> None:
    tests = ROOT / "tests/alerts.test.yml"
    assert f"value: {len(alerts())}}}" in tests.read_text()
    assert "SUCCESS" in promtool("test", "rules", str(tests))


@needs_promtool
def test_expressions_of_the_dashboard_are_read_by_prometheus(tmp_path: Path) -> None:
    rules = [
        {"record": f"x:{number}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for number, target in enumerate(target for chart in CHARTS for target in chart["targets"])
    ]
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(path))
