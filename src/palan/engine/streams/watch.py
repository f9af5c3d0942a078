"""Waits for changes of a file by inotify(7)."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Self

from palan.host.inotify import CREATE, MODIFY, MOVED_TO, Inotify


__all__ = ["FileWatch"]


class FileWatch:
    """A watch on a file that is written to or replaced by another of its name.

    Both the file and its directory are watched, the directory for names only: otherwise
    every change of a neighbouring file would be an event.  Where inotify has run out of
    watches (``fs.inotify.max_user_watches``), callers poll four times a second instead.
    """

    INTERVAL: Final = 0.25

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._inotify: Inotify | None = None
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._inotify = Inotify()
            self._inotify.add(self._path.parent, MOVED_TO | CREATE)
            self._watch_file()
        except OSError:
            self._close()
        else:
            self._loop.add_reader(self._inotify.fd, self._notice)
        self._event.set()  # the caller must look at what happened before
        return self

    def __exit__(self, *_: object) -> None:
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
        self._close()

    def _close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _watch_file(self) -> None:
        if self._inotify is None:
            return
        with contextlib.suppress(FileNotFoundError):
            watch = self._inotify.add(self._path, MODIFY)
            if self._file is not None and watch != self._file:
                with contextlib.suppress(OSError):  # the kernel may have dropped it already
                    self._inotify.remove(self._file)
            self._file = watch

    def _notice(self) -> None:
        if self._inotify is None:
            return
        self._inotify.read()
        # Adding an existing watch takes a microsecond; distinguishing the events, more.
        with contextlib.suppress(OSError):
            self._watch_file()
        self._event.set()

    async def changed(self) -> None:
        """Wait for a change since this last returned."""
        if self._inotify is None:
            await asyncio.sleep(self.INTERVAL)
        else:
            await self._event.wait()
            self._event.clear()
