"""Files that are replaced as a whole: only regular ones, with their mode, and never half."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from palan.atomic_file import NotReplaceable, atomic_file


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.symlink_to("target")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "a directory"),
        (_link, "a symbolic link directly"),
        (_fifo, "a named pipe (FIFO)"),
        (_socket, "a socket"),
    ],
)
def test_what_is_not_regular_is_not_replaced(
    tmp_path: Path, make: Callable[[Path], None], words: str
):
    make(tmp_path / "there")
    before = (tmp_path / "there").lstat()
    with pytest.raises(NotReplaceable) as raised, atomic_file(tmp_path / "there"):
        pytest.fail("the block must not run")
    assert str(raised.value).endswith(f"cannot write to {words}")
    assert (tmp_path / "there").lstat() == before
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_device_is_not_replaced():
    before = Path("/dev/null").lstat()
    with pytest.raises(NotReplaceable, match="cannot write to a character device file"):
        with atomic_file(Path("/dev/null")):
            pytest.fail("the block must not run")
    assert Path("/dev/null").lstat().st_ino == before.st_ino


def test_a_directory_that_does_not_exist(tmp_path: Path):
    with pytest.raises(NotReplaceable, match="does not exist"), atomic_file(tmp_path / "a" / "b"):
        pytest.fail("the block must not run")


def test_modes(tmp_path: Path):
    path = tmp_path / "file"
    with atomic_file(path) as file:
        file.write(b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with atomic_file(path) as file:
        file.write(b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o640)
    path.chmod(0o4755)
    with atomic_file(path, mode=0o644):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_the_temporary_file_is_new_closed_to_others_and_removed(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    names = []
    for _ in range(2):
        with pytest.raises(RuntimeError), atomic_file(path) as file:
            file.write(b"half")
            (temporary,) = (p for p in tmp_path.iterdir() if p != path)
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
            names.append(temporary.name)
            raise RuntimeError
    assert names[0] != names[1]
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_has_been_put_in_the_way_meanwhile_is_not_replaced(tmp_path: Path):
    path = tmp_path / "file"
    with pytest.raises(NotReplaceable), atomic_file(path):
        path.symlink_to("elsewhere")
    assert path.is_symlink()
