"""Reading of tar streams: everything that tarfile writes, and malformed ones."""

import contextlib
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.host.archive.headers import (
    ArchiveError,
    Entry,
    Kind,
    Truncated,
    decode_pax,
    encode_header,
    encode_pax,
)
from palan.host.archive.reader import TarReader


def pieces(data: bytes, size: int = 700) -> Callable[[], bytes]:
    stream = io.BytesIO(data)
    return lambda: stream.read(size)


def read_all(data: bytes, size: int = 700) -> list[tuple[Entry, bytes]]:
    reader = TarReader(pieces(data, size))
    return [(entry, b"".join(bytes(p) for p in reader.content())) for entry in reader]


def written(style: int, *infos: tarfile.TarInfo, data: bytes = b"") -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=style) as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(data[: info.size]))
    return output.getvalue()


NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300
)


@given(
    name=NAMES,
    size=st.integers(0, 2000),
    uid=st.integers(0, 2**31),
    mtime=st.integers(0, 2**33 - 1),
    mode=st.integers(0, 0o7777),
    style=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    step=st.integers(1, 3000),
)
def test_archives_of_tarfile_are_parsed(  # noqa: PLR0917 - hypothesis passes them by name
    name, size, uid, mtime, mode, style, step
):
    info = tarfile.TarInfo(name)
    # In old archives, a file whose name ends with a slash is a directory.
    info.size = 0 if name.endswith("/") else size
    info.uid, info.mtime, info.mode = uid, mtime, mode
    content = bytes(range(256)) * 8
    [(entry, data)] = read_all(written(style, info, data=content), step)
    assert (entry.kind == Kind.DIRECTORY) == name.endswith("/")
    assert (entry.name, entry.uid, entry.mode) == (name, uid, mode)
    assert (entry.mtime_ns, data) == (mtime * 10**9, content[: info.size])


@given(
    name=NAMES.filter(lambda name: name.strip("/")),  # readers disagree about the name "/"
    linkname=NAMES,
    uid=st.integers(0, 2**40),
    mtime_ns=st.integers(-(10**18), 10**19),
    xattr=st.binary(max_size=50),
)
def test_our_headers_are_parsed_by_us_and_by_tarfile(name, linkname, uid, mtime_ns, xattr):
    entry = Entry(
        name,
        Kind.SYMLINK,
        uid=uid,
        mtime_ns=mtime_ns,
        linkname=linkname,
        xattrs={"user.some": xattr},
    )
    data = encode_header(entry) + bytes(1024)
    [(ours, _)] = read_all(data)
    assert (ours.name, ours.linkname, ours.uid, ours.mtime_ns) == (name, linkname, uid, mtime_ns)
    assert ours.xattrs == {"user.some": xattr}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        [theirs] = archive.getmembers()
    assert (theirs.name.rstrip("/"), theirs.uid) == (name.rstrip("/"), uid)


@given(st.binary(max_size=3000))
def test_any_data_is_parsed_or_raises_archive_error(data):
    with contextlib.suppress(ArchiveError):
        read_all(data)


@given(position=st.integers(0, 5000), value=st.integers(0, 255))
def test_a_damaged_archive_is_parsed_or_raises_archive_error(position, value):
    info = tarfile.TarInfo("ä" * 120)
    info.size = 1000
    info.pax_headers = {"SCHILY.xattr.user.a": "b", "GNU.sparse.size": "3"}
    data = bytearray(written(tarfile.PAX_FORMAT, info, info, data=b"x" * 1000))
    data[position % len(data)] = value
    with contextlib.suppress(ArchiveError):
        read_all(bytes(data))


@pytest.mark.parametrize("cut", [1, 300, 511, 513, 800, 1100])
def test_an_archive_cut_at_any_position_is_truncated(cut):
    info = tarfile.TarInfo("file")
    info.size = 600
    data = written(tarfile.PAX_FORMAT, info, data=b"x" * 600)
    with pytest.raises(Truncated, match="unexpected EOF"):
        read_all(data[:cut])


def test_the_padding_of_the_last_file_may_be_missing():
    info = tarfile.TarInfo("file")
    info.size = 600
    data = written(tarfile.PAX_FORMAT, info, data=b"x" * 600)
    assert [entry.name for entry, _ in read_all(data[:1112])] == ["file"]


def test_empty_input_is_an_empty_archive():
    assert read_all(b"") == []


def test_the_end_marker_may_be_missing_or_a_single_block():
    info = tarfile.TarInfo("file")
    data = written(tarfile.USTAR_FORMAT, info)
    assert len(read_all(data[:512])) == 1
    assert len(read_all(data[:1024])) == 1


def test_a_huge_extended_header_is_refused_before_it_is_read():
    header = encode_header(Entry("x", Kind.PAX, size=1 << 33))
    with pytest.raises(ArchiveError, match="too long"):
        read_all(header[-512:] + b"x" * 2000)


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("cut", range(97, 103))
def test_a_long_name_truncated_after_a_slash_is_not_a_directory(style, cut):
    info = tarfile.TarInfo("d" * (cut - 1) + "/" + "f" * 20)
    info.size = 600
    ((entry, content),) = read_all(written(style, info, data=b"x" * 600))
    assert (entry.name, entry.kind, content) == (info.name, Kind.FILE, b"x" * 600)


def test_a_ustar_prefix_is_part_of_the_name():
    info = tarfile.TarInfo("a" * 90 + "/" + "b" * 90)
    [(entry, _)] = read_all(written(tarfile.USTAR_FORMAT, info))
    assert entry.name == info.name


def sparse(headers: dict[str, str], stored: bytes) -> bytes:
    info = tarfile.TarInfo("dir/GNUSparseFile.0/name")
    info.size = len(stored)
    info.pax_headers = headers
    return written(tarfile.PAX_FORMAT, info, data=stored)


@pytest.mark.parametrize(
    ("headers", "stored"),
    [
        (
            {"GNU.sparse.size": "1000", "GNU.sparse.map": "0,3,900,4", "GNU.sparse.name": "name"},
            b"abcdefg",
        ),
        (
            {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.realsize": "1000",
                "GNU.sparse.name": "name",
            },
            b"2\n0\n3\n900\n4\n".ljust(512, b"\0") + b"abcdefg",
        ),
    ],
)
def test_sparse_files_in_pax_formats(headers, stored):
    [(entry, data)] = read_all(sparse(headers, stored))
    assert (entry.name, entry.size) == ("name", 1000)
    assert entry.sparse == [(0, 3), (900, 4)]
    assert data == b"abcdefg"


@pytest.mark.parametrize(
    "pieces_", ["0,3,2,4", "900,4,0,3", "0,3,999,4", "0,8", "1", "x,y", "0,-1"]
)
def test_impossible_sparse_maps_are_refused(pieces_):
    data = sparse({"GNU.sparse.size": "1000", "GNU.sparse.map": pieces_}, b"abcdefg")
    with pytest.raises(ArchiveError):
        read_all(data)


@given(st.dictionaries(st.text("abc.", min_size=1), st.binary(max_size=2000), max_size=4))
def test_pax_records_are_decoded_back(records):
    assert dict(decode_pax(encode_pax(records))) == records
