"""Atomic writes, and removal and size of trees."""

import os
import shutil
import subprocess

import pytest

from palan.host import filesystem, mounts


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "file"
    filesystem.write_atomically(path, "one")
    filesystem.write_atomically(path, b"two", 0o600, durable=True)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        filesystem.write_atomically(tmp_path / "file", "x")
    assert names(tmp_path) == ["file"]


def test_a_tree_is_removed_without_the_targets_of_links(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").touch()
    (tree / "a/link").symlink_to(outside)
    (tree / "dangling").symlink_to("nowhere")
    filesystem.remove_tree(tree)
    assert names(tmp_path) == ["outside"]
    assert (outside / "kept").exists()


def test_directories_without_write_permission_are_removed(tmp_path):
    closed = tmp_path / "tree/closed"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0)
    filesystem.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_very_deep_trees_are_removed(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    filesystem.remove_tree(tmp_path / "d")
    assert names(tmp_path) == []


def test_files_and_links_are_removed_and_absent_paths_ignored(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "absent", "absent/below"):
        filesystem.remove_tree(tmp_path / name)
    assert names(tmp_path) == []


def test_trees_with_mount_points_are_refused(tmp_path, monkeypatch):
    line = f"50 27 0:40 / {tmp_path}/tree/mnt rw - tmpfs tmpfs rw"
    monkeypatch.setattr(mounts, "mountinfo", lambda: mounts.parse_mountinfo(line))
    (tmp_path / "tree/mnt").mkdir(parents=True)
    for number in range(100):  # a small directory is measured entry by entry
        (tmp_path / f"tree/{number}").touch()
    with pytest.raises(OSError, match="mounted"):
        filesystem.remove_tree(tmp_path / "tree")
    assert (tmp_path / "tree/mnt").exists()


def test_links_in_a_small_tree_are_not_followed(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/away").symlink_to("/proc")
    (tmp_path / "tree/dangling").symlink_to("nowhere")
    filesystem.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    (tmp_path / "link").symlink_to("/")
    filesystem.remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()


def test_hard_links_are_counted_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a/file", tmp_path / "again")
    (tmp_path / "other").write_bytes(b"y" * 10)
    (tmp_path / "link").symlink_to("other")
    assert filesystem.directory_size(tmp_path) == 1000 + 10 + len("other")
    assert filesystem.directory_size(tmp_path / "absent") == 0


def test_chown_changes_links_and_not_their_targets(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    (tmp_path / "tree/link").symlink_to("nowhere")
    uid, gid = os.getuid(), os.getgid()
    filesystem.chown_no_follow(tmp_path / "tree", uid, gid, recursive=True)
    assert (tmp_path / "tree/link").lstat().st_uid == uid


@pytest.mark.skipif(shutil.which("lsattr") is None, reason="needs lsattr")
def test_subdirectories_are_spread_if_the_file_system_supports_it(tmp_path):
    (tmp_path / "trees").mkdir()
    filesystem.spread_subdirectories(tmp_path / "trees")
    filesystem.spread_subdirectories(tmp_path / "trees")  # no change, no error
    (tmp_path / "trees/one").mkdir()
    listing = subprocess.run(
        ["lsattr", "-d", tmp_path / "trees"], check=False, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("this file system has no such attributes")
    assert "T" in listing.stdout.split()[0]
