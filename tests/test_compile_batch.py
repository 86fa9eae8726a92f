"""The compiled form: made where there is a compiler, done without where there is none."""

import shutil
import socket
from pathlib import Path

import pytest

from fastvhost.compiled_library import NotCompiledError
from fastvhost.faces import compiled, udp
from fastvhost.faces.compiled import CompiledBatch, Repeater
from fastvhost.faces.mmsg_batch import MmsgBatch
from tools.compile_batch import compile_batch

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library is looked for; nothing is there yet."""
    path = tmp_path / "libbatch.so"
    monkeypatch.setattr(compiled, "LIBRARY", path)
    return path


def batch_that_is_taken() -> type:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        batch = udp.open_batch(sock, 4)
        batch.close()
    return type(batch)


@needs_cc
def test_compiled_form_is_taken_once_it_is_there(library: Path) -> None:
    assert batch_that_is_taken() is MmsgBatch
    assert compile_batch(library) is None
    assert batch_that_is_taken() is Repeater
    assert [path.name for path in library.parent.iterdir()] == ["libbatch.so"]


@pytest.mark.parametrize("compiler", ["/nonexistent/cc", "false"])
def test_without_a_compiler_that_works_there_is_a_reason_and_no_library(
    library: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    library.write_bytes(b"an old one")
    monkeypatch.setenv("CC", compiler)
    problem = compile_batch(library)
    assert problem is not None
    assert compiler in problem
    assert list(library.parent.iterdir()) == []
    assert batch_that_is_taken() is MmsgBatch


@pytest.mark.parametrize("octets", [b"", b"not a library"])
def test_library_that_cannot_be_loaded_is_done_without(library: Path, octets: bytes) -> None:
    library.write_bytes(octets)
    assert batch_that_is_taken() is MmsgBatch


@needs_cc
def test_library_of_another_version_is_done_without(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compile_batch(library) is None
    monkeypatch.setattr(compiled, "_ABI", -1)
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(NotCompiledError, match="another version"),
    ):
        CompiledBatch(sock, 4, 1)
    assert batch_that_is_taken() is MmsgBatch
