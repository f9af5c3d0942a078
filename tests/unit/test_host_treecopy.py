"""Copying between trees: what is copied, and that nothing outside is touched."""

import os
import stat
from pathlib import Path

import pytest

from palan.host import treecopy
from palan.host.treecopy import TreeCopy


@pytest.fixture
def trees(tmp_path):
    for name in ("source", "target", "outside"):
        (tmp_path / name).mkdir()
    source = tmp_path / "source"
    (source / "d").mkdir(mode=0o711)
    (source / "d/file").write_text("text")
    (source / "d/file").chmod(0o640)
    (source / "twin").hardlink_to(source / "d/file")
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo", 0o622)
    os.utime(source / "d/file", ns=(5, 10**18 + 7))
    source.chmod(0o751)
    return tmp_path


def copy(trees):
    source, target = (
        os.open(trees / name, os.O_PATH | os.O_DIRECTORY) for name in ("source", "target")
    )
    try:
        own = (os.getuid(), os.getgid())
        TreeCopy(source, target, own, xattrs=True).copy_contents("", "", itself=True)
    finally:
        os.close(source)
        os.close(target)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_everything_is_copied(trees):
    copy(trees)
    target = trees / "target"
    assert (target / "d/file").read_text() == "text"
    assert (target / "d/file").stat().st_mtime_ns == 10**18 + 7
    assert (target / "twin").samefile(target / "d/file")
    assert os.readlink(target / "link") == "/etc/passwd"  # noqa: PTH115
    assert stat.S_ISFIFO((target / "fifo").lstat().st_mode)
    assert [mode(target / name) for name in ("d", "d/file", "fifo", ".")] == [
        0o711, 0o640, mode(trees / "source/fifo"), 0o751,
    ]  # fmt: skip


def test_what_is_in_the_way_is_replaced(trees):
    target, outside = trees / "target", trees / "outside"
    (outside / "file").write_text("kept")
    for name in ("d", "twin", "fifo"):
        (target / name).symlink_to(outside)
    (target / "link").mkdir()
    (target / "link/x").write_text("")
    copy(trees)
    assert (target / "d/file").read_text() == "text"
    assert os.readlink(target / "link") == "/etc/passwd"  # noqa: PTH115
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "kept"


def replaced_by_link(monkeypatch, module, function, path: Path, outside: Path):
    """Let a container replace a file by a link right after a function was called."""
    original = getattr(module, function)

    def call(*arguments, **options):
        result = original(*arguments, **options)
        if not path.is_symlink():
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
            path.symlink_to(outside)
        return result

    monkeypatch.setattr(module, function, call)


def test_a_directory_that_becomes_a_link_is_not_followed(trees, monkeypatch):
    outside = trees / "outside"
    place = trees / "target/d"
    replaced_by_link(monkeypatch, treecopy, "_make_directory", place, outside)
    with pytest.raises(OSError, match="symbolic links"):
        copy(trees)
    assert list(outside.iterdir()) == []


def test_a_link_that_appears_before_a_file_is_written_is_not_followed(trees, monkeypatch):
    victim = trees / "outside/victim"
    victim.write_text("kept")
    replaced_by_link(monkeypatch, treecopy, "_remove", trees / "target/twin", victim)
    with pytest.raises(FileExistsError):
        copy(trees)
    assert victim.read_text() == "kept"


def test_a_fifo_that_becomes_a_link_does_not_change_its_target(trees, monkeypatch):
    victim = trees / "outside/victim"
    victim.write_text("kept")
    victim.chmod(0o600)
    replaced_by_link(monkeypatch, os, "mknod", trees / "target/fifo", victim)
    before = victim.stat()
    copy(trees)
    after = victim.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (
        before.st_mode, before.st_uid, before.st_mtime_ns,
    )  # fmt: skip
