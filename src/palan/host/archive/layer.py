"""An overlay's upper directory becomes a layer: packed into a file and unpacked elsewhere, at once.

A process does it that is confined to the upper directory and to the one that it makes, as
somebody may change the former meanwhile.  Where nobody does, and there is little to copy,
starting one would take longer than all of it.
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

_FEW: Final = 300
"""Files that are copied without a process."""

_LITTLE: Final = 8 << 20
"""Bytes of them."""


def copy_small(upper: Path, archive: Path, directory: Path) -> tuple[Unpacked, int] | None:
    """Copy an upper directory that nobody changes, if there is little in it.  Blocking.

    Args:
        upper: see :class:`LayerCopy`, and the others.
        archive: as there.
        directory: as there.

    Returns:
        what was copied with the length of the archive, or None if it is too much.

    Raises:
        OSError: something can't be read, or written.
    """
    files = size = 0
    for place, directories, names in os.walk(upper):
        files += len(directories) + len(names)
        if files > _FEW:
            return None
        size += sum(os.lstat(os.path.join(place, name)).st_size for name in names)  # noqa: PTH118 - strings are at hand
        if size > _LITTLE:
            return None
    with archive.open("xb", buffering=0) as output:
        answer = copy_layer_to(str(upper), output.fileno(), str(directory))
    return Unpacked(answer), answer["length"]


class LayerCopy:
    """The process that does it.

    Attributes:
        length: bytes of the archive, once it is done.
    """

    def __init__(self, upper: Path, archive: Path, directory: Path) -> None:
        """Start it.

        Args:
            upper: the upper directory.
            archive: where the archive is written; a new file.
            directory: an empty directory, which gets what a layer of that archive would have.

        Raises:
            OSError: it can't be started.
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
        """Wait for its end; the digest is the archive's.

        Raises:
            OSError: something can't be read, or written.
            ArchiveError: it was ended.
        """
        with self._errors:
            status = self._process.wait()
            self._errors.seek(0)
            answer = read_answer(self._errors.read(), status)
        self.length = answer["length"]
        return Unpacked(answer)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
