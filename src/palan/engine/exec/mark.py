"""The mark in the directory of an exec that is a health check.

A check that an engine leaves behind when it dies is of no use to the next one, which
recognises it by this mark and kills it.
"""

from pathlib import Path
from typing import Final

from palan.host import processes


__all__ = ["kill_if_check", "mark_check"]

_NAME: Final = "probe"


def mark_check(directory: Path) -> None:
    """Create the directory of an exec that is a health check."""
    directory.mkdir(mode=0o700)
    (directory / _NAME).touch()


def kill_if_check(directory: Path, monitor: int) -> bool:
    """Kill an exec of an earlier engine if it is a health check.  Blocking, shortly.

    Args:
        directory: the directory of an exec whose conmon runs.
        monitor: the pid of that conmon.

    Returns:
        Whether it is a health check; its process may have ended by itself.
    """
    if not (directory / _NAME).exists():
        return False
    for pid in processes.children(monitor):
        processes.kill(pid)
    return True
