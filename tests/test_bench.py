"""What the benchmarks make of their measurements; the measurements themselves are no tests."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from bench.command import parse, parser_of, reported
from bench.generator import Load, generate
from bench.open_loop import Latency, medians, print_medians
from bench.processes import BenchError, free_port, running, serving
from bench.quick import main as quick
from bench.report import main as report
from bench.report import tables, with_tables
from tools.table import markdown, plain

ROWS = [("name", "figure"), ("hits", "1,000"), ("misses", "7")]
README = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"

CIRCUMSTANCES = {
    "command": "python -m bench.load",
    "date": "2026-11-23T06:33:28+00:00",
    "commit": "2ff32910dccf746075f621be88da0ec841ea55c3+changes",
    "machine": {"processor": "Some CPU", "cores": 2, "system": "Linux 6"},
    "versions": {"fastvhost": "0.1.0", "trio": "0.35.0"},
    "load_average": [0.84, 0.78, 1.04],
}
CASE = {
    "name": "hits",
    "asked": "fastvhost, PDB",
    "window": 128,
    "median": 150_000.0,
    "lowest": 140_000.0,
    "highest": 151_000.0,
    "of_echo": 0.5,
    "core_used": 0.98,
    "queries_per_answer": 0.0,
    "lost": 3,
}
LATENCY = {
    "scene": "alone",
    "share": 0.1,
    "rate": 1_000.0,
    "unknown_rate": 0.0,
    "sent": 2_000,
    "lost": 0,
    "p50": 50.0,
    "p99": 100.0,
    "p999": None,
    "highest": 300.0,
    "waited": 2.0,
}


def latency(p99: float | None, *, lost: int = 0) -> Latency:
    return Latency(**(LATENCY | {"p99": p99, "lost": lost}))


def test_plain_table_has_columns_to_the_right() -> None:
    assert plain(ROWS) == "  name  figure\n  hits   1,000\nmisses       7"


def test_markdown_table_has_a_rule_below_its_headings() -> None:
    assert markdown(ROWS) == "| name | figure |\n|---|---|\n| hits | 1,000 |\n| misses | 7 |"


def test_medians_take_the_middle_of_latencies_and_the_sum_of_losses() -> None:
    middle = medians([latency(100.0, lost=1), latency(900.0), latency(200.0, lost=2)])
    assert (middle.p99, middle.lost, middle.sent, middle.p999) == (200.0, 3, 6_000, None)
    assert middle.p99_of_runs == (100.0, 900.0)


def test_medians_leave_out_runs_without_an_answer() -> None:
    assert medians([latency(None), latency(300.0), latency(None)]).p99 == 300.0
    assert medians([latency(None)]).p99_of_runs == ()


def test_medians_are_printed_and_told_of_each_scene_and_share_in_the_order_of_the_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = latency(100.0), replace(latency(300.0), scene="a flood")
    told = json.loads(json.dumps(print_medians([first, second, first, replace(first, share=0.5)])))
    assert [(one["scene"], one["share"]) for one in told["medians"]] == [
        ("alone", 0.1),
        ("a flood", 0.1),
        ("alone", 0.5),
    ]
    assert [run["p99"] for run in told["runs"]] == [100.0, 300.0, 100.0, 100.0]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_output_of_a_benchmark_is_by_default_among_the_results() -> None:
    arguments = parse(parser_of("load", "The figure.\n\nMore of it."), [])
    assert arguments.output == Path(__file__).parents[1] / "bench" / "results" / "load.json"


def test_report_has_the_circumstances_and_what_was_measured(tmp_path: Path) -> None:
    output = tmp_path / "new" / "load.json"
    with reported("python -m bench.load --runs 1", output) as figures:
        figures["seconds"] = 1.0
    written = json.loads(output.read_text())
    assert (written["command"], written["seconds"]) == ("python -m bench.load --runs 1", 1.0)
    assert "machine" in written


@pytest.mark.parametrize("error", [BenchError("not ready"), OSError("not ready"), KeyError("not ready")])
def test_part_that_does_not_come_up_is_one_line_and_exit_2(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "load.json"
    with pytest.raises(SystemExit) as ended, reported("python -m bench.load", output, LookupError):
        raise error
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"bench.load: {error}\n"
    assert not output.exists()


def test_report_that_cannot_be_written_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "file" / "load.json"
    output.parent.write_text("no directory")
    with pytest.raises(SystemExit) as ended, reported("python -m bench.load", output):
        pass
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_tables_go_between_the_marks_of_the_readme() -> None:
    written = with_tables(README, "new")
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert with_tables(written, "new") == written


@pytest.mark.parametrize("readme", ["none", "<!-- figures: end --><!-- figures: begin -->"])
def test_a_readme_without_marks_is_an_error(readme: str) -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        with_tables(readme, "new")


def test_report_writes_tables_and_plots_of_what_was_measured(tmp_path: Path) -> None:
    load = CIRCUMSTANCES | {
        "cases": [CASE],
        "not_measured": ["dnsdist (dnsdist)"],
        "peers": {"unbound": "1.17"},
    }
    (tmp_path / "load.json").write_text(json.dumps(load))
    (tmp_path / "latency.json").write_text(json.dumps(CIRCUMSTANCES | {"medians": [LATENCY]}))
    (tmp_path / "other.json").write_text("not of ours")
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert report(["--results", str(tmp_path), "--readme", str(readme)]) == 0
    written = readme.read_text()
    assert (
        "| hits | fastvhost, PDB | 128 | 150,000 | 140,000 | 151,000 | 0.500 | 0.98 | 0.000 | 3 |" in written
    )
    assert "2026-11-23, commit 2ff32910dccf+changes, 2 cores (Some CPU, Linux 6), trio 0.35.0" in written
    assert "Not installed, not measured: dnsdist (dnsdist)." in written
    assert "| alone | 10% | 1,000 | 0 | 2,000 | 0 | 50 | 100 | - | - | 300 |" in written
    assert "### Start" not in written
    assert {path.name for path in tmp_path.glob("*.svg")} == {"load.svg", "latency.svg"}


def test_report_keeps_no_single_timings(tmp_path: Path) -> None:
    benchmark = {
        "name": "test_decide",
        "extra_info": {"walks": 100},
        "stats": {"median": 1e-3, "data": [1e-3]},
    }
    micro = {
        "machine_info": {"cpu": {}, "python_version": "3.11"},
        "commit_info": {"id": "2ff32910dccf746075f621be88da0ec841ea55c3"},
        "datetime": "2026-11-23T06:33:28",
        "benchmarks": [benchmark],
    }
    (tmp_path / "micro.json").write_text(json.dumps(micro))
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert report(["--results", str(tmp_path), "--readme", str(readme)]) == 0
    assert "| decide | 10.00 |" in readme.read_text()
    (kept,) = json.loads((tmp_path / "micro.json").read_text())["benchmarks"]
    assert kept["stats"] == {"median": 1e-3}


def test_tables_of_nothing_are_empty() -> None:
    assert tables({}) == ""


def test_report_without_marks_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("none")
    assert report(["--results", str(tmp_path), "--readme", str(readme)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.server("cc")
def test_upstream_in_c_says_that_no_host_exists(tmp_path: Path) -> None:
    program = tmp_path / "nobody"
    source = Path(__file__).parents[1] / "bench" / "nobody.c"
    subprocess.run(["cc", "-Wall", "-Werror", "-o", program, source], check=True)
    with running([str(program)], ready=r"^(\d+)$", core=None) as server:
        query = dns.message.make_query("some.host.invalid", "NAPTR", use_edns=0)
        reply = dns.query.udp(query, "127.0.0.1", port=server.port, timeout=5.0)
    assert reply.rcode() is dns.rcode.NXDOMAIN
    assert reply.question == query.question
    assert [(str(found.name), found.rdtype) for found in reply.authority] == [(".", dns.rdatatype.SOA)]


def test_generator_that_finds_nobody_is_an_error() -> None:
    with pytest.raises(BenchError, match="exit status 2"):
        generate(Load(port=free_port(), unknown_share=1.0), 0.1, None)


def test_server_that_ends_before_it_answers_is_an_error_with_its_last_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('first'); print('no such option')"]
    with (
        pytest.raises(BenchError, match="no such option"),
        serving(command, port=1, answers=lambda _: False, core=None, directory=tmp_path),
    ):
        pytest.fail("it is not serving")


def test_server_is_ended_with_its_block(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = f"import socket, time; socket.create_connection(('127.0.0.1', {port})); time.sleep(60)"
        listener.settimeout(60.0)

        def connected(_: int) -> bool:
            listener.accept()[0].close()
            return True

        with serving(
            [sys.executable, "-c", program], port=port, answers=connected, core=None, directory=tmp_path
        ) as server:
            assert server.port == port
            assert server.resident_octets() > 0
        with pytest.raises(FileNotFoundError):
            server.resident_octets()


def test_quick_with_an_unknown_commit_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert quick(["--base", "no-such-commit"]) == 2
    said = capsys.readouterr().err
    assert "no-such-commit" in said
    assert said.count("\n") == 1
