"""The layer below all others of every container: what the runtime is going to mount over.

An image need not have ``/proc`` or ``/etc/hosts``, yet something is mounted there in every
container.  If the runtime had to make these, they would be among what the container has
changed, and so in every image that is committed from it.  So they lie, empty, below the
image: what the image itself has of them is seen, and what it has not is none of the
container's changes.
"""

import tempfile
from pathlib import Path
from typing import Final


__all__ = ["make_stubs"]

_DIRECTORIES: Final = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES: Final = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
_LINKS: Final = {"etc/mtab": "/proc/mounts"}


def make_stubs(directory: Path, tmp: Path) -> None:
    """Make the layer, unless it is there.

    Args:
        directory: where it is to be.
        tmp: where it is made, on the same file system, so that it is whole or not there.
    """
    if directory.is_dir():
        return
    draft = Path(tempfile.mkdtemp(dir=tmp, prefix="stubs-"))
    draft.chmod(0o755)
    for name in _DIRECTORIES:
        (draft / name).mkdir()
        (draft / name).chmod(0o755)
    for name in _FILES:
        (draft / name).touch()
        (draft / name).chmod(0o755)
    for name, target in _LINKS.items():
        (draft / name).symlink_to(target)
    draft.rename(directory)
