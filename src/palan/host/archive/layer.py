"""Conversion of an overlay's upper directory into a layer: an archive and an unpacked copy.

A child process does it, confined to the upper directory and the new one, because a container may
change the upper directory at the same time. If that is excluded and there is little to copy, it
is done in this process, because starting a child would take longer than copying.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from palan.host.archive.layer_copy import copy_layer_to
from palan.host.archive.process import read_answer, start
from palan.host.archive.unpack import Unpacked


__all__ = ["LayerCopy", "copy_small"]

_MAX_FILES: Final = 300
"""Maximum number of files to copy without a child process."""

_MAX_BYTES: Final = 8 << 20
"""Maximum bytes to copy without a child process."""


def copy_small(upper: Path, archive: Path, directory: Path) -> tuple[Unpacked, int] | None:
    """Copy an upper directory that does not change, if it is small. Blocking.

    Args:
        upper: the upper directory, as for :class:`LayerCopy`.
        archive: the archive to write, likewise.
        directory: the directory to fill, likewise.

    Returns:
        The result and the length of the archive, or None if the directory is too large.

    Raises:
        OSError: reading or writing failed.
    """
    files = size = 0
    for place, directories, names in os.walk(upper):
        files += len(directories) + len(names)
        if files > _MAX_FILES:
            return None
        size += sum(os.lstat(os.path.join(place, name)).st_size for name in names)  # noqa: PTH118 - paths are strings here
        if size > _MAX_BYTES:
            return None
    with archive.open("xb", buffering=0) as output:
        answer = copy_layer_to(str(upper), output.fileno(), str(directory))
    return Unpacked(answer), answer["length"]


class LayerCopy:
    """The child process that converts an upper directory.

    Attributes:
        length: size of the archive in bytes, after the end.
    """

    def __init__(self, upper: Path, archive: Path, directory: Path) -> None:
        """Start the process.

        Args:
            upper: the upper directory.
            archive: the archive to write; a new file.
            directory: an empty directory, filled with the content of the layer.

        Raises:
            OSError: the process could not be started.
        """
        self.length = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in wait()
        try:
            target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                task = {
                    "action": "layer",
                    "target": str(upper),
                    "inside": "/",
                    "compression": "",
                    "directory": target,
                }
                with archive.open("xb") as output:
                    self._process = start(
                        task,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=self._errors,
                        pass_fds=(target,),
                    )
            finally:
                os.close(target)
        except BaseException:
            self._errors.close()
            raise

    def wait(self) -> Unpacked:
        """Wait for the end; the digest in the result is the archive's.

        Raises:
            OSError: reading or writing failed.
            ArchiveError: the process was killed.
        """
        with self._errors:
            status = self._process.wait()
            self._errors.seek(0)
            answer = read_answer(self._errors.read(), status)
        self.length = answer["length"]
        return Unpacked(answer)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
