"""The targets of tools.fuzz: every input that is kept, mutations of them, the fuzzers for a second each."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.faces.compiled import LIBRARY
from tools.fuzz import __main__ as command_line
from tools.fuzz.registry import CORPUS, TARGETS, inputs_of, load
from tools.fuzz.sanitised import compile_sanitised, keep_current
from tools.fuzz.seeds import seeds

KEPT = [(name, path) for name in TARGETS for path in inputs_of(name)]
ROOT = Path(__file__).parents[1]
LARGEST_KEPT = 4_300

MUTATIONS = st.lists(
    st.tuples(st.integers(0, 700), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4
)
"""Place, octets taken out, octets put in."""


def skip_what_is_not_compiled(name: str) -> None:
    if TARGETS[name].in_c and not LIBRARY.exists():
        pytest.skip("not compiled here")


def mutated(octets: bytes, mutations: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, put in mutations:
        at = place % (len(octets) + 1)
        octets = octets[:at] + put + octets[at + gone :]
    return octets


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT])
def test_input_that_is_kept_breaks_no_invariant(name: str, path: Path) -> None:
    skip_what_is_not_compiled(name)
    load(TARGETS[name])(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_what_is_kept_break_no_invariant(name: str) -> None:
    skip_what_is_not_compiled(name)
    check = load(TARGETS[name])

    @given(st.sampled_from([path.read_bytes() for path in inputs_of(name)]), MUTATIONS)
    @settings(deadline=None, database=None, max_examples=100 if TARGETS[name].in_c else 300)
    def check_mutated(octets: bytes, mutations: list[tuple[int, int, bytes]]) -> None:
        check(mutated(octets, mutations))

    check_mutated()


def test_corpus_has_the_seeds_of_every_target_and_nothing_large() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS) == set(seeds())
    for name, messages in seeds().items():
        for message, octets in messages.items():
            assert (CORPUS / name / message).read_bytes() == octets, "python -m tools.fuzz.seeds writes them"
    assert all(path.stat().st_size <= LARGEST_KEPT for _, path in KEPT)


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_fuzzers_find_no_fault_in_a_second_each(tmp_path: Path) -> None:
    why = compile_sanitised(tmp_path / "libbatch.so")
    names = [name for name in TARGETS if why is None or not TARGETS[name].in_c]
    ran = fuzz(*names, "--seconds", str(len(names)), "--seed", "1", "--found", str(tmp_path))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert re.findall(r"^(\w+) +[1-9][\d,]* inputs", ran.stdout, re.MULTILINE) == names


def test_fuzzer_that_finds_a_fault_is_status_1_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "\n".join(f"line {number}" for number in range(300))
    failed = subprocess.CompletedProcess[str]([], 77, f"{lines}\nstat::number_of_executed_units: 12\n")
    monkeypatch.setattr(command_line, "_run", lambda *_: failed)
    assert command_line.main(["pdb", "--found", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "line 299" in told
    assert "line 9\n" not in told
    assert told.endswith("a fault: exit status 77\n")


def test_input_that_ends_a_sanitised_process_is_kept(tmp_path: Path) -> None:
    keep_current(tmp_path)
    (tmp_path / "current").write_bytes(b"octets")
    keep_current(tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("crash-")
    assert kept.read_bytes() == b"octets"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["smtp"], "smtp: not one of pdb, dns"),
        (["pdb", "dns", "--seconds", "1"], "--seconds 1: at least one for each of 2 targets"),
        (["pdb", "--seconds", "soon"], "argument --seconds"),
        (["--input", "x"], "--input: name one target"),
        (["pdb", "--input", "/nonexistent"], "/nonexistent: No such file or directory"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments: list[str], problem: str) -> None:
    ran = fuzz(*arguments)
    assert ran.returncode == 2
    assert problem in ran.stderr
    assert ran.stderr.count("\n") == 1
