"""Tar archives of local files, made chunk by chunk: for copies into containers, and for builds.

Memory holds only one chunk of one file at a time.
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

_CHUNK: Final = 1 << 18
_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class _Packer:
    """Writes the entries of an archive."""

    def __init__(self, *, owner: tuple[int, int] | None) -> None:
        """Begin an archive.

        Args:
            owner: the user and group of all files; None keeps theirs.
        """
        self._owner = owner
        # It makes the headers of files, and recognises further hard links to the same file.
        self._tar = tarfile.open(fileobj=io.BytesIO(), mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - in memory

    def entry(self, path: Path, name: str) -> Iterator[bytes]:
        """Yield the bytes of one file, or of a directory without its contents."""
        info: tarfile.TarInfo | None = self._tar.gettarinfo(path, name)
        if info is None:
            return  # a socket, which an archive cannot contain
        # gettarinfo strips leading slashes and does not keep the name ".".
        info.name = name
        if self._owner is not None:
            info.uid, info.gid = self._owner
            info.uname = info.gname = ""
        if not info.isreg():
            info.size = 0
            yield _header(info)
            return
        with path.open("rb") as file:
            # The header must announce the size of the open file, which is the one that is sent.
            info.size = os.fstat(file.fileno()).st_size
            yield _header(info)
            yield from _content(file, info.size)

    def text(self, name: str, data: bytes) -> Iterator[bytes]:
        """Yield the bytes of a file that exists only in memory."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        yield _header(info) + data + bytes(-len(data) % tarfile.BLOCKSIZE)

    def tree(self, path: Path, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file, or of a directory with all its contents."""
        yield from self.entry(path, name)
        if path.is_dir() and not path.is_symlink():
            for one in sorted(os.listdir(path)):  # noqa: PTH208 - names
                yield from self.tree(path / one, posixpath.join(name, one))


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: io.BufferedReader, size: int) -> Iterator[bytes]:
    left = size
    while left:
        data = file.read(min(left, _CHUNK))
        if not data:
            # The file was truncated meanwhile: zeros fill it up to the announced size.
            data = bytes(min(left, _CHUNK))
        left -= len(data)
        yield data
    if size % tarfile.BLOCKSIZE:
        yield bytes(-size % tarfile.BLOCKSIZE)


def pack(path: Path, name: str, *, keep_owner: bool = False) -> Iterator[bytes]:
    """Yield the bytes of an archive of a file or a directory.

    Args:
        path: the file or directory.
        name: its name in the archive; ``.`` for the contents of a directory.
        keep_owner: keep the owners' ids; else root owns all files.
    """
    packer = _Packer(owner=None if keep_owner else (0, 0))
    yield from packer.tree(path, name)
    yield _END


def context(
    directory: Path, dockerfile: str, *, extra: Iterable[tuple[str, bytes]] = ()
) -> Iterator[bytes]:
    """Yield the bytes of a build context: a directory without its ignored files.

    ``NAME.dockerignore`` beside a Dockerfile of that name takes precedence over
    ``.dockerignore``. The Dockerfile and ``.dockerignore`` are always included, as the engine
    reads them.

    Args:
        directory: the context.
        dockerfile: the Dockerfile's path below it.
        extra: names and contents of more files.

    Raises:
        ConfigError: ``.dockerignore`` cannot be read, or there is no such directory.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory")
    ignore = _read_ignore(directory, dockerfile)
    packer = _Packer(owner=(0, 0))
    keep = {posixpath.normpath(dockerfile), ".dockerignore"}
    yield from _walk(packer, directory, "", ignore, None, keep)
    for name, data in extra:
        yield from packer.text(name, data)
    yield _END


def _read_ignore(directory: Path, dockerfile: str) -> Ignore:
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
