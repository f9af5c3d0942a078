"""The order between those who read a log and the operations on its files.

Files of a log are numbered, cut, compressed and deleted while clients follow it.  A follower
recognises a file by its number, and keeps it open until it has read it.  So before an operation
replaces or deletes a file, all followers of that log learn the numbers and open what is new:
they miss nothing, and read nothing twice.

conmon, another process, takes no part in this.  It only begins new files and appends to them.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary


__all__ = ["Follower", "OpenLog", "changing_log", "open_log"]


class Follower(Protocol):
    """A reader of a log that keeps its files open."""

    def catch_up(self) -> None:
        """Learn the numbers of the files, and open the new ones; the log's lock is held."""


class OpenLog:
    """The lock of one log, and its followers.

    Attributes:
        lock: held while its files are listed, numbered, replaced or deleted; for a short time.
        followers: those that the operations wait for.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.followers: WeakSet[Follower] = WeakSet()


_logs: WeakValueDictionary[Path, OpenLog] = WeakValueDictionary()
_logs_lock = threading.Lock()


def open_log(path: Path) -> OpenLog:
    """Return the one object for the log whose newest file is ``path``."""
    with _logs_lock:
        log = _logs.get(path)
        if log is None:
            log = _logs[path] = OpenLog()
        return log


@contextlib.contextmanager
def changing_log(path: Path) -> Iterator[None]:
    """Hold a log's lock while files are replaced or deleted, once its followers have them open."""
    log = open_log(path)
    with log.lock:
        for follower in list(log.followers):
            with contextlib.suppress(OSError):  # no descriptors left: it will miss lines
                follower.catch_up()
        yield
