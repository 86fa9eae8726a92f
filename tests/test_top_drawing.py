"""Frames as they stand on terminals of several sizes."""

from dataclasses import replace

import pytest
from rich.console import Console

from fastvhost.admin.exposition import exposition
from fastvhost.faces.latency import Latencies
from fastvhost.model import VerdictKind
from fastvhost.talkers import Talker
from fastvhost.top.drawing import View, frame
from fastvhost.top.metrics import Metrics
from fastvhost.top.scrape import SeenChange
from tests.top_scrapes import scrape

BEFORE_LATENCIES, AFTER_LATENCIES = Latencies(), Latencies()
AFTER_LATENCIES.observe(VerdictKind.HOSTED, 0.00005, 24_000)
AFTER_LATENCIES.observe(VerdictKind.NOT_HOSTED, 0.03, 1_000)

BEFORE = scrape(10.0, {}, {"pdb": BEFORE_LATENCIES, "dns": Latencies()})
NOW = scrape(
    12.0,
    {
        "process.resident": 65_298_432,
        "process.cpu": 0.5,
        "pdb.replies.hosted": 24_000,
        "pdb.replies.not_hosted": 1_000,
        "pdb.replies.limited": 100,
        "pdb.repeated": 23_000,
        "lookup.hits_hosted": 1_000,
        "lookup.limited_source": 99,
        "lookup.limited_zone": 1,
        "lookup.under_way": 17,
        "upstream.udp": 1_900,
        "upstream.outcome.NXDOMAIN": 1_500,
        "upstream.outcome.time-out": 400,
        "budget.unknown.tokens": 8.0,
        "budget.unknown.burst": 80.0,
        "budget.unknown.slots_free": 200,
        "budget.known.tokens": 10.0,
        "budget.known.burst": 10.0,
        "limit.limits.upstream_qps": 1_000,
        "limit.limits.upstream_inflight": 256,
        "limit.cache.hosted_entries": 200_000,
        "limit.cache.unknown_entries": 1_000_000,
        "cache.hosted_entries": 50_000,
        "cache.unknown_entries": 1_000_000,
        "domains.known": 48_211,
        "domains.queued": 3,
    },
    {"pdb": AFTER_LATENCIES, "dns": Latencies()},
    sources=[Talker(name=f"192.0.2.{number}/32", asked=99 - number) for number in range(20)],
    zones=[Talker(name="a-zone-with-a-name-that-is-far-too-long.example", asked=12_345)],
    changes=[
        SeenChange(domain="new.example", state="active", at="2026-11-23T08:40:00Z"),
        SeenChange(domain="gone.example", state="disabled", at="2026-11-22T23:59:59Z"),
    ],
)
VIEW = View(server="127.0.0.1:5382", before=BEFORE, now=NOW, hint="every 2 s; q: quit")

AT_80 = """\
fastvhost 0.1.0 at 127.0.0.1:5382: ready                      every 2 s; q: quit
since 2026-11-23 09:00 UTC, 65 MB, 25% of a processor                 over 2.0 s
Replies a second                12,550  DNS queries a second        950 of 1,000
HOSTED              ██████████  12,000  load                ██████████       95%
NOT_HOSTED          █░░░░░░░░░     500  under way           ██░░░░░░░░ 56 of 256
UNDETERMINED        ░░░░░░░░░░     0.0  left: unknown       █░░░░░░░░░       10%
PENDING             ░░░░░░░░░░     0.0  left: known         ██████████      100%
LIMITED             █░░░░░░░░░    50.0  left: checks        ░░░░░░░░░░        0%
MALFORMED           ░░░░░░░░░░     0.0  flights                               17
Memory                                  DNS answers a second                 950
hit rate          ██████████     95.6%  NXDOMAIN              ████████░░     750
HOSTED kept       ██░░░░░░░░    50,000  time-out              ██░░░░░░░░     200
others kept       ██████████ 1,000,000
known without DNS               48,211
to be stored                         3
Latency       a second     p50     p99  Refused a second, by budget         50.0
PDB             12,550   52 us   44 ms  source          49.5 zone            0.5
DNS                0.0       -       -  DNS              0.0 flights         0.0
                                        queries          0.0 U-labels        0.0
Top sources        lately  Top zones          lately  Changed              state
192.0.2.0/32           99  a-zone-with-a-na…  12,345  new.example         active
192.0.2.1/32           98                             gone.example      disabled
192.0.2.2/32           97
192.0.2.3/32           96
"""

