"""The cost of unpacking grows with the length of the archive, and it can be ended."""

import gzip
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.operations import assert_linear

from palan.host.archive import inflate
from palan.host.archive.extract import Extractor
from palan.host.archive.headers import ArchiveError, Entry, Kind, encode_header
from palan.host.archive.inflate import inflated
from palan.host.archive.lower import Walk, visible
from palan.host.archive.lower_links import make_lower_links
from palan.host.archive.reader import TarReader
from palan.host.archive.unpack import Abort, unpack, unpack_pieces


def directory(name: str) -> Entry:
    return Entry(name, Kind.DIRECTORY, mode=0o755)


def link(name: str, target: str = "x") -> Entry:
    return Entry(name, Kind.SYMLINK, linkname=target)


def links_of_one_name(size: int) -> Iterator[Entry]:
    yield from (directory(f"d{number}") for number in range(size))
    yield from (link("link") for _ in range(size))


def replaced_directories(size: int) -> Iterator[Entry]:
    yield from (directory(f"d{number}") for number in range(size))
    for _ in range(size):
        yield directory("a")
        yield directory("a/b")
        yield link("a")
        yield Entry("a")


def deep_names(size: int) -> Iterator[Entry]:
    for number in range(size):
        yield Entry("a/" * 100 + str(number))
        yield link("other")


def paths_through_links(size: int) -> Iterator[Entry]:
    yield directory("real")
    yield link("here", "real/../real")
    for number in range(size):
        yield link("flush")
        yield Entry(f"here/{number}")


def hard_links(size: int) -> Iterator[Entry]:
    yield Entry("file")
    yield from (Entry("hard", Kind.HARDLINK, linkname="file") for _ in range(size))


def links_to_lower_files(size: int) -> Iterator[Entry]:
    yield from (Entry("hard", Kind.HARDLINK, linkname=f"lower/{n}") for n in range(size))


def whiteouts(size: int) -> Iterator[Entry]:
    yield from (Entry(f"d{number}/.wh..wh..plnk") for number in range(size))


@pytest.mark.parametrize(
    "entries",
    [
        links_of_one_name,
        replaced_directories,
        deep_names,
        paths_through_links,
        hard_links,
        links_to_lower_files,
        whiteouts,
    ],
)
def test_extraction_is_linear_in_the_entries(entries, tmp_path):
    def prepare(size: int) -> Callable[[], object]:
        root = tmp_path / str(size)
        root.mkdir()
        data = []
        for entry in entries(size):
            entry.uid, entry.gid = os.getuid(), os.getgid()
            data.append(encode_header(entry))
        stream = io.BytesIO(b"".join(data) + bytes(1024))
        extractor = Extractor(str(root), whiteouts="overlay", opaque_xattr="user.overlay.opaque")

        def run() -> None:
            extractor.unpack(TarReader(lambda: stream.read(4096)))
            extractor.implicit()

        return run

    assert_linear(prepare, 40)


def test_links_may_not_lengthen_a_path_without_end(tmp_path):
    entries = [directory("a"), *(link(f"l{n}", "a/../" * 700) for n in range(3))]
    entries.append(Entry("l0/l1/l2/file"))
    extractor = Extractor(str(tmp_path))
    with pytest.raises(ArchiveError, match="path is too deep"):
        for entry in entries:
            entry.uid, entry.gid = os.getuid(), os.getgid()
            extractor.add(entry, iter(()))
    assert extractor.lookups < 1100


def test_implicit_directories_count_as_entries(tmp_path):
    extractor = Extractor(str(tmp_path), max_entries=50, owner=(os.getuid(), os.getgid()))
    with pytest.raises(ArchiveError, match="more than 50 entries"):
        extractor.add(Entry("a/" * 60 + "file"), iter(()))


def test_a_reported_path_has_its_price(tmp_path, monkeypatch):
    monkeypatch.setattr("palan.host.archive.extract._MAX_PATHS", 1000)
    extractor = Extractor(str(tmp_path), owner=(os.getuid(), os.getgid()))
    extractor.add(Entry("a/" * 60 + "file"), iter(()))
    with pytest.raises(ArchiveError, match="too many directories"):
        extractor.implicit()


