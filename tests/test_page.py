"""The page: what strangers can write into it, what it loads, and that it shows the figures."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from fastvhost.admin.history import History, sample
from fastvhost.admin.looks import POLICY
from fastvhost.admin.page import Shown, page
from fastvhost.domains.recent import Change
from fastvhost.domains.record import DomainState
from fastvhost.faces.latency import Latencies
from fastvhost.model import VerdictKind
from fastvhost.talkers import Talker

FIGURES: dict[str, float] = {
    **{
        f"budget.{lane}.{what}": 10.0
        for lane in ("unknown", "known", "checks")
        for what in ("tokens", "burst")
    },
    **{
        f"lookup.{name}": 1.0
        for name in (
            "listed",
            "hits_hosted",
            "hits_stale",
            "hits_outdated",
            "hits_unknown",
            "denied",
            "literals",
            "under_way",
        )
    },
    "limit.limits.upstream_qps": 1_000.0,
    "cache.hosted_entries": 1_234.0,
    "cache.unknown_entries": 0.0,
    "upstream.udp": 0.0,
    "upstream.tcp": 0.0,
}
SHOWN = Shown(
    now=4.0,
    figures=FIGURES,
    history=History(),
    zones=[],
    sources=[],
    changes=[],
    not_ready=None,
    version="1.2.3",
    up=90_061.0,
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


class Elements(HTMLParser):
    """The tags with their attributes, and the text outside of style and script."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.within = ""
        self.inline: dict[str, list[str]] = {"style": [], "script": []}
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - as the base class has it
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in self.inline:
            self.inline[self.within].append(data)
        else:
            self.text += data


def test_what_strangers_wrote_is_text_and_nothing_else() -> None:
    hostile = replace(
        SHOWN,
        zones=[Talker(name=HOSTILE, asked=1)],
        sources=[Talker(name=HOSTILE, asked=1)],
        changes=[Change(domain=HOSTILE, state=DomainState.ACTIVE, at=0.0)],
        not_ready=HOSTILE,
        version=HOSTILE,
    )
    usual = replace(
        hostile,
        zones=[Talker(name="x", asked=1)],
        sources=[Talker(name="x", asked=1)],
        changes=[Change(domain="x", state=DomainState.ACTIVE, at=0.0)],
        not_ready="x",
        version="x",
    )
    found, expected = Elements(page(hostile)), Elements(page(usual))
    assert found.tags == expected.tags
    assert found.text.count(HOSTILE) == 5


def test_page_loads_nothing_and_its_policy_allows_what_is_inline_and_no_more() -> None:
    elements = Elements(page(SHOWN))
    for tag, attributes in elements.tags:
        assert not {"src", "style", "srcset"} & attributes.keys(), tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert attributes.get("href", "/").startswith("/"), tag  # type: ignore[union-attr]
    for tag in ("style", "script"):
        (inline,) = elements.inline[tag]
        assert f"{tag}-src 'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'" in POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY


def test_page_shows_figures_and_rates() -> None:
    history, latencies = History(), Latencies()
    figures: dict[str, float] = FIGURES | {"pdb.replies.hosted": 0.0, "pdb.repeated": 0.0}
    history.note(sample(figures, {"pdb": latencies}, 0.0))
    latencies.observe(VerdictKind.HOSTED, 0.0002, 100)
    figures |= {"pdb.replies.hosted": 2_468.0, "pdb.repeated": 1_234.0, "upstream.udp": 20.0}
    history.note(sample(figures, {"pdb": latencies}, 2.0))
    text = re.sub(r"\s+", " ", Elements(page(replace(SHOWN, history=history))).text)
    for shown in (
        "ready, version 1.2.3, up 1 d 01:01:01",
        "Replies a second1,234",
        "From memory50.0%",
        "99 of 100 within0.25 ms",
        "DNS queries a second10",
        "Most that are allowed1,000",
        "HOSTED in the cache1,234",
        "none lately",
    ):
        assert shown in text, shown


@pytest.mark.parametrize(("up", "shown"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (86_399.0, "23:59:59")])
def test_time_since_the_start_is_shown_to_the_second(up: float, shown: str) -> None:
    assert f"up {shown}<" in page(replace(SHOWN, up=up))


def test_page_works_without_its_script() -> None:
    assert re.search(r"<noscript><meta http-equiv=.refresh. content=.5.></noscript>", page(SHOWN))
