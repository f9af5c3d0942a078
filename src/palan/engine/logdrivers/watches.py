"""One inotify(7) descriptor for the logs of all containers, made when it is first needed."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from palan.host.inotify import MODIFY, MOVED_TO, ONESHOT, ONLYDIR, OVERFLOW, Inotify


__all__ = ["FileWatches"]


class FileWatches:
    """Watches on directories and files.  Where the kernel has no more, callers must poll."""

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._directories: dict[int, Callable[[str], None]] = {}
        self._events: dict[int, asyncio.Event] = {}

    def watch_directory(self, directory: Path, renamed: Callable[[str], None]) -> int | None:
        """Watch for files that get a name in a directory by being renamed.

        Args:
            directory: the directory.
            renamed: is called with each name; with an empty one when events were lost.

        Returns:
            The watch, for :meth:`unwatch`; None where the kernel can't watch.
        """
        inotify = self._opened()
        if inotify is None:
            return None
        try:
            watch = inotify.add(directory, MOVED_TO | ONLYDIR)
        except OSError:
            return None
        self._directories[watch] = renamed
        return watch

    def unwatch(self, watch: int) -> None:
        """Remove a watch on a directory."""
        del self._directories[watch]
        if self._inotify is not None:
            with contextlib.suppress(OSError):  # the directory is gone
                self._inotify.remove(watch)

    def notify_once(self, path: Path, event: asyncio.Event) -> bool:
        """Set an event the next time that a file is written to, once.

        Returns:
            False where the kernel can't watch.
        """
        inotify = self._opened()
        if inotify is None:
            return False
        try:
            self._events[inotify.add(path, MODIFY | ONESHOT)] = event
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the descriptor, and with it all watches."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _opened(self) -> Inotify | None:
        if self._inotify is None:
            try:
                self._inotify = Inotify()
            except OSError:
                return None
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._read)
        return self._inotify

    def _read(self) -> None:
        if self._inotify is None:
            return
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                for renamed in list(self._directories.values()):
                    renamed("")
            if (waiting := self._events.pop(event.watch, None)) is not None:
                waiting.set()
            elif event.name and (callback := self._directories.get(event.watch)) is not None:
                callback(event.name)