def test_many_small_members_are_inflated_in_linear_time():
    """What the inflater leaves unused is copied; parts of the input keep it short."""
    copied = 0

    class Counted:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def decompress(self, data, length):
            nonlocal copied
            copied += len(data)
            return self._real.decompress(data, length)

    data = gzip.compress(b"x") * 5000
    stream = io.BytesIO(data)
    with pytest.MonkeyPatch.context() as patch:
        new, error = inflate._gzip()
        patch.setattr(inflate, "_gzip", lambda: (lambda: Counted(new()), error))
        read = inflated(lambda: stream.read(1 << 20), "gzip")
        assert b"".join(iter(read, b"")) == b"x" * 5000
    assert copied < 5000 * 3 * 4096


# ---- lower layers ------------------------------------------------------------------


def chain(root: Path, depth: int) -> str:
    path = "/".join("d" * depth)
    (root / path).mkdir(parents=True)
    return path


def test_lower_layers_are_walked_once(tmp_path):
    layers = [tmp_path / "a", tmp_path / "b"]
    deepest = {chain(layer, 100) for layer in layers}.pop()
    paths = [deepest[: 2 * n - 1] for n in range(1, 101)]
    with Walk(layers[0]) as walk:
        for path in sorted(paths):
            walk.directory(path)
        assert walk.opens == 100
    assert visible([*paths, "", "absent/file"], layers) == dict.fromkeys(["", *paths], layers[0])

    def prepare(size: int) -> Callable[[], object]:
        return lambda: visible([f"{deepest}/{n}" for n in range(size)], layers)

    assert_linear(prepare, 10)


def test_a_file_below_a_removed_directory_is_not_visible(tmp_path):
    upper, middle, lowest = layers = [tmp_path / name for name in "abc"]
    for layer in layers:
        layer.mkdir()
    (lowest / "d/e").mkdir(parents=True)
    (lowest / "d/e/file").touch()
    (middle / "d").touch()  # replaced the directory
    (upper / "other").mkdir()
    assert visible(["d/e/file", "d", "other"], layers) == {"d": middle, "other": upper}
    assert visible(["d/e/file"], [upper, lowest]) == {"d/e/file": lowest}


def test_links_to_lower_files_can_be_ended(tmp_path):
    lower, target = tmp_path / "lower", tmp_path / "target"
    lower.mkdir()
    target.mkdir()
    (lower / "file").write_text("x")
    abort = Abort()
    make_lower_links(target, [("link", "file")], [lower], abort.check)
    assert (target / "link").read_text() == "x"
    abort()
    with pytest.raises(ArchiveError):
        make_lower_links(target, [("link2", "file")], [lower], abort.check)


# ---- ending ------------------------------------------------------------------------


def endless(started: threading.Event) -> Iterator[bytes]:
    header = encode_header(Entry("file", uid=os.getuid(), gid=os.getgid()))
    while True:
        yield header
        started.set()


def test_unpacking_of_pieces_can_be_ended(tmp_path):
    started, abort = threading.Event(), Abort()
    failures: list[ArchiveError] = []

    def run() -> None:
        try:
            unpack_pieces(endless(started), tmp_path, "", abort=abort)
        except ArchiveError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(30)
    abort()
    thread.join(30)
    assert not thread.is_alive()
    assert failures


def test_unpacking_of_a_file_can_be_ended(tmp_path):
    read, write = os.pipe()
    abort = Abort()
    timer = threading.Timer(0.2, abort)
    timer.start()
    try:
        with pytest.raises(ArchiveError):
            unpack(read, tmp_path, "", abort=abort)  # waits for the pipe
        with pytest.raises(ArchiveError, match="aborted"):
            unpack(read, tmp_path, "", abort=abort)
    finally:
        timer.join()
        os.close(read)
        os.close(write)
