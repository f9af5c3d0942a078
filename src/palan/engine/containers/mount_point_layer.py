"""The lowest layer of every container: empty mount points for the runtime.

An image need not have ``/proc`` or ``/etc/hosts``, yet something is mounted there in every
container.  If the runtime had to make these mount points, they would be among the changes of
the container, and in every image that is committed of it.  So they lie, empty, below the
image's layers, which may hide them.
"""

import tempfile
from pathlib import Path
from typing import Final


__all__ = ["make_mount_point_layer"]

_DIRECTORIES: Final = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES: Final = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
_LINKS: Final = {"etc/mtab": "/proc/mounts"}


def make_mount_point_layer(directory: Path, tmp: Path) -> None:
    """Make the layer, unless it exists.

    Args:
        directory: the directory of the layer.
        tmp: a directory on the same file system, from which the finished layer is moved.
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
