"""Charts: a drawing that any XML reader takes, on a scale that holds every value."""

import re
from xml.etree import ElementTree as ET

import pytest

from fastvhost.admin.charts import Line, _round_up, chart

SVG = ET.fromstring


def test_points_lie_within_the_drawing_and_a_gap_parts_the_line() -> None:
    points = [(0.0, 0.0), (100.0, 7.0), (150.0, None), (200.0, 3.0), (300.0, 7.0)]
    drawn = chart("A & B", [Line(name="x", points=points)], span=300.0, until=300.0, cap=5.0)
    root = SVG(drawn)
    assert root.attrib["aria-label"] == "A & B"
    runs = [element.attrib["points"] for element in root.iter("polyline")]
    assert [len(run.split()) for run in runs] == [2, 2]
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for x, y in re.findall(r"([\d.]+),([\d.]+)", " ".join(runs)):
        assert 0.0 <= float(x) <= width
        assert 0.0 <= float(y) <= height
    assert [element.text for element in root.iter("text")][:3] == ["0", "5", "10"]


def test_chart_of_nothing_is_empty_axes() -> None:
    root = SVG(chart("nothing", [Line(name="x", points=[])], span=300.0, until=0.0))
    assert list(root.iter("polyline")) == []
    assert [element.text for element in root.iter("text")][:3] == ["0", "0.5", "1"]


def test_name_is_escaped() -> None:
    drawn = chart('"><script>', [Line(name='"><b>', points=[(0.0, 1.0)])], span=1.0, until=0.0)
    assert SVG(drawn).find("script") is None
    assert "<b>" not in drawn


@pytest.mark.parametrize(
    ("value", "top"), [(1.0, 1.0), (1.1, 2.0), (2.0, 2.0), (5.1, 10.0), (99.0, 100.0), (1_001.0, 2_000.0)]
)
def test_scale_ends_at_the_next_round_number(value: float, top: float) -> None:
    assert _round_up(value) == top
