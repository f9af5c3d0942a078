"""Packing of a directory tree into a tar stream, by a child process.

The tree may belong to a running container that changes it at the same time, so the child is
chrooted to ``root``, and no link can lead it elsewhere. Blocking: iterate in a thread.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

from palan.host.archive.process import enlarge_pipe, read_answer, start


__all__ = ["Packing"]

_PIECE: Final = 1 << 20


class Packing:
    """A child process that packs a directory tree, or one file, to its standard output.

    Attributes:
        output: the reading end of the pipe.
    """

    def __init__(
        self,
        root: Path,
        *,
        inside: str = "/",
        prefix: str = "",
    ) -> None:
        """Start the process.

        Args:
            root: the directory to confine it to; may be a ``/proc/<pid>/root``.
            inside: the path within ``root`` to pack; its last component is not followed.
            prefix: the name of ``inside`` in the archive; "" omits its own entry, and
                "/" begins all names with a slash.

        Raises:
            OSError: the process could not be started.
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
        enlarge_pipe(self.output)

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield the whole archive, then wait for the child; closing the generator kills it.

        Raises:
            OSError: something could not be read; the archive is incomplete.
        """
        try:
            # Large pieces, because each takes several thread switches.
            while piece := self.output.read(_PIECE):
                yield piece
            self.finish()
        finally:
            self.kill()

    def finish(self) -> None:
        """Wait for the end of the process, after all of its output was read.

        Raises:
            OSError: something could not be read; the archive is incomplete.
        """
        self._process.wait()
        self._errors.seek(0)
        read_answer(self._errors.read(), self._process.returncode)

    def kill(self) -> None:
        """Kill the process and close all files; idempotent, also after its end."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self.output.close()
        self._process.wait()
        self._errors.close()
