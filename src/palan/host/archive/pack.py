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


__all__ = ["Packing"]

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
    ) -> None:
        """Start it.

        Args:
            root: the directory to be confined to; may be a ``/proc/<pid>/root``.
            inside: what to pack, as a path within ``root``; its last component is not followed.
            prefix: the name of ``inside`` in the archive; "" leaves its own entry out, and
                "/" begins all names with a slash.

        Raises:
            OSError: it can't be started.
        """
        task = {
            "action": "pack",
            "target": str(root),
            "inside": inside,
            "compression": "",
            "prefix": prefix,
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

    def pieces(self) -> Generator[bytes, None, None]:
        """The whole archive; the child ends with it, or when this is closed.

        Raises:
            OSError: something could not be read; nothing or only a part was yielded then.
        """
        try:
            # Whole pieces: each is a turn of several threads.
            while piece := self.output.read(_PIECE):
                yield piece
            self.finish()
        finally:
            self.kill()

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
