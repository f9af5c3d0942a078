"""Unpacking never writes outside of its root, whatever the archive contains."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palan.host.archive.extract import Extractor, clean
from palan.host.archive.headers import ArchiveError, Entry, Kind
from palan.host.archive.reader import TarReader


OPAQUE = "user.overlay.opaque"


def unpack(root: Path, *entries: Entry | tuple[Entry, bytes], **options) -> Extractor:
    extractor = Extractor(str(root), opaque_xattr=OPAQUE, **options)
    mine = {"uid": os.getuid(), "gid": os.getgid()}
    for item in entries:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.uid, entry.gid = mine["uid"], mine["gid"]
        entry.size = entry.stored = len(data)
        extractor.add(entry, iter([memoryview(data)] if data else []))
    extractor.finish()
    return extractor


def file(name: str, **attributes) -> Entry:
    return Entry(name, **attributes)


def folder(name: str, mode: int = 0o755, **attributes) -> Entry:
    return Entry(name, Kind.DIRECTORY, mode=mode, **attributes)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, Kind.SYMLINK, linkname=target)


def hardlink(name: str, target: str) -> Entry:
    return Entry(name, Kind.HARDLINK, linkname=target)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError:
        return False


def is_whiteout(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [("a", "a"), ("/a//b/", "a/b"), ("./a/./b", "a/b"), ("a/../b", "b"), (".", ""), ("", "")],
)
def test_names_are_cleaned(name, cleaned):
    assert clean(name) == cleaned


@pytest.mark.parametrize("name", ["..", "../a", "a/../../b", "/../etc/passwd", "a" * 5000])
def test_names_that_leave_the_root_are_refused(name, tmp_path):
    with pytest.raises(ArchiveError):
        unpack(tmp_path, file(name))


def test_a_file_has_the_metadata_of_its_entry(tmp_path):
    made = unpack(tmp_path, (file("a/b", mode=0o4751, mtime_ns=1_600_000_000_123_456_789), b"text"))
    info = (tmp_path / "a/b").stat()
    assert stat.S_IMODE(info.st_mode) == 0o4751
    assert info.st_mtime_ns == 1_600_000_000_123_456_789
    assert (tmp_path / "a/b").read_bytes() == b"text"
    assert set(made.implicit()) == {"", "a"}
    assert made.size == 4


def test_a_directory_keeps_its_time_and_mode_after_it_is_filled(tmp_path):
    unpack(tmp_path, folder("a", 0o2555, mtime_ns=10**18), (file("a/b"), b"x"))
    info = (tmp_path / "a").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns) == (0o2555, 10**18)


def test_a_link_is_followed_only_within_the_root(tmp_path):
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    unpack(
        root,
        symlink("absolute", str(outside)),
        symlink("up", "../../../outside"),
        (file("absolute/a"), b"1"),
        (file("up/b"), b"2"),
    )
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "a").read_bytes() == b"1"
    assert (root / "outside/b").read_bytes() == b"2"


def test_a_link_is_never_written_through(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    root = tmp_path / "root"
    root.mkdir()
    unpack(root, symlink("a", str(outside)), (file("a"), b"new"))
    assert outside.read_text() == "untouched"
    assert not (root / "a").is_symlink()


def test_a_hard_link_cannot_reach_outside(tmp_path):
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(ArchiveError):
        unpack(root, hardlink("a", "../secret"))
    with pytest.raises(ArchiveError, match="does not exist"):
        unpack(root, symlink("up", ".."), hardlink("a", "up/secret"))
    unpack(root, symlink("s", str(tmp_path / "secret")), hardlink("t", "s"))
    assert (root / "t").is_symlink()


def test_hard_links_share_one_file(tmp_path):
    unpack(tmp_path, (file("a"), b"x"), hardlink("b", "./a"), hardlink("a", "a"))
    assert (tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino


def test_metadata_of_a_hard_link_apply_to_the_file(tmp_path):
    entry = hardlink("b", "a")
    entry.mode, entry.mtime_ns, entry.xattrs = 0o4711, 5 * 10**9, {"user.note": b"x"}
    unpack(tmp_path, (file("a"), b"x"), entry, symlink("s", "a"), hardlink("t", "s"))
    info = (tmp_path / "a").stat()
    assert (info.st_mode & 0o7777, info.st_mtime) == (0o4711, 5)
    assert os.getxattr(tmp_path / "a", "user.note") == b"x"
    assert (tmp_path / "t").is_symlink()


def test_a_cycle_of_links_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="too many symbolic links"):
        unpack(tmp_path, symlink("a", "b"), symlink("b", "a"), file("a/x"))


def test_a_directory_replaces_a_link_and_the_reverse(tmp_path):
    unpack(
        tmp_path,
        folder("real"),
        symlink("a", "real"),
        file("a/x"),
        folder("a"),
        file("a/y"),
        folder("b"),
        file("b/z"),
        symlink("b", "real"),
        file("b/w"),
    )
    assert names(tmp_path / "real") == ["w", "x"]
    assert names(tmp_path / "a") == ["y"]


def test_replacing_can_be_refused(tmp_path):
    for first, second in ((folder("a"), file("a")), (file("b"), folder("b"))):
        with pytest.raises(ArchiveError, match="cannot overwrite"):
            unpack(tmp_path, first, second, no_overwrite_dir_non_dir=True)


def test_a_file_in_place_of_a_parent_directory_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="not a directory"):
        unpack(tmp_path, file("a"), file("a/b"))


def test_whiteouts_are_converted_for_overlayfs(tmp_path):
    unpack(
        tmp_path,
        folder("a"),
        file("a/.wh.gone"),
        file("b/.wh..wh..opq"),
        file(".wh..wh.plnk/12.34"),
        file(".wh..wh.aufs"),
        whiteouts="overlay",
    )
    assert is_whiteout(tmp_path / "a/gone")
    assert opaque(tmp_path / "b")
    assert not list(tmp_path.glob(".wh..wh.aufs"))


def test_a_whiteout_affects_lower_layers_only(tmp_path):
    unpack(
        tmp_path,
        (file("kept"), b"x"),
        file(".wh.kept"),
        folder("dir"),
        file("dir/x"),
        file(".wh.dir"),
        file(".wh.later"),
        folder("later"),
        file("deep/.wh.er"),
        file("deep/er/file"),
        whiteouts="overlay",
    )
    assert (tmp_path / "kept").read_bytes() == b"x"
    assert opaque(tmp_path / "dir")
    assert names(tmp_path / "dir") == ["x"]
    assert opaque(tmp_path / "later")
    assert opaque(tmp_path / "deep/er")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh..."])
def test_a_whiteout_without_a_name_is_refused(name, tmp_path):
    with pytest.raises(ArchiveError, match="invalid whiteout"):
        unpack(tmp_path, file(name), whiteouts="overlay")


def test_whiteouts_are_ordinary_names_outside_of_layers(tmp_path):
    unpack(tmp_path, file(".wh.a"))
    assert (tmp_path / ".wh.a").is_file()


def test_overlay_attributes_of_an_archive_are_ignored(tmp_path):
    entry = folder("a")
    entry.xattrs = {
        "user.overlay.opaque": b"y",
        "trusted.overlay.redirect": b"/etc",
        "user.mine": b"1",
    }
    unpack(tmp_path, entry)
    assert os.listxattr(tmp_path / "a") == ["user.mine"]


def test_sparse_files_have_holes(tmp_path):
    entry = Entry("a", size=4)
    extractor = Extractor(str(tmp_path), owner=(os.getuid(), os.getgid()))
    entry.sparse, entry.size = [(10, 2), (5_000_000, 2)], 6_000_000
    extractor.add(entry, iter([memoryview(b"abc"), memoryview(b"d")]))
    data = (tmp_path / "a").read_bytes()
    assert (len(data), data[10:12], data[5_000_000:5_000_002]) == (6_000_000, b"ab", b"cd")
    assert (tmp_path / "a").stat().st_blocks * 512 < 1_000_000


def test_entries_are_counted_and_limited(tmp_path):
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for number in range(5):
            archive.addfile(tarfile.TarInfo(str(number)))
    output.seek(0)
    extractor = Extractor(str(tmp_path), max_entries=3, owner=(os.getuid(), os.getgid()))
    with pytest.raises(ArchiveError, match="more than 3 entries"):
        extractor.unpack(TarReader(lambda: output.read(512)))


@pytest.mark.parametrize("attribute", ["mtime_ns", "uid"])
def test_numbers_out_of_range_are_refused(attribute, tmp_path):
    entry = file("a")
    extractor = Extractor(str(tmp_path))
    setattr(entry, attribute, 1 << 100)
    if attribute == "uid" and os.geteuid():
        pytest.skip("owners are not set without root")
    with pytest.raises(ArchiveError, match="invalid entry"):
        extractor.add(entry, iter([]))


NAME = st.lists(
    st.sampled_from(["a", "b", "c", ".", "..", "", ".wh.a", ".wh..wh..opq", "out"]),
    min_size=1,
    max_size=4,
).map("/".join)
TARGET = st.lists(st.sampled_from(["a", "b", "..", "", "out"]), max_size=6).map("/".join)
ENTRY = st.builds(
    lambda kind, name, target: Entry(name, kind, mode=0o755, linkname=target),
    st.sampled_from([Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.HARDLINK, Kind.FIFO]),
    NAME,
    TARGET,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ENTRY, max_size=12), st.sampled_from(["keep", "overlay"]))
def test_no_archive_writes_outside_of_the_root(tmp_path, entries, whiteouts):
    top = tmp_path / os.urandom(8).hex()
    root = top / "x" / "root"
    root.mkdir(parents=True)
    (top / "out").mkdir()
    (top / "x/a").write_text("outside")
    before = {
        path: path.lstat()[:3] for path in top.rglob("*") if root not in (path, *path.parents)
    }
    extractor = Extractor(str(root), whiteouts=whiteouts, opaque_xattr=OPAQUE)
    for entry in entries:
        entry.uid, entry.gid = os.getuid(), os.getgid()
        try:
            extractor.add(entry, iter([]))
        except (ArchiveError, OSError):
            continue
    extractor.finish()
    after = {path: path.lstat()[:3] for path in top.rglob("*") if root not in (path, *path.parents)}
    assert after == before
    assert (top / "x/a").read_text() == "outside"
