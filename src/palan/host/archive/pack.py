"""Packing a directory tree into a tar stream, in a process of its own.

The tree may belong to a running container, which can change it while it is read: the
child is chrooted to ``root``, so no link in there can lead it elsewhere.  Blocking:
iterate in a thread.
"""

import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

from palan.host.archive.process import read_answer, start


__all__ = ["pack"]

_PIECE: Final = 256 << 10


def pack(
    root: Path,
    *,
    inside: str = "/",
    prefix: str = "",
    whiteouts: bool = False,
    nanoseconds: bool = False,
    exclude: tuple[str, ...] = (),
    opaque_xattr: str = "trusted.overlay.opaque",
) -> Generator[bytes, None, None]:
    """The archive of a directory tree, or of one file, in pieces.

    Args:
        root: the directory to be confined to; may be a ``/proc/<pid>/root``.
        inside: what to pack, as a path within ``root``; its last component is not followed.
        prefix: the name of ``inside`` in the archive; "" leaves its own entry out.
        whiteouts: it is the upper directory of an overlay: write removals as a layer has them.
        nanoseconds: keep fractions of seconds of modification times.
        exclude: paths below ``inside`` to leave out.
        opaque_xattr: the attribute of an opaque directory in an overlay.

    Closing the iterator ends the child.

    Raises:
        OSError: it cannot be read; nothing or only a part was yielded then.
    """
    task = {
        "action": "pack",
        "target": str(root),
        "inside": inside,
        "compression": "",
        "prefix": prefix,
        "whiteouts": whiteouts,
        "nanoseconds": nanoseconds,
        "exclude": exclude,
        "opaque_xattr": opaque_xattr,
    }
    with tempfile.TemporaryFile() as errors:
        process = start(task, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout  # noqa: S101 - for the type checker
            with process.stdout:
                while piece := process.stdout.read1(_PIECE):  # type: ignore[attr-defined] # it is buffered
                    yield piece
            process.wait()
            errors.seek(0)
            read_answer(errors.read(), process.returncode)
        finally:
            process.kill()
            process.wait()
