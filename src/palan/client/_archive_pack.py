"""Files as a tar archive, piece by piece: what is copied in, and contexts of builds.

Nothing is held in memory but one piece of one file.
"""

import io
import os
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from palan.client.errors import ConfigError
from palan.dockerfile import DockerfileError, Ignore, Verdict


__all__ = ["context", "pack"]

_PIECE: Final = 1 << 18
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class _Packer:
    """An archive that is being written."""

    def __init__(self, *, owner: tuple[int, int] | None) -> None:
        """Begin.

        Args:
            owner: the user and group of all files; None keeps theirs.
        """
        self._owner = owner
        # It knows how to describe files, and remembers those that it has seen (hard links).
        self._tar = tarfile.open(fileobj=io.BytesIO(), mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - in memory

    def entry(self, path: Path, name: str) -> Iterator[bytes]:
        """One file, without what is in it if it is a directory."""
        info: tarfile.TarInfo | None = self._tar.gettarinfo(path, name)
        if info is None:
            return  # a socket, which no archive can hold
        # gettarinfo takes a leading slash away, and "." is a name here.
        info.name = name
        if self._owner is not None:
            info.uid, info.gid = self._owner
            info.uname = info.gname = ""
        if not info.isreg():
            info.size = 0
            yield _head(info)
            return
        with path.open("rb") as file:
            # The size that is announced must be the size that is sent.
            info.size = os.fstat(file.fileno()).st_size
            yield _head(info)
            yield from _content(file, info.size)

    def text(self, name: str, data: bytes) -> Iterator[bytes]:
        """A file that is made up."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        yield _head(info) + data + bytes(-len(data) % tarfile.BLOCKSIZE)

    def tree(self, path: Path, name: str) -> Iterator[bytes]:
        """A file, or a directory with all that is in it."""
        yield from self.entry(path, name)
        if path.is_dir() and not path.is_symlink():
            for one in sorted(os.listdir(path)):  # noqa: PTH208 - names
                yield from self.tree(path / one, posixpath.join(name, one))


def _head(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: io.BufferedReader, size: int) -> Iterator[bytes]:
    left = size
    while left:
        data = file.read(min(left, _PIECE))
        if not data:
            # It was cut while it was read.
            data = bytes(min(left, _PIECE))
        left -= len(data)
        yield data
    if size % tarfile.BLOCKSIZE:
        yield bytes(-size % tarfile.BLOCKSIZE)


def pack(path: Path, name: str, *, keep_owner: bool = False) -> Iterator[bytes]:
    """A file or a directory as an archive.

    Args:
        path: the file.
        name: what it is called in the archive; ``.`` for the contents of a directory.
        keep_owner: keep the owners' numbers; else all is root's.
    """
    packer = _Packer(owner=None if keep_owner else (0, 0))
    yield from packer.tree(path, name)
    yield _END


def context(
    directory: Path, dockerfile: str, *, extra: Iterable[tuple[str, bytes]] = ()
) -> Iterator[bytes]:
    """The context of a build as an archive: a directory without what is to be ignored.

    ``NAME.dockerignore`` beside a Dockerfile of that name goes before ``.dockerignore``. The
    Dockerfile and ``.dockerignore`` are there in any case, as the engine reads them.

    Args:
        directory: the context.
        dockerfile: the Dockerfile's path below it.
        extra: more files, by name.

    Raises:
        ConfigError: ``.dockerignore`` cannot be read, or the directory is none.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory")
    ignore = _ignore(directory, dockerfile)
    packer = _Packer(owner=(0, 0))
    keep = {posixpath.normpath(dockerfile), ".dockerignore"}
    yield from _walk(packer, directory, "", ignore, None, keep)
    for name, data in extra:
        yield from packer.text(name, data)
    yield _END


def _ignore(directory: Path, dockerfile: str) -> Ignore:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        try:
            return Ignore.parse((directory / name).read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, DockerfileError) as error:
            raise ConfigError(f"{directory / name} cannot be read: {error}") from None
    return Ignore(())


def _walk(  # noqa: PLR0917 - it calls itself
    packer: _Packer,
    directory: Path,
    below: str,
    ignore: Ignore,
    above: Verdict | None,
    keep: set[str],
) -> Iterator[bytes]:
    for one in sorted(os.listdir(directory)):  # noqa: PTH208 - names
        name = f"{below}/{one}" if below else one
        path = directory / one
        verdict = ignore.judge(name, above)
        is_directory = path.is_dir() and not path.is_symlink()
        holds_kept = any(kept.startswith(f"{name}/") for kept in keep)
        if not verdict.ignored or name in keep:
            yield from packer.entry(path, name)
        elif not is_directory or not (ignore.may_include_below(name) or holds_kept):
            continue
        if is_directory:
            yield from _walk(packer, path, name, ignore, verdict, keep)
