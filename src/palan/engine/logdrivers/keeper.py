"""Keeping logs within their limits: numbers for new files, old ones compressed and deleted.

conmon begins another file by itself when the one it writes has its size.  That is seen by
inotify on the container's directory, so a log costs nothing while nothing has to be done.
Small files would be full again before anybody has looked; of those the size is looked at
every second, and conmon is told to begin another.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from palan.engine.containers.container import Container
from palan.engine.logdrivers.settings import LogSettings, log_settings
from palan.engine.streams.segments import claim, compress, numbered, settle, trim
from palan.host.inotify import MODIFY, MOVED_TO, ONESHOT, ONLYDIR, OVERFLOW, Inotify


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["LogKeeper", "prepare_log"]

INTERVAL: Final = 1.0
"""Seconds between looks at the size of small files."""

_MODE: Final = 0o640


def prepare_log(path: Path, settings: LogSettings) -> None:
    """Make the file that conmon is to write, with its number, if it is to have one.  Blocking."""
    if settings.rotates or settings.ships:
        path.touch(_MODE)
        claim(path)


class _Kept:
    """The log of a container that runs."""

    def __init__(self, container: Container, path: Path, settings: LogSettings) -> None:
        self.container = container
        self.path = path
        self.settings = settings
        self.inode = 0
        self.busy: asyncio.Task[None] | None = None
        self.again = False
        self.compressing = False

    @property
    def is_over(self) -> bool:
        """Whether something has to be done before it is let alone."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return status.st_ino != self.inode or (
            self.settings.is_watched and status.st_size > self.settings.max_size
        )


class LogKeeper:
    """The logs of all containers that run."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._inotify: Inotify | None = None
        self._kept: dict[str, _Kept] = {}
        self._watches: dict[int, str] = {}
        self._bells: dict[int, asyncio.Event] = {}
        self._looked_at: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    def begin(self, container: Container) -> None:
        """A container runs, and its log grows."""
        settings = log_settings(container.record.host_config.log_config)
        if not settings.rotates:
            return
        kept = _Kept(container, self._engine.paths.log(container.id), settings)
        self._kept[container.id] = kept
        seen = self._watch(kept)
        if settings.is_watched or not seen:
            self._looked_at.add(container.id)
            if self._looking is None:
                self._looking = self._engine.spawn(self._look(), endless=True)
        kept.inode = _inode(kept.path)

    async def end(self, container: Container) -> None:
        """A container has ended, and its log is complete."""
        kept = self._kept.pop(container.id, None)
        if kept is None:
            settings = log_settings(container.record.host_config.log_config)
            kept = _Kept(container, self._engine.paths.log(container.id), settings)
        else:
            self._unwatch(kept)
            if kept.busy is not None:
                await kept.busy
            if not kept.is_over:
                return
        if kept.settings.rotates:
            try:
                await asyncio.to_thread(_settle, kept)
            except OSError as error:
                self._not_rotated(kept, error)

    def rotated(self, container_id: str) -> None:
        """Conmon has begun another file."""
        kept = self._kept.get(container_id)
        if kept is None:
            return
        kept.inode = _inode(kept.path)
        if kept.busy is not None and not kept.busy.done():
            kept.again = True
            return
        kept.busy = self._engine.spawn(self._tidy(kept))

    async def _tidy(self, kept: _Kept) -> None:
        while True:
            kept.again = False
            try:
                await asyncio.to_thread(_tidy, kept)
                self._engine.shipping.rotated(kept.container.id)
            except OSError as error:  # such as a full disk
                self._not_rotated(kept, error)
            if kept.settings.compress and not kept.compressing:
                self._engine.spawn(self._compress(kept))
            if not kept.again:
                return

    async def _compress(self, kept: _Kept) -> None:
        """Compress what is full: by itself, as nobody is to wait for that."""
        kept.compressing = True
        try:
            while await self._engine.slowly(_compress, kept):
                pass  # what has become full meanwhile
        except OSError as error:
            self._not_rotated(kept, error)
        finally:
            kept.compressing = False

    def _not_rotated(self, kept: _Kept, error: OSError) -> None:
        self._engine.log.warning("log not rotated", container=kept.container.id, reason=str(error))

    # ---- looking -----------------------------------------------------------------

    def _watch(self, kept: _Kept) -> bool:
        """Have the kernel tell of new files; False where it can't."""
        inotify = self._started()
        if inotify is None:
            return False
        try:
            watch = inotify.add(kept.path.parent, MOVED_TO | ONLYDIR)
        except OSError:
            return False
        self._watches[watch] = kept.container.id
        return True

    def _unwatch(self, kept: _Kept) -> None:
        self._looked_at.discard(kept.container.id)
        for watch, owner in list(self._watches.items()):
            if owner == kept.container.id:
                del self._watches[watch]
                if self._inotify is not None:
                    with contextlib.suppress(OSError):  # the directory is gone
                        self._inotify.remove(watch)

    def _notice(self) -> None:
        if self._inotify is None:
            return
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                for known in list(self._kept):
                    self.rotated(known)
            if (bell := self._bells.pop(event.watch, None)) is not None:
                bell.set()
                continue
            container = self._watches.get(event.watch)
            if container is not None and event.name == self._engine.paths.log(container).name:
                self.rotated(container)

    async def _look(self) -> None:
        """Look at small files, as long as there are any."""
        try:
            while self._looked_at:
                await asyncio.sleep(INTERVAL)
                for container in list(self._looked_at):
                    self._look_at(self._kept[container])
        finally:
            self._looking = None

    def _look_at(self, kept: _Kept) -> None:
        try:
            status = kept.path.stat()
        except OSError:
            return
        if status.st_ino != kept.inode:
            self.rotated(kept.container.id)
        elif status.st_size > kept.settings.max_size and kept.container.monitored is not None:
            with contextlib.suppress(OSError):  # it is just ending
                kept.container.monitored.reopen_log()

    def listen(self, path: Path, bell: asyncio.Event) -> bool:
        """Set an event the next time that a file is written to, once.

        Returns:
            False where the kernel can't tell.
        """
        inotify = self._started()
        if inotify is None:
            return False
        try:
            self._bells[inotify.add(path, MODIFY | ONESHOT)] = bell
        except OSError:
            return False
        return True

    def _started(self) -> Inotify | None:
        """The watches, made when they are needed first."""
        if self._inotify is None:
            try:
                self._inotify = Inotify()
            except OSError:
                return None
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._notice)
        return self._inotify

    def close(self) -> None:
        """Let go of everything."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _tidy(kept: _Kept) -> None:
    claim(kept.path)
    trim(kept.path, size=kept.settings.max_size, files=kept.settings.max_files)


def _compress(kept: _Kept) -> bool:
    """Compress one file; False if there is none left to do."""
    for segment in numbered(kept.path)[:-1]:
        if not segment.compressed:
            compress(segment)
            return True
    return False


def _settle(kept: _Kept) -> None:
    _tidy(kept)
    if kept.settings.is_watched:
        settle(kept.path, size=kept.settings.max_size, files=kept.settings.max_files)