AT_120 = """\
fastvhost 0.1.0 at 127.0.0.1:5382: ready                                                              every 2 s; q: quit
since 2026-11-23 09:00 UTC, 65 MB, 25% of a processor                                                         over 2.0 s
Replies a second                12,550  DNS queries a second      950 of 1,000  Memory
HOSTED              ██████████  12,000  load              ██████████       95%  hit rate            ██████████     95.6%
NOT_HOSTED          █░░░░░░░░░     500  under way         ██░░░░░░░░ 56 of 256  HOSTED kept         ██░░░░░░░░    50,000
UNDETERMINED        ░░░░░░░░░░     0.0  left: unknown     █░░░░░░░░░       10%  others kept         ██████████ 1,000,000
PENDING             ░░░░░░░░░░     0.0  left: known       ██████████      100%  known without DNS                 48,211
LIMITED             █░░░░░░░░░    50.0  left: checks      ░░░░░░░░░░        0%  to be stored                           3
MALFORMED           ░░░░░░░░░░     0.0  flights                             17
DNS answers a second               950  Latency       a second     p50     p99  Refused a second, by budget         50.0
NXDOMAIN            ████████░░     750  PDB             12,550   52 us   44 ms  source          49.5 zone            0.5
time-out            ██░░░░░░░░     200  DNS                0.0       -       -  DNS              0.0 flights         0.0
                                                                                queries          0.0 U-labels        0.0


Top sources                     lately  Top zones                       lately  Changed                       state, UTC
192.0.2.0/32                        99  a-zone-with-a-name-that-is-fa…  12,345  new.example           active 11-23 08:40
192.0.2.1/32                        98                                          gone.example        disabled 11-22 23:59
192.0.2.2/32                        97
192.0.2.3/32                        96
192.0.2.4/32                        95
192.0.2.5/32                        94
"""  # noqa: E501


def drawn(view: View, width: int, height: int | None, *, ascii_only: bool = False) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(frame(view, width=width, height=height, ascii_only=ascii_only))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(("width", "height", "expected"), [(80, 24, AT_80), (120, 22, AT_120)])
def test_frame_has_a_place_for_everything(width: int, height: int, expected: str) -> None:
    assert drawn(VIEW, width, height) == expected.splitlines()


@pytest.mark.parametrize("width", [1, 5, 20, 59, 60, 79, 80, 119, 120, 250])
@pytest.mark.parametrize("height", [1, 3, 9, 23, 24, 60])
def test_frame_fits_whatever_the_terminal(width: int, height: int) -> None:
    for view in (VIEW, View(server="127.0.0.1:5382", now=NOW, away="no answer")):
        lines = drawn(view, width, height)
        assert len(lines) <= max(height, 3 if view.away else 2)
        assert all(len(line) <= width for line in lines)


def test_small_terminal_shows_whole_parts_in_one_column_the_most_important_first() -> None:
    titles = ("Replies a second", "DNS queries a second", "Memory", "Latency", "Refused", "Top sources")
    assert [each for each in titles if each in "\n".join(drawn(VIEW, 60, 9))] == ["Replies a second"]
    assert [each for each in titles if each in "\n".join(drawn(VIEW, 60, 15))] == ["Replies a second"]
    both = drawn(VIEW, 60, 16)
    assert [each for each in titles if each in "\n".join(both)] == list(titles[:2])
    assert both[-1].startswith("flights")


