"""Packing and unpacking of files for copies and builds, ignored files, and refusals."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.results import PathStat
from palan.client import errors
from palan.client._archive_pack import context, pack
from palan.client._archive_unpack import unpack
from palan.client._build_options import build_context
from palan.client._paths import plan_copy_in, plan_copy_out
from palan.dockerfile import DockerfileError, Ignore


DIRECTORY = PathStat(name="d", mode=1 << 31 | 0o755)
FILE = PathStat(name="f", mode=0o644)


def names(archive: Any) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as tar:
        return sorted(tar.getnames())


def pulling(data: bytes, size: int = 1000) -> Callable[[], bytes]:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return lambda: pieces.pop(0) if pieces else b""


def archive(*members: tuple[Any, ...]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, *rest in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = 0o4755
            data = b""
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = rest[0]
            elif rest:
                data = rest[0]
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("patterns", "left_out", "taken"),
    [
        (["*.md", "!README.md"], ["a.md"], ["README.md", "d/a.md"]),
        (["**/*.pyc"], ["a.pyc", "d/e/a.pyc"], ["a.py"]),
        (["d"], ["d", "d/e", "d/e/f"], ["dd", "e/d"]),
        (["/d/"], ["d/e"], ["x/d"]),
        (["d", "!d/keep"], ["d/x"], ["d/keep", "d/keep/all"]),
        (["*", "!src"], ["x", "y/z"], ["src", "src/a/b"]),
        (["!a", "a"], ["a"], []),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["z", "a/zz"]),
        (["**"], ["a", "b/c"], []),
        (["temp?"], ["tempa"], ["temp", "tempab", "x/tempa"]),
        (["[a-c].x", "[^a].y"], ["b.x", "b.y"], ["d.x", "a.y"]),
        (["a.b", "c+"], ["a.b", "c+"], ["axb", "cc"]),
        (["./d/../e"], ["e"], ["d"]),
        ([r"\*"], ["*"], ["a"]),
        (["  spaced  ", ""], ["spaced"], [" spaced"]),
    ],
)
def test_dockerignore(patterns: list[str], left_out: list[str], taken: list[str]) -> None:
    ignore = Ignore(patterns)
    assert [path for path in left_out if not ignore.matches(path)] == []
    assert [path for path in taken if ignore.matches(path)] == []


def test_dockerignore_comments_and_mistakes() -> None:
    ignore = Ignore.parse("\ufeffa\n# b\n  # c\nd\r\n")
    assert [name for name in ("a", "b", "# c", "d") if ignore.matches(name)] == ["a", "# c", "d"]
    for wrong in ("!", "[a", "[z-a]"):
        with pytest.raises(DockerfileError):
            Ignore([wrong])


@given(
    st.lists(st.text(alphabet="ab*?/!.[]\\-", max_size=8), max_size=4), st.text("ab/.", max_size=8)
)
def test_any_dockerignore_decides_or_is_refused(lines: list[str], path: str) -> None:
    try:
        ignore = Ignore(lines)
    except DockerfileError:
        return
    assert ignore.matches(path) in (True, False)


def test_a_context_is_what_is_not_ignored(tmp_path: Path) -> None:
    for name in ("Dockerfile", "a.txt", "big/x/keep.txt", "big/y.txt", "big/x/z.txt", "d/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("big\n!big/x/keep.txt\nDockerfile\n.dockerignore\nd\n")
    assert names(context(tmp_path, "Dockerfile")) == [
        ".dockerignore", "Dockerfile", "a.txt", "big/x/keep.txt",
    ]  # fmt: skip
    (tmp_path / "Dockerfile.dockerignore").write_text("*\n")
    assert names(context(tmp_path, "Dockerfile")) == [".dockerignore", "Dockerfile"]
    name, made = build_context(str(tmp_path / "d"), str(tmp_path / "Dockerfile"))
    assert name.startswith(".dockerfile.")
    assert names(made) == sorted([name, "f"])
    with pytest.raises(errors.ConfigError, match="no Dockerfile"):
        build_context(str(tmp_path / "d"), "Dockerfile")


def test_packed_files_unpack_to_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "d").mkdir(parents=True)
    target.mkdir()
    (source / "empty").touch()
    (source / "d" / "file").write_bytes(os.urandom(700_000))
    (source / "d" / "file").chmod(0o751)
    os.utime(source / "d", (1, 1))
    (source / "link").symlink_to("/etc/passwd")
    os.link(source / "d" / "file", source / "same")
    data = b"".join(pack(source, "s"))
    assert unpack(pulling(data, 7777), target, ("s", "renamed")) == 6
    made = target / "renamed"
    assert (made / "d" / "file").read_bytes() == (source / "d" / "file").read_bytes()
    assert (made / "d" / "file").stat().st_mode & 0o7777 == 0o751
    assert (made / "d").stat().st_mtime == 1
    assert (made / "link").readlink() == Path("/etc/passwd")
    assert (made / "same").samefile(made / "d" / "file")


HOSTILE = [
    (("../out", tarfile.REGTYPE, b"x"),),
    (("a/../../out", tarfile.REGTYPE, b"x"),),
    (("/etc/out", tarfile.REGTYPE, b"x"),),
    (("link", tarfile.SYMTYPE, "/tmp"), ("link/out", tarfile.REGTYPE, b"x")),
    (("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, b"x")),
    (("d", tarfile.SYMTYPE, ".."), ("hard", tarfile.LNKTYPE, "d/secret")),
    (("hard", tarfile.LNKTYPE, "../secret"),),
    (("file", tarfile.REGTYPE, b"x"), ("file/out", tarfile.REGTYPE, b"x")),
]


@pytest.mark.parametrize("members", HOSTILE)
def test_nothing_is_written_elsewhere(tmp_path: Path, members: tuple[Any, ...]) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    with pytest.raises((errors.ClientError, OSError)):
        unpack(pulling(archive(*members)), inside)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "secret"]
    assert not Path("/etc/out").exists()
    assert not Path("/tmp/out").exists()


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "file").symlink_to(tmp_path / "secret")
    unpack(pulling(archive(("file", tarfile.REGTYPE, b"new"))), inside)
    assert (tmp_path / "secret").read_text() == "secret"
    assert (inside / "file").read_text() == "new"
    # No setuid bit: running a copied file must not make its user root.
    assert (inside / "file").stat().st_mode & 0o7777 == 0o755


def test_a_directory_replaces_a_link_and_leaves_its_target_alone(tmp_path: Path) -> None:
    inside, victim = tmp_path / "inside", tmp_path / "victim"
    inside.mkdir()
    victim.mkdir(mode=0o700)
    hostile = archive(("d", tarfile.SYMTYPE, str(victim)), ("d", tarfile.DIRTYPE, b""))
    unpack(pulling(hostile), inside)
    unpack(pulling(archive(("d", tarfile.DIRTYPE, b""))), inside)
    assert victim.stat().st_mode & 0o777 == 0o700
    assert (inside / "d").is_dir()
    assert not (inside / "d").is_symlink()


def test_a_link_that_replaces_a_directory_gets_no_mode_of_it(tmp_path: Path) -> None:
    inside, victim = tmp_path / "inside", tmp_path / "victim"
    inside.mkdir()
    victim.mkdir(mode=0o700)
    # The mode of a directory is set last, when its name may be that of a link.
    hostile = archive(("e/d", tarfile.DIRTYPE, b""), ("f", tarfile.SYMTYPE, str(victim)))
    unpack(pulling(hostile), inside)
    (inside / "e" / "d").rmdir()
    (inside / "e" / "d").symlink_to(victim)
    with pytest.raises(errors.ClientError):
        unpack(pulling(archive(("e/d/x", tarfile.DIRTYPE, b""))), inside)
    assert victim.stat().st_mode & 0o777 == 0o700
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("time", ["1e300", "nan", "inf", "-inf", "-1e300", "-1"])
def test_impossible_times_are_the_epoch(tmp_path: Path, time: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE):
            member = tarfile.TarInfo(f"kind-{kind.decode()}")
            member.type, member.linkname, member.mode = kind, "x", 0o755
            member.pax_headers = {"mtime": time}
            tar.addfile(member)
    assert unpack(pulling(data.getvalue()), tmp_path) == 3
    assert {path.lstat().st_mtime for path in tmp_path.iterdir()} == {0.0}


@pytest.mark.parametrize("field", ["path", "linkpath"])
def test_names_with_nul_are_refused(tmp_path: Path, field: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "x"
        member.pax_headers = {field: "a\0b"}
        tar.addfile(member)
    with pytest.raises(errors.ClientError):
        unpack(pulling(data.getvalue()), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_device_nodes_are_not_created(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(errors.ClientError, match="device nodes are not created"):
        unpack(pulling(archive(("null", kind, b""))), tmp_path, keep_owner=True)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_an_error_of_ours(tmp_path: Path) -> None:
    for name in ("n" * 300, f"{'n' * 300}/file"):
        with pytest.raises(errors.ClientError, match="too long"):
            unpack(pulling(archive((name, tarfile.REGTYPE, b"x"))), tmp_path)


def test_an_invalid_archive(tmp_path: Path) -> None:
    whole = archive(("file", tarfile.REGTYPE, b"x" * 2000))
    for data in (b"x" * 2000, whole[:1000], whole[:2000]):
        with pytest.raises(errors.ProtocolError):
            unpack(pulling(data), tmp_path)


def test_targets_of_copies(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    source, file = str(tmp_path / "d"), str(tmp_path / "d" / "f")

    def into(path: str, target: str, there: PathStat | None) -> tuple[str, list[str]]:
        where, made = plan_copy_in(
            path, target, there, is_directory=Path(path).is_dir(), keep_owner=False
        )
        return where, names(made)

    assert into(source, "/t", DIRECTORY) == ("/t", ["d", "d/f"])
    assert into(f"{source}/.", "/t", DIRECTORY) == ("/t", [".", "./f"])
    assert into(source, "/t/new", None) == ("/t", ["new", "new/f"])
    assert into(file, "t", DIRECTORY) == ("/t", ["f"])
    assert into(file, "/t/new", None) == ("/t", ["new"])
    assert into(file, "/t/old", FILE) == ("/t", ["old"])
    with pytest.raises(errors.ClientError, match="cannot copy a directory"):
        into(source, "/t", FILE)
    with pytest.raises(errors.ClientError, match="no such directory"):
        into(file, "/t/", None)


def test_sources_of_copies(tmp_path: Path) -> None:
    def out(source: str, kind: PathStat, target: str, *members: tuple[Any, ...]) -> None:
        plan_copy_out(source, kind, str(tmp_path / target), keep_owner=False)(
            pulling(archive(*members))
        )

    directory = (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE, b"x"))
    out("/x/d", DIRECTORY, "new", *directory)
    assert (tmp_path / "new" / "f").read_text() == "x"
    out("/x/d", DIRECTORY, "new", *directory)
    assert (tmp_path / "new" / "d" / "f").read_text() == "x"
    out("/x/d/.", DIRECTORY, "fresh", (".", tarfile.DIRTYPE), ("./f", tarfile.REGTYPE, b"y"))
    assert (tmp_path / "fresh" / "f").read_text() == "y"
    out("/x/f", FILE, "fresh/g", ("f", tarfile.REGTYPE, b"z"))
    assert (tmp_path / "fresh" / "g").read_text() == "z"
    with pytest.raises(errors.ProtocolError, match="not asked for"):
        out("/x/f", FILE, "fresh", ("other", tarfile.REGTYPE, b"z"))
    with pytest.raises(errors.ClientError):
        out("/x/d", DIRECTORY, "fresh/g", *directory)
    with pytest.raises(errors.ClientError):
        out("/x/f", FILE, "none/g", ("f", tarfile.REGTYPE, b"z"))
