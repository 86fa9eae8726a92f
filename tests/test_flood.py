"""Load tests for operators: which hosts, what is made of figures, and the command against real servers."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import write_reply
from fastvhost.model import VerdictKind
from tests.daemon_process import running_daemon
from tests.knot import running_knot
from tests.support import refusal
from tests.test_load import free_port, pdb_server
from tools.dnslab import Mark
from tools.flood import Event, FloodError, Interval, Report
from tools.flood.__main__ import main
from tools.flood.hosts import MOST_SOURCES, by_popularity, hosts_of, sources_in
from tools.flood.options import write_reports
from tools.flood.timeline import Timeline, combined, phases
from tools.flood.upstream import queries_between
from tools.flood.zone_names import names_by_nsec, names_by_transfer
from tools.load import Figures, Pdb, Plan

ZONE = """\
$ORIGIN zone.example.
$TTL 600
@               SOA ns h 1 3600 600 86400 300
@               NS  ns
ns              A   192.0.2.53
_sip._udp.a     SRV 1 1 5060 edge
_sip._tcp.a     SRV 1 1 5060 edge
edge            A   192.0.2.1
*.wild          A   192.0.2.2
b.sub           A   192.0.2.3
"""
HOSTS = {b"zone.example", b"ns.zone.example", b"a.zone.example", b"edge.zone.example", b"b.sub.zone.example"}

HOSTED, NOT_HOSTED, PENDING = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED, VerdictKind.PENDING


# Hosts


def test_hosts_of_a_zone_are_what_callers_can_name_each_once() -> None:
    owners = ["a.example.", "_sip._udp.B.example", "_sips._tcp.b.example", "*.c.example", "a.example", "_x"]
    assert hosts_of(owners) == (b"a.example", b"b.example")


@pytest.mark.server("knotd")
def test_names_of_a_zone_come_by_transfer_or_along_its_nsec_chain(tmp_path: Path) -> None:
    opened = tmp_path / "open.zone"
    opened.write_text(ZONE.replace("zone.example", "open.example"))
    # Knot transfers to nobody unless told.
    config = f"""
acl:
  - id: loopback
    address: 127.0.0.1
    action: transfer
zone:
  - domain: open.example
    file: {opened}
    acl: loopback