def test_narrow_terminal_shows_the_whole_state() -> None:
    assert drawn(VIEW, 40, 24)[0] == "fastvhost at 127.0.0.1:5382: ready"


def test_tall_terminal_lists_more() -> None:
    assert [
        sum("192.0.2." in line for line in drawn(VIEW, 80, height)) for height in (23, 24, 25, 40, 60)
    ] == [
        3,
        4,
        5,
        20,
        20,
    ]


def test_frame_without_a_height_has_everything() -> None:
    lines = drawn(VIEW, 60, None)
    assert sum("192.0.2." in line for line in lines) == 20
    assert any("gone.example" in line for line in lines)


def test_frame_before_the_second_look_has_levels_and_no_rates() -> None:
    text = "\n".join(drawn(View(server="127.0.0.1:5382", now=NOW), 80, 24))
    assert "48,211" in text
    assert "12,000" not in text
    assert "over" not in text
    assert "Latency       a second     p50     p99" in text


def test_daemon_that_is_away_is_said_to_be_and_what_was_seen_last_stays() -> None:
    away = "no answer from 127.0.0.1:5382: Connection refused"
    lines = drawn(View(server="127.0.0.1:5382", before=BEFORE, now=NOW, away=away), 80, 24)
    assert lines[0].startswith("fastvhost 0.1.0 at 127.0.0.1:5382: away")
    assert lines[1] == f"{away}; trying again"
    assert any("12,000" in line for line in lines)
    assert drawn(View(server="127.0.0.1:5382", away=away), 80, 24) == [
        "fastvhost at 127.0.0.1:5382: away",
        f"{away}; trying again",
    ]


def test_daemon_that_stops_and_what_should_stand_still_are_said() -> None:
    now = scrape(2.0, {"pdb.dropped": 1_500, "domains.braked": 1}, not_ready="stopping: no more requests")
    lines = drawn(View(server="127.0.0.1:5382", before=scrape(1.0, {}), now=now), 80, 24)
    assert lines[0] == "fastvhost 0.1.0 at 127.0.0.1:5382: stopping: no more requests"
    assert lines[2] == "housekeeping brakes; 1,500 datagrams lost in full sockets"
    assert len(lines) <= 24


def test_view_that_has_seen_nothing_yet_is_looking() -> None:
    assert drawn(View(server="127.0.0.1:5382"), 80, 24) == ["fastvhost at 127.0.0.1:5382: looking"]


def test_frame_for_a_terminal_of_few_characters_is_ascii() -> None:
    assert "\n".join(drawn(VIEW, 80, 24, ascii_only=True)).isascii()


def test_name_that_looks_like_markup_is_shown_as_it_is() -> None:
    now = scrape(2.0, {}, zones=[Talker(name="[bold]x[/]", asked=1)])
    assert any("[bold]x[/]" in line for line in drawn(View(server="a", now=now), 80, 24))


def test_text_that_would_move_the_cursor_is_harmless_wherever_it_comes_from() -> None:
    evil = "\x1b[2Ja\x07\x9b\r"
    now = scrape(
        2.0,
        {"upstream.outcome.NOERROR": 1},
        sources=[Talker(name=evil, asked=1)],
        zones=[Talker(name=evil, asked=1)],
        changes=[SeenChange(domain=evil, state=evil, at=evil)],
        not_ready=evil,
    )
    labels = {"version": evil, "python": "3"}
    hostile = exposition({"process.start": 1.0}, {evil: Latencies().histograms()}, labels)
    shown = View(server="a", before=now, now=replace(now, at=3.0, metrics=Metrics.read(hostile)), away=None)
    for view in (shown, replace(shown, away=evil)):
        text = "".join(drawn(view, 120, 30))
        assert text.isprintable()
        assert "?[2J" in text
