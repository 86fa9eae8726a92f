"""The file of a snapshot: replaced whole or not at all, for nobody else, and no link is followed."""

import os
import stat
from pathlib import Path

import pytest

from fastvhost.snapshot_file import Replacement, Unread, read_own_file


def replaced(path: Path, octets: bytes) -> None:
    replacement = Replacement(path)
    replacement.write(octets)
    replacement.commit()
    replacement.end()


def test_file_that_is_replaced_is_only_ours_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"first")
    replaced(path, b"second")
    assert read_own_file(path, 6) == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_file_stays_as_it_was_until_it_is_replaced_and_where_it_never_is(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"first")
    replacement = Replacement(path)
    replacement.write(b"half of the sec")
    assert replacement.octets == 15
    assert read_own_file(path, 100) == b"first"
    replacement.end()
    assert read_own_file(path, 100) == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_beside_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    (tmp_path / "snapshot.new").write_bytes(b"torn, and longer than what comes")
    replaced(path, b"whole")
    assert read_own_file(path, 100) == b"whole"


def test_links_in_the_place_of_either_file_are_replaced_and_not_followed(tmp_path: Path) -> None:
    path, precious = tmp_path / "snapshot", tmp_path / "precious"
    precious.write_bytes(b"precious")
    path.symlink_to(precious)
    (tmp_path / "snapshot.new").symlink_to(precious)
    replaced(path, b"whole")
    assert precious.read_bytes() == b"precious"
    assert not path.is_symlink()
    assert read_own_file(path, 100) == b"whole"


@pytest.mark.parametrize("place", ["nowhere/snapshot", "file/snapshot"])
def test_file_in_no_directory_cannot_be_begun(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        Replacement(tmp_path / place)


def test_file_is_read_up_to_its_bound_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"12345")
    assert read_own_file(path, 5) == b"12345"
    assert read_own_file(path, 4) == Unread("it is too large: 5 octets")


def test_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_own_file(tmp_path / "snapshot", 5) is None


def test_file_that_others_may_write_or_that_is_none_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"1")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    assert read_own_file(link, 5) == Unread("it cannot be read: Too many levels of symbolic links")
    assert read_own_file(pipe, 5) == Unread("it is no regular file")
    assert read_own_file(tmp_path, 5) == Unread("it is no regular file")
    for mode in (0o620, 0o602):
        path.chmod(mode)
        assert read_own_file(path, 5) == Unread("others than we can write it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_file_of_somebody_else_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"1")
    os.chown(path, 12_345, 12_345)
    assert read_own_file(path, 5) == Unread("others than we can write it")


def test_full_disk_is_an_error_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    replaced(path, b"first")
    replacement = Replacement(path)
    os.dup2(full := os.open("/dev/full", os.O_WRONLY), replacement._file)
    os.close(full)
    with pytest.raises(OSError, match="No space left on device"):
        replacement.write(b"second")
    replacement.end()
    assert read_own_file(path, 100) == b"first"
    assert list(tmp_path.iterdir()) == [path]
