"""Packing a directory tree into a tar stream, in a process of its own.

The tree may belong to a running container, which can change it while it is read: the
child is chrooted to ``root``, so no link in there can lead it elsewhere.  Blocking:
iterate in a thread.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

from palan.host.archive.process import read_answer, start, widen


__all__ = ["Packing", "pack"]

_PIECE: Final = 1 << 20


class Packing:
    """A child that packs a directory tree, or one file; the archive comes on its output.

    Attributes:
        output: the reading end of the pipe with the archive.
    """

    def __init__(
        self,
        root: Path,
        *,
        inside: str = "/",
        prefix: str = "",
        whiteouts: bool = False,
        nanoseconds: bool = False,
        exclude: tuple[str, ...] = (),
        opaque_xattr: str = "trusted.overlay.opaque",
    ) -> None:
        """Start it.

        Args:
            root: the directory to be confined to; may be a ``/proc/<pid>/root``.
            inside: what to pack, as a path within ``root``; its last component is not followed.
            prefix: the name of ``inside`` in the archive; "" leaves its own entry out, and
                "/" begins all names with a slash.
            whiteouts: it is the upper directory of an overlay: write removals as a layer has
                them.
            nanoseconds: keep fractions of seconds of modification times.
            exclude: paths below ``inside`` to leave out.
            opaque_xattr: the attribute of an opaque directory in an overlay.

        Raises:
            OSError: it can't be started.
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
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in kill()
        try:
            self._process = start(
                task, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors
            )
        except BaseException:
            self._errors.close()
            raise
        assert self._process.stdout  # noqa: S101 - for the type checker
        self.output = self._process.stdout
        widen(self.output)

    def finish(self) -> None:
        """Wait for its end, when all of its output has been read.

        Raises:
            OSError: something could not be read; the archive is not whole.
        """
        self._process.wait()
        self._errors.seek(0)
        read_answer(self._errors.read(), self._process.returncode)

    def kill(self) -> None:
        """End it, whatever it is doing, and let go of everything; also when it has ended."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self.output.close()
        self._process.wait()
        self._errors.close()


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
    """The archive of a directory tree, or of one file, in pieces; see :class:`Packing`.

    Closing the iterator ends the child.

    Raises:
        OSError: it cannot be read; nothing or only a part was yielded then.
    """
    packing = Packing(
        root,
        inside=inside,
        prefix=prefix,
        whiteouts=whiteouts,
        nanoseconds=nanoseconds,
        exclude=exclude,
        opaque_xattr=opaque_xattr,
    )
    try:
        # Whole pieces: each is a turn of several threads.
        while piece := packing.output.read(_PIECE):
            yield piece
        packing.finish()
    finally:
        packing.kill()
