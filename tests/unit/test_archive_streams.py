"""Compressed streams, and packing of file trees into archives."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palan.host.archive import inflate
from palan.host.archive.extract import Extractor
from palan.host.archive.headers import ArchiveError, Truncated
from palan.host.archive.inflate import detect, inflated
from palan.host.archive.reader import TarReader
from palan.host.archive.tree import Packer


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def source(data, size=1000):
    stream = io.BytesIO(data)
    return lambda: stream.read(size)


def read_all(read):
    return b"".join(iter(read, b""))


def without_isal(name):
    raise ImportError(name)


@pytest.fixture(params=["fastest", "zlib"], autouse=True, scope="module")
def gzip_inflater(request):
    """Run all tests with the fastest available inflater, and with Python's own."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "zlib":
            patch.setattr(inflate, "import_module", without_isal)
        yield request.param


def test_isal_is_used_if_it_is_installed(gzip_inflater):
    pytest.importorskip("isal")
    _, error = inflate._gzip()
    assert (error is zlib.error) == (gzip_inflater == "zlib")


@pytest.mark.parametrize("name", list(COMPRESS))
@settings(max_examples=30)
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=3), size=st.integers(1, 4000))
def test_compressed_data_are_inflated(name, parts, size):
    data = b"".join(COMPRESS[name](part) for part in parts)  # several members are one stream
    assert detect(data[:6]) == name
    assert read_all(inflated(source(data, size), name)) == b"".join(parts)


def test_an_archive_bomb_is_inflated_in_pieces():
    data = gzip.compress(bytes(50 << 20))
    read = inflated(source(data), "gzip")
    assert max(len(piece) for piece in iter(read, b"")) <= 1 << 20


@pytest.mark.parametrize("name", list(COMPRESS))
def test_damaged_and_truncated_data_are_reported(name):
    data = COMPRESS[name](os.urandom(5000))
    with pytest.raises(Truncated):
        read_all(inflated(source(data[:-100]), name))
    with pytest.raises(ArchiveError):
        read_all(inflated(source(data[:20] + b"\xff" * 500 + data[520:]), name))


def test_padding_after_gzip_is_ignored():
    data = gzip.compress(b"text") + bytes(512)
    assert read_all(inflated(source(data), "gzip")) == b"text"


def test_uncompressed_data_are_passed_on():
    assert detect(b"file.txt") == ""
    assert detect(b"") == ""
    assert read_all(inflated(source(b"abc"), "")) == b"abc"


# ---- trees -------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    (root / "dir").mkdir(mode=0o751)
    (root / "dir" / "file").write_bytes(b"x" * 1000)
    (root / "dir" / ("long" * 60)).write_bytes(b"y")
    (root / "a").hardlink_to(root / "dir" / "file")
    (root / "link").symlink_to("/nowhere")
    os.mkfifo(root / "fifo")
    os.utime(root / "dir" / "file", ns=(10**18 + 5, 10**18 + 5))
    return root


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: info for info in archive.getmembers()}


def test_a_tree_is_packed(tree):
    found = members(b"".join(Packer(str(tree)).pieces()))
    assert list(found) == ["a", "dir", "dir/file", "dir/" + "long" * 60, "fifo", "link"]
    assert found["dir/file"].islnk()
    assert found["dir/file"].linkname == "a"
    assert found["link"].linkname == "/nowhere"
    assert found["fifo"].isfifo()
    assert found["a"].size == 1000


@pytest.mark.parametrize(
    ("prefix", "first", "file"),
    [("/", "/", "/file"), (".", "./", "./file"), ("top", "top/", "top/file"), ("", "dir/", "file")],
)
def test_names_begin_with_the_prefix(tmp_path, prefix, first, file):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    names = [entry.name for entry, _ in Packer(str(tmp_path), prefix=prefix).entries()]
    assert names[0] == first
    assert file in names


def test_a_prefix_adds_an_entry_for_the_tree_itself(tree):
    found = members(b"".join(Packer(str(tree), prefix="top").pieces()))
    assert {"top", "top/a", "top/dir", "top/dir/file", "top/fifo", "top/link"} < set(found)


def test_a_single_file_is_packed_as_one_entry(tree):
    packer = Packer(str(tree / "link"), prefix="renamed")
    [info] = members(b"".join(packer.pieces())).values()
    assert (info.name, info.issym()) == ("renamed", True)


def test_a_packed_tree_is_unpacked_identically(tree, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    data = b"".join(Packer(str(tree)).pieces())
    extractor = Extractor(str(copy))
    extractor.unpack(TarReader(source(data)))
    for path in tree.rglob("*"):
        ours, theirs = path.lstat(), (copy / path.relative_to(tree)).lstat()
        assert (ours.st_mode, ours.st_nlink, int(ours.st_mtime)) == (
            theirs.st_mode,
            theirs.st_nlink,
            theirs.st_mtime,
        )
    assert (copy / "a").read_bytes() == b"x" * 1000


def test_overlay_removals_are_packed_as_whiteouts(tmp_path):
    os.mknod(tmp_path / "gone", 0o020000, 0)
    (tmp_path / "dir").mkdir()
    os.setxattr(tmp_path / "dir", "user.overlay.opaque", b"y")
    packer = Packer(str(tmp_path), whiteouts=True, opaque_xattr="user.overlay.opaque")
    found = members(b"".join(packer.pieces()))
    assert list(found) == ["dir", "dir/.wh..wh..opq", ".wh.gone"]
    assert not found["dir"].pax_headers
