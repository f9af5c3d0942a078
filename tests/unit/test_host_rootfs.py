import os
import stat
from pathlib import Path

import pytest

from palan.host import syscalls
from palan.host.rootfs import LIMIT, follow_links, lookup, open_directory, read_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0\n")
    (tmp_path / "secret").write_text("of the host\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("of the host\n")
    return root


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "etc/passwd", "//etc/../etc/./passwd", "../../../etc/passwd"]
)
def test_a_file_is_read_from_inside(root, path):
    assert read_text(root, path) == "root:x:0:0\n"


@pytest.mark.parametrize("target", ["../secret", "/../secret", "../../secret", "/etc/../../secret"])
def test_a_link_does_not_lead_out_of_the_root(root, target):
    (root / "link").symlink_to(target)
    assert read_text(root, "/link") == ""


def test_an_absolute_link_is_followed_inside(root):
    (root / "link").symlink_to("/etc/passwd")
    (root / "dir").symlink_to("/etc")
    (root / "up").symlink_to("../../../../etc")
    for path in ("link", "dir/passwd", "up/passwd"):
        assert read_text(root, path) == "root:x:0:0\n"


def test_an_absolute_link_to_a_file_of_the_host_is_not_that_file(root, tmp_path):
    (root / "link").symlink_to(tmp_path / "secret")
    assert read_text(root, "link") == ""


def test_an_absent_file_is_empty(root):
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    for path in ("absent", "absent/passwd", "etc/passwd/x", "loop", "dangling"):
        assert read_text(root, path) == ""


def test_a_file_that_is_not_regular_is_empty_and_does_not_block(root):
    os.mkfifo(root / "fifo")
    for path in ("fifo", "etc", "."):
        assert read_text(root, path) == ""


def test_a_file_that_is_not_regular_is_not_even_opened(root, monkeypatch):
    os.mkfifo(root / "fifo")
    opened = []
    original = syscalls.openat2

    def openat2(dirfd, path, flags, *arguments, **options):
        opened.append(flags)
        return original(dirfd, path, flags, *arguments, **options)

    monkeypatch.setattr(syscalls, "openat2", openat2)
    assert read_text(root, "fifo") == ""
    assert opened == [os.O_PATH]


def test_invalid_utf8_is_replaced(root):
    (root / "odd").write_bytes(b"a\xffb")
    assert read_text(root, "odd") == "a\ufffdb"


def test_a_large_file_is_truncated(root):
    with (root / "large").open("wb") as file:
        file.truncate(LIMIT + 10)
    assert len(read_text(root, "large")) == LIMIT


def test_a_directory_is_opened_inside(root):
    (root / "link").symlink_to("/etc")
    for path in ("/etc", "link"):
        with open_directory(root, path) as fd:
            assert fd is not None
            assert [entry.name for entry in os.scandir(fd)] == ["passwd"]
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


def test_an_absent_directory_has_no_entries(root, tmp_path):
    (root / "out").symlink_to("../etc/passwd")
    (root / "host").symlink_to(tmp_path)
    for path in ("absent", "etc/passwd", "out", "host"):
        with open_directory(root, path) as fd:
            assert fd is None


def test_an_absent_root_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "absent", "etc/passwd")


@pytest.fixture
def top(root):
    fd = os.open(root, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("etc//./passwd", "/etc/passwd"),
        ("/absolute", "/etc/passwd"),
        ("/absolute/..", "/etc"),
        ("/up", "/etc"),
        ("/up/passwd", "/etc/passwd"),
        ("/up/missing/deeper", "/etc/missing/deeper"),
        ("/dangling", "/no/where"),
        ("/dangling/more", "/no/where/more"),
        ("/chain", "/etc/passwd"),
        ("../../..", "/"),
    ],
)
def test_links_are_resolved_as_far_as_the_path_exists(root, top, path, expected):
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "up").symlink_to("../../../etc")
    (root / "dangling").symlink_to("no/where")
    (root / "chain").symlink_to("up/../absolute")
    assert follow_links(top, path) == expected


def test_a_cycle_of_links_is_an_error(root, top):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("/a")
    with pytest.raises(OSError, match="symbolic links"):
        follow_links(top, "/a")


def test_a_path_is_looked_up_inside(root, top):
    (root / "link").symlink_to("/etc")
    for path, follow, kind in (
        ("/link", False, stat.S_IFLNK),
        ("/link", True, stat.S_IFDIR),
        ("/link/", False, stat.S_IFDIR),
        ("/link/.", False, stat.S_IFDIR),
        ("/../../link/passwd", False, stat.S_IFREG),
    ):
        found = lookup(top, path, follow=follow)
        assert stat.S_IFMT(os.fstat(found).st_mode) == kind
        os.close(found)
    with pytest.raises(FileNotFoundError):
        lookup(top, "/secret", follow=True)
    with pytest.raises(NotADirectoryError):
        lookup(top, "/etc/passwd/", follow=False)
