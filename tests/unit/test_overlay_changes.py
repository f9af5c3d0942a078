"""The changes in an upper directory, without an overlay and without whiteouts that need root."""

import os
from pathlib import Path

import pytest

from palan.host.filesystem import remove_tree
from palan.host.overlay_changes import ADDED, MODIFIED, changes


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1000, 1000))
    return root


def found(upper: Path, *lowers: Path) -> list[tuple[str, int]]:
    return [(change.path, change.kind) for change in changes(upper, lowers)]


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


def test_an_empty_upper_directory_has_no_changes(upper, tmp_path):
    assert found(upper, tree(tmp_path / "lower", a="1")) == []


def test_files_and_their_directories_are_added_or_modified(upper, tmp_path):
    lower = tree(tmp_path / "lower", dir__same="1", dir__other="1", kept__same="1")
    tree(upper, dir__same="1", dir__other="22", kept__same="1", new__deep__file="1")
    assert found(upper, lower) == [
        ("/dir", MODIFIED),
        ("/dir/other", MODIFIED),
        ("/new", ADDED),
        ("/new/deep", ADDED),
        ("/new/deep/file", ADDED),
    ]


def test_only_visible_lower_files_are_compared(upper, tmp_path):
    top = tree(tmp_path / "top", name="now a file")
    bottom = tree(tmp_path / "bottom", name__inside="1", other="1")
    tree(upper, name__inside="1")
    assert found(upper, top, bottom) == [("/name", MODIFIED), ("/name/inside", ADDED)]


def test_links_are_not_followed(upper, tmp_path):
    outside = tree(tmp_path / "outside", secret="1")
    lower = tmp_path / "lower"
    lower.mkdir()
    (lower / "link").symlink_to(outside)
    (upper / "out").symlink_to(outside)
    tree(upper, link__secret="1")
    assert found(upper, lower) == [
        ("/link", MODIFIED),
        ("/link/secret", ADDED),
        ("/out", ADDED),
    ]


def test_very_deep_directories(upper):
    here = upper
    os.chdir(upper)
    try:
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir("/")
    try:
        names = found(here)
        assert len(names) > 1500
        assert all(kind == ADDED for _, kind in names)
    finally:
        remove_tree(upper / "d")  # pytest cannot remove it
