"""Files that appear complete or not at all: written beside their place, then renamed.

A rename replaces anything but a directory, so that root could replace ``/dev/null`` for the
whole machine. As in the docker CLI, only regular files are replaced.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final


__all__ = ["NotReplaceable", "atomic_file", "check_replaceable"]

_REFUSED: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a symbolic link directly"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device file"),
    (stat.S_ISBLK, "a block device file"),
)
"""The docker CLI's words for files that are not regular."""


class NotReplaceable(OSError):
    """The path has a file that is not regular, or its directory does not exist."""

    def __str__(self) -> str:
        return str(self.args[0])


def check_replaceable(path: Path) -> int | None:
    """Check that a path can be written by :func:`atomic_file`.

    Returns:
        The permissions of the present file; None if there is no file.

    Raises:
        NotReplaceable: it cannot, in the words of the docker CLI.
    """
    if not path.parent.is_dir():
        raise NotReplaceable(f"invalid output path: directory {str(path.parent)!r} does not exist")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    for is_kind, words in _REFUSED:
        if is_kind(mode):
            raise NotReplaceable(f"invalid output path {str(path)!r}: cannot write to {words}")
    return stat.S_IMODE(mode) & 0o777


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Open a new file that replaces the one at ``path`` when the block ends without an error.

    Args:
        path: the place of the file; its directory must exist.
        mode: the permissions of a new file; a file that is replaced passes on its own.

    Raises:
        NotReplaceable: see :func:`check_replaceable`.
        OSError: the file cannot be written; nothing has changed.
    """
    present = check_replaceable(path)
    temporary = path.with_name(f".tmp-{secrets.token_hex(12)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode if present is None else present)
        check_replaceable(path)  # a block may take long
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