"""
    with running_knot({"zone.example": ZONE}, signed={"zone.example": "nsec"}, config=config) as server:
        assert set(hosts_of(names_by_nsec(f"zone.example@{server}"))) == HOSTS
        transferred = hosts_of(names_by_transfer(f"open.example@{server}"))
        assert {host.replace(b"open.", b"zone.") for host in transferred} == HOSTS
        with pytest.raises(FloodError, match="no transfer"):
            names_by_transfer(f"zone.example@{server}")
        with pytest.raises(FloodError, match=r"no NSEC record at other\.example"):
            names_by_nsec(f"other.example@{server}")


def test_popularity_is_by_the_law_and_the_same_in_every_run() -> None:
    names = [b"h%d" % number for number in range(1, 101)]
    drawn = by_popularity(names, 1.0, 50_000)
    assert drawn == by_popularity(names, 1.0, 50_000)
    counts = Counter(drawn)
    harmonic = sum(1 / number for number in range(1, 101))
    for number in (1, 2, 10):
        expected = 50_000 / harmonic / number
        assert counts[b"h%d" % number] == pytest.approx(expected, rel=0.1)
    assert by_popularity([], 1.0, 10) == ()


@pytest.mark.parametrize("exponent", [0.0, -1.0, 10.1, float("nan")])
def test_popularity_with_another_exponent_is_an_error(exponent: float) -> None:
    with pytest.raises(FloodError, match="over 0, at most 10"):
        by_popularity([b"a"], exponent, 1)


def test_sources_are_the_addresses_of_a_network_up_to_a_bound() -> None:
    assert sources_in("192.0.2.0/31") == (b"192.0.2.0", b"192.0.2.1")
    assert sources_in("2001:db8::1") == (b"2001:db8::1",)
    assert len(sources_in("10.0.0.0/15")) == MOST_SOURCES
    assert sources_in("2001:db8::/32")[-1] == b"2001:db8::ffff"
    with pytest.raises(FloodError, match=r"--sources 10\.0\.0\.1/8"):
        sources_in("10.0.0.1/8")


# Figures over time


def figures(sent: int, *, lost: int = 0, hosted: int = 0, pending: int = 0, late: float = 1e-3) -> Figures:
    """Of a run in which random hosts are PENDING."""
    one = Figures(dialect=Pdb(), sent=sent, answered=hosted + pending, lost=lost)
    one.verdicts.update({HOSTED: hosted, PENDING: pending})
    one.verdicts_of_unknown.update({PENDING: pending})
    one.latency_of_known.record([late] * hosted)
    one.latency_of_unknown.record([late] * pending)
    return one


def intervals() -> tuple[Interval, ...]:
    timeline = Timeline()
    timeline.observe(figures(100, hosted=90, pending=10), 1.0)
    timeline.observe(figures(150, hosted=120, pending=20, lost=5), 2.0)
    timeline.observe(figures(150, hosted=120, pending=20, lost=10), 2.1)
    return timeline.finished(lambda start, end: 10 * (end - start))


def report(**fields: object) -> Report:
    plan = Plan(server=Endpoint("127.0.0.1", 1), names=(b"a.example",), unknown_share=0.1, rate=100.0)
    keywords = {"title": "<PDB> & co", "plan": plan, "strays": 0, "intervals": intervals(), **fields}
    return Report(**keywords)  # type: ignore[arg-type]


def test_timeline_has_what_came_between_two_looks_and_no_stump_at_the_end() -> None:
    first, second = intervals()
    assert (first.sent, first.answered, first.lost) == (100, 100, 0)
    assert (first.known, first.random) == ({HOSTED: 90}, {PENDING: 10})
    assert (second.start, second.end, second.sent, second.answered, second.lost) == (1.0, 2.1, 50, 40, 10)
    assert (second.known, second.random) == ({HOSTED: 30}, {PENDING: 10})
    assert (second.latency_of_known.count, second.latency_of_random.count) == (30, 10)
    assert second.queries == pytest.approx(11.0)
    whole = combined([first, second])
    assert (whole.start, whole.end, whole.sent, whole.lost) == (0.0, 2.1, 150, 10)
    assert whole.latency_of_known.count == 120


def test_timeline_of_one_look_stays_however_short() -> None:
    timeline = Timeline()
    timeline.observe(figures(1, hosted=1), 0.01)
    (only,) = timeline.finished(lambda *_: None)
    assert (only.end, only.queries) == (0.01, None)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), [("as it began", 150)]),
        ((Event(0.0, "silent"),), [("silent", 150)]),
        ((Event(0.5, "silent"),), [("silent", 150)]),
        ((Event(0.51, "silent"),), [("as it began", 100), ("silent", 50)]),
        ((Event(1.0, "silent"), Event(1.1, "normal")), [("as it began", 100), ("normal", 50)]),
        ((Event(2.0, "normal"),), [("as it began", 150)]),
    ],
)
def test_phases_have_the_intervals_whose_middle_is_in_them(
    events: Sequence[Event], expected: list[tuple[str, int]]
) -> None:
    assert [(phase.name, phase.whole.sent) for phase in phases(intervals(), events)] == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(10.0, 12.0, 40.0), (10.0, 11.0, 10.0), (11.0, 11.5, 15.0), (0.0, 10.0, 0.0), (5.0, 20.0, 40.0)],
)
def test_queries_between_two_instants_are_even_between_samples(
    start: float, end: float, expected: float
) -> None:
    samples = [(10.0, 100.0), (11.0, 110.0), (12.0, 140.0)]
    assert queries_between(samples, start, end) == pytest.approx(expected)
    assert queries_between(samples[:1], start, end) is None


# Reports


def test_report_as_text_says_all_and_has_a_row_a_phase() -> None:
    text = str(report(events=(Event(1.0, "silent"),), cap=1_000.0))
    assert "150 sent, 140 answered, 10 lost, 0 strays" in text
    assert "hosts: HOSTED 120\n" in text
    assert "random hosts: PENDING 20\n" in text
    assert "DNS queries of the daemon: 21, 0.14 a request; limits.upstream_qps allows 1,000 a second" in text
    began, silent = (line for line in text.splitlines() if "as it began" in line or "silent" in line)
    assert re.split(r"  +", began.strip())[:4] == ["0", "as it began", "100", "0"]
    assert re.split(r"  +", silent.strip())[1:4] == ["silent", "45", "10"]
    assert text.endswith("hosts: HOSTED 100 %\n        random hosts: PENDING 100 %")


def test_report_without_the_daemons_figures_says_why() -> None:
    unknown = [Timeline().observe(figures(1, hosted=1), 1.0)]
    text = str(report(intervals=tuple(unknown), why_unknown="nobody there"))
    assert "DNS queries of the daemon: unknown (nobody there)" in text


def test_report_as_json_has_phases_and_a_timeline() -> None:
    read = json.loads(json.dumps(report(events=(Event(1.0, "silent"),)).as_json()))
    assert read["whole"]["verdicts"] == {"HOSTED": 120}
    assert read["whole"]["verdicts_of_random"] == {"PENDING": 20}
    assert [phase["name"] for phase in read["phases"]] == ["as it began", "silent"]
    assert sum(interval["sent"] for interval in read["timeline"]) == read["whole"]["sent"] == 150
    assert read["whole"]["latency_us"]["p50"] == pytest.approx(1_000, rel=0.01)
    assert read["events"] == [{"at": 1.0, "text": "silent"}]


def test_report_shares_never_round_up_to_all_or_down_to_none() -> None:
    counts = Counter[int]({HOSTED: 99_999, PENDING: 1})
    assert report().shares(counts) == "HOSTED 99.9 %, PENDING < 0.1 %"
    assert report().shares(Counter[int]({HOSTED: 1})) == "HOSTED 100 %"
    assert report().shares(Counter()) == "-"


def test_report_as_a_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_reports(report(events=(Event(1.0, "slow <2> s"),)), [path])
    page = path.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "&lt;PDB&gt; &amp; co" in page
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", page)
    # URLs are names of XML vocabularies, never something to load.
    assert not re.findall(r"url\((?!#)|@import|<link|<img", page)
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314 - our own


# The command


@dataclass(frozen=True, kw_only=True)
class Faces:
    """A daemon for which all below `hosted.test` is hosted, and DNS is closed."""

    pdb: str
    dns: str
    admin: str


@pytest.fixture(scope="module")
def daemon() -> Iterator[Faces]:
    dns, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    config = (
        '[own]\naddresses = ["203.0.113.10"]\n'
        f'[listen]\npdb = "127.0.0.1:0"\ndns = "{dns}"\nadmin = "{admin}"\n'
        f'[dns]\nservers = ["127.0.0.1:{free_port()}"]\n'
        '[domains]\nstore = ""\nalways = ["hosted.test", ".hosted.test"]\n'
    )
    with running_daemon(config) as running:
        yield Faces(pdb=str(running.pdb), dns=dns, admin=admin)


def test_command_reports_what_a_daemon_says_in_every_form(
    daemon: Faces, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hosts").write_text("a.hosted.test\nb.hosted.test\n")
    files = [tmp_path / f"report{suffix}" for suffix in (".txt", ".json", ".png")]
    command = ["--server", daemon.pdb, "--admin", daemon.admin, "--hosts", str(tmp_path / "hosts")]
    command += ["--zipf", "1", "--random", "0.5", "--sources", "192.0.2.0/28", "--rate", "200"]
    command += ["--seconds", "1"]
    assert main([*command, *(part for file in files for part in ("--report", str(file)))]) == 0
    said = capsys.readouterr()
    text, as_json, png = files
    assert text.read_text() == said.out
    assert "200 sent" in said.out
    read = json.loads(as_json.read_text())
    assert read["whole"]["sent"] == 200
    assert read["whole"]["verdicts"] == {"HOSTED": read["whole"]["answered"] - sum_of_random(read)}
    assert read["upstream_qps"] == 1_000.0
    assert read["whole"]["dns_queries"] > 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "sent, 0 lost: " in said.err


def sum_of_random(read: dict[str, dict[str, dict[str, int]]]) -> int:
    return sum(read["whole"]["verdicts_of_random"].values())


def test_command_by_dns_names_sources_too(
    daemon: Faces, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zone = tmp_path / "zone"
    zone.write_text("$ORIGIN hosted.test.\n@ 60 SOA ns h 1 1 1 1 30\n_sip._udp.a 60 SRV 1 1 5060 edge\n")
    hosts = ["--zone-file", str(zone), "--sources", "192.0.2.7", "--admin", f"127.0.0.1:{free_port()}"]
    hosts += ["--rate", "100", "--seconds", "0.2"]
    assert main(["--server", daemon.dns, "--dns", "--quiet", *hosts]) == 0
    said = capsys.readouterr()
    assert "hosts: NOERROR, 1 answer 20" in said.out
    assert "DNS queries of the daemon: unknown (http://127.0.0.1:" in said.out
    assert said.err == ""


def test_command_marks_what_changed_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "lab.log"
    now = datetime.now(UTC)
    marks = [
        Mark(now - timedelta(hours=2), "silent"),
        Mark(now - timedelta(hours=1), "slow 1 s"),
        Mark(now + timedelta(hours=1), "normal"),
    ]
    log.write_text("".join(f"{mark}\n" for mark in marks))
    with pdb_server(lambda frame: [write_reply(frame, NOT_HOSTED)]) as server:
        command = ["--server", str(server.endpoint), "--random", "1", "--rate", "100", "--seconds", "0.2"]
        assert main([*command, "--even", "--marks", str(log)]) == 0
    text = capsys.readouterr().out
    assert "slow 1 s" in text
    assert "silent" not in text
    assert "normal" not in text
    assert "NOT_HOSTED 100 %" in text


def test_command_without_one_reply_exits_1() -> None:
    with pdb_server(lambda _frame: ()) as server:
        command = ["--server", str(server.endpoint), "--random", "1", "--rate", "50", "--seconds", "0.1"]
        assert main([*command, "--timeout", "0.05", "--quiet"]) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "no hosts to ask for"),
        (("--random", "1", "--server", "192.0.2.1"), "not a loopback address"),
        (("--random", "1", "--seconds", "3601"), "--seconds 3601: over 0, at most 3,600"),
        (("--random", "1", "--seconds", "nan"), "--seconds nan"),
        (("--random", "1", "--rate", "1e6", "--seconds", "60"), "at most 20,000,000 requests"),
        (("--random", "1", "--report", "x.pdf"), "--report x.pdf: the suffix is one of .txt, .json"),
        (("--random", "1", "--report", "absent/x.txt"), "--report absent/x.txt: no such folder"),
        (("--hosts", "absent"), "absent: No such file"),
        (("--zone-file", "absent"), "absent: cannot be read"),
        (("--axfr", "zone.example"), "zone.example: not ZONE@ADDRESS"),
        (("--nsec-walk", "zone.example@somewhere"), "not ZONE@ADDRESS"),
        (("--random", "1", "--sources", "here"), "--sources here"),
        (("--zipf", "0", "--random", "1"), "the exponent is over 0"),
        (("--hosts", "sourced", "--sources", "192.0.2.1"), "some of the hosts have a source already"),
    ],
)
def test_command_line_wrong_is_one_line_and_exit_2(
    arguments: Sequence[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sourced").write_text("a.example\nb.example 192.0.2.2\n")
    assert why in refusal(main, arguments, capsys)
