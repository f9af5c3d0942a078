"""The confined child process that unpacks archives: its permissions and its error reports."""

import errno
import io
import os
import subprocess
import sys
import tarfile

import pytest
from tests.support.images import directory, make_tar, member, small_tar, zstd

from palan.host.archive.headers import ArchiveError
from palan.host.archive.pack import Packing
from palan.host.archive.unpack import Options, unpack, unpack_pieces


pytestmark = pytest.mark.root


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


@pytest.fixture
def tmpfs(tmp_path):
    mounted = tmp_path / "tmpfs"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_path_within_the_root_cannot_lead_out_of_it(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (root / "evil").symlink_to(outside)
    (root / "good").symlink_to("/real")
    unpack_pieces([small_tar()], root, "", Options(inside="/good"))
    assert (root / "real/file.txt").exists()
    with pytest.raises(FileNotFoundError):
        unpack_pieces([small_tar()], root, "", Options(inside="/evil"))
    with pytest.raises(ArchiveError, match="leaves the root"):
        unpack_pieces([small_tar()], root, "", Options(inside="../outside"))
    assert list(outside.iterdir()) == []
    (outside / "secret").write_text("secret")
    with pytest.raises(FileNotFoundError):
        list(Packing(root, inside="evil/secret", prefix="x").pieces())
    assert names(b"".join(Packing(root, inside="good/file.txt", prefix="f").pieces())) == ["f"]
    assert names(b"".join(Packing(root, inside="evil", prefix="e").pieces())) == ["e"]


def test_modules_of_the_target_are_not_ours(tmp_path):
    """After the chroot, Python's import paths lead into a tree that is not trusted."""
    for path in {"/work", "/usr/lib/python3.11", *filter(None, sys.path)}:
        poisoned = tmp_path / path.lstrip("/")
        poisoned.mkdir(parents=True, exist_ok=True)
        for name in ("shutil", "lzma", "bz2", "encodings", "traceback"):
            (poisoned / f"{name}.py").write_text("import os; os.mkdir('/poisoned')")
    layer = make_tar(directory("a"), member("a/b"), member("a"), member("c/\udcff"))
    unpack_pieces([layer], tmp_path, "", Options(whiteouts="overlay"))
    with pytest.raises(ArchiveError):
        unpack_pieces([b"x" * 600], tmp_path, "")
    assert not (tmp_path / "poisoned").exists()


def test_a_full_file_system_is_no_fault_of_the_archive(tmpfs):
    big = make_tar(member("big", b"x" * (5 << 20)))
    with pytest.raises(OSError, match="No space left") as caught:
        unpack_pieces([big], tmpfs, "")
    assert caught.value.errno == errno.ENOSPC
    unpack_pieces([small_tar()], tmpfs, "")


def test_every_piece_is_seen_although_the_child_gave_up(tmp_path):
    seen: list[bytes] = []
    pieces = [b"x" * 1000] * 1000
    with pytest.raises(ArchiveError, match="invalid tar header"):
        unpack_pieces(pieces, tmp_path, "", on_piece=seen.append)
    assert len(seen) == 1000


def test_damaged_zstd_is_detected(tmp_path):
    data = zstd(make_tar(member("a", os.urandom(100_000))))
    assert unpack_pieces([data], tmp_path, "zstd").entries == 1
    with pytest.raises(ArchiveError, match="invalid zstd data"):
        unpack_pieces([data[:1000] + b"x" * 100 + data[1100:]], tmp_path, "zstd")


def test_a_child_that_dies_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("palan.host.archive.process._program", lambda: "import os; os.abort()")
    with (tmp_path / "empty").open("wb+") as empty, pytest.raises(ArchiveError, match="status -6"):
        unpack(empty, tmp_path, "")
    with pytest.raises(ArchiveError, match="status -6"):
        list(Packing(tmp_path).pieces())


def test_packing_ends_when_the_reader_stops(tmp_path):
    (tmp_path / "big").write_bytes(bytes(10 << 20))
    pieces = Packing(tmp_path).pieces()
    next(pieces)
    pieces.close()
