"""An overlay's upper directory becomes a layer: packed into a file and unpacked elsewhere, at once.

One process reads each file once, and writes it to both, so that they have the same content
whoever changes the directory meanwhile.  It is confined to the upper directory and
to the one that it makes.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from palan.host.archive.process import read_answer, start
from palan.host.archive.unpack import Unpacked


__all__ = ["LayerCopy"]


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
