"""Rotation: logs are kept within their limits, and full files are compressed or deleted.

conmon begins another file by itself when the current one reaches its size limit.  The engine
notices that by inotify on the container's directory, so a log costs nothing while there is
nothing to do.  Small files could fill up again before the engine has noticed; their size is
polled every second instead, and conmon is asked to begin another.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from palan.engine.logdrivers.container import LoggedContainer
from palan.engine.logdrivers.settings import LogSettings, log_settings
from palan.engine.logdrivers.surroundings import Surroundings
from palan.engine.logdrivers.watches import FileWatches
from palan.engine.streams.segments import assign_number, compress, numbered, trim, trim_ended


__all__ = ["LogRotation", "prepare_log"]

INTERVAL: Final = 1.0
"""Seconds between looks at the size of small files."""

_MODE: Final = 0o640

_log: Any = structlog.get_logger("palan.engine")


def prepare_log(path: Path, settings: LogSettings) -> None:
    """Create the file that conmon is to write, with its number, if it needs one.  Blocking."""
    if settings.rotates or settings.ships:
        path.touch(_MODE)
        assign_number(path)


class _RotatedLog:
    """The log of a container that runs.

    Attributes:
        inode: of the newest file, when it was last looked at.
        watch: the watch on its directory, if the kernel has one.
        tidying: the task that trims it, if there was any.
        again: another file was begun while it was being trimmed.
        compressing: whether full files are being compressed.
    """

    def __init__(self, container: LoggedContainer, path: Path, settings: LogSettings) -> None:
        self.container = container
        self.path = path
        self.settings = settings
        self.inode = 0
        self.watch: int | None = None
        self.tidying: asyncio.Task[None] | None = None
        self.again = False
        self.compressing = False

    @property
    def needs_tidying(self) -> bool:
        """Whether a file is new, or too large."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return status.st_ino != self.inode or (
            self.settings.is_watched and status.st_size > self.settings.max_size
        )


class LogRotation:
    """Rotates the logs of all containers that run.

    Args:
        surroundings: the rest of the engine.
        watches: watches on files.
        rotated: is called with a container's id when its log continues in another file.
    """

    def __init__(
        self, surroundings: Surroundings, watches: FileWatches, rotated: Callable[[str], None]
    ) -> None:
        self._engine = surroundings
        self._watches = watches
        self._rotated = rotated
        self._logs: dict[str, _RotatedLog] = {}
        self._polled: set[str] = set()
        self._polling: asyncio.Task[None] | None = None

    def begin(self, container: LoggedContainer) -> None:
        """Rotate the log of a container that has begun to write it."""
        log = self._log_of(container)
        if not log.settings.rotates:
            return
        self._logs[container.id] = log

        def renamed(name: str) -> None:
            if name in ("", log.path.name):
                self.check(container.id)

        log.watch = self._watches.watch_directory(log.path.parent, renamed)
        if log.settings.is_watched or log.watch is None:
            self._polled.add(container.id)
            if self._polling is None:
                self._polling = self._engine.spawn(self._poll(), endless=True)
        log.inode = _inode(log.path)

    async def end(self, container: LoggedContainer) -> None:
        """Bring the complete log of a container that has ended within its limits."""
        log = self._logs.pop(container.id, None)
        if log is None:
            log = self._log_of(container)
        else:
            self._polled.discard(container.id)
            if log.watch is not None:
                self._watches.unwatch(log.watch)
            if log.tidying is not None:
                await log.tidying
            if not log.needs_tidying:
                return
        if log.settings.rotates:
            try:
                await asyncio.to_thread(_tidy_ended, log)
            except OSError as error:
                _warn(log, error)

    def check(self, container_id: str) -> None:
        """Number, trim and compress a container's log: conmon has begun another file."""
        log = self._logs.get(container_id)
        if log is None:
            return
        log.inode = _inode(log.path)
        # At once, as conmon may begin another file soon, and this one would be lost.
        with contextlib.suppress(OSError):  # the task will say it
            assign_number(log.path)
        if log.tidying is not None and not log.tidying.done():
            log.again = True
            return
        log.tidying = self._engine.spawn(self._tidy(log))

    def _log_of(self, container: LoggedContainer) -> _RotatedLog:
        settings = log_settings(container.record.host_config.log_config)
        return _RotatedLog(container, self._engine.paths.log(container.id), settings)

    async def _tidy(self, log: _RotatedLog) -> None:
        while True:
            log.again = False
            try:
                await asyncio.to_thread(_tidy, log)
                self._rotated(log.container.id)
            except OSError as error:  # such as a full disk
                _warn(log, error)
            if log.settings.compress and not log.compressing:
                self._engine.spawn(self._compress(log))
            if not log.again:
                return

    async def _compress(self, log: _RotatedLog) -> None:
        """Compress full files, in a task of its own that no caller waits for."""
        log.compressing = True
        try:
            while await self._engine.slowly(_compress, log):
                pass  # another one may have become full meanwhile
        except OSError as error:
            _warn(log, error)
        finally:
            log.compressing = False

    async def _poll(self) -> None:
        """Look at small files, as long as there are any."""
        try:
            while self._polled:
                await asyncio.sleep(INTERVAL)
                for container_id in list(self._polled):
                    self._look_at(self._logs[container_id])
        finally:
            self._polling = None

    def _look_at(self, log: _RotatedLog) -> None:
        try:
            status = log.path.stat()
        except OSError:
            return
        if status.st_ino != log.inode:
            self.check(log.container.id)
        elif status.st_size > log.settings.max_size and log.container.monitored is not None:
            with contextlib.suppress(OSError):  # it is just ending
                log.container.monitored.reopen_log()


def _warn(log: _RotatedLog, error: OSError) -> None:
    _log.warning("log not rotated", container=log.container.id, reason=str(error))


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _tidy(log: _RotatedLog) -> None:
    assign_number(log.path)
    trim(log.path, size=log.settings.max_size, files=log.settings.max_files)


def _compress(log: _RotatedLog) -> bool:
    """Compress one file; return False if no file is left to compress."""
    for segment in numbered(log.path)[:-1]:
        if not segment.compressed:
            compress(log.path, segment)
            return True
    return False


def _tidy_ended(log: _RotatedLog) -> None:
    _tidy(log)
    if log.settings.is_watched:
        trim_ended(log.path, size=log.settings.max_size, files=log.settings.max_files)
