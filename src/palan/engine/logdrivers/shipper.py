"""Sends a container's lines to a driver's receiver, from the log that conmon writes.

The position in the log is saved, so that the next engine continues there.  Lines that were
sent but whose position was not saved yet, those of some tenths of a second, are then sent
again; so are those that were being sent when a connection broke, as they may not have arrived.
Lines are lost only when the log itself no longer has them, or where the options say so
(``mode=non-blocking``, or a number of attempts).

Lines are sent a few at a time, so that a long log does not keep the event loop from clients.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from palan.engine.logdrivers.driver import Sink
from palan.engine.logdrivers.entry import Entry, EntryParser
from palan.engine.logdrivers.positions import Position
from palan.engine.logdrivers.watches import FileWatches
from palan.engine.sizes import parse_size
from palan.engine.streams.logsource import LogSource


__all__ = ["Shipper"]

SLICE: Final = 16 * 1024
_PAUSE: Final = 0.02
_BATCH: Final = 1000
_SAVE_INTERVAL: Final = 0.3
_POLL_INTERVAL: Final = 5.0
_BUFFER: Final = 1_000_000
"""Bytes that wait for a receiver at most with ``mode=non-blocking``, as in dockerd."""

_log: Any = structlog.get_logger("palan.engine")


class Shipper:
    """Sends the lines of one container.

    Args:
        path: the container's newest log file.
        sink: the receiver.
        position: the place from which to continue.
        container_id: for the engine's log.
        options: the options of the log driver.
        watches: watches on files.
        save: saves a position.
        resting: held while a shipper that has more to send rests; all shippers share it.
        is_open: whether the sink is connected.

    Attributes:
        ended: the container has ended, so the log will not grow.
        failing: the receiver can't be reached.
        dropped: bytes of the log that were skipped, as they were too many.
    """

    def __init__(
        self,
        path: Path,
        sink: Sink,
        position: Position,
        *,
        container_id: str,
        options: Mapping[str, str],
        watches: FileWatches,
        save: Callable[[Position], None],
        resting: asyncio.Lock,
        is_open: bool = False,
    ) -> None:
        self._path = path
        self._sink = sink
        self._open = is_open
        self._position = position
        self._container_id = container_id
        self._watches = watches
        self._save_position = save
        self._resting = resting
        self._wake = asyncio.Event()
        self._saved = 0.0
        self._limit = (
            parse_size(options["max-buffer-size"]) if "max-buffer-size" in options else _BUFFER
        )
        self._lossy = options.get("mode") == "non-blocking"
        self._pending: list[Entry] = []
        self._due = 0.0
        self.ended = False
        self.failing = False
        self.dropped = 0

    def wake(self) -> None:
        """Look at the log again: it may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Send lines until the container has ended and all are sent."""
        source = await asyncio.to_thread(LogSource, self._path, follow=True)
        try:
            await self._ship(source)
        finally:
            source.close()
            await self._sink.close()

    async def _ship(self, source: LogSource) -> None:
        start = self._start(source)
        parser = EntryParser(start, self._position.skip)
        position = start
        while True:
            ended, moved = self.ended, source.moved(parser.resume[0])
            self._wake.clear()
            if self._lossy and source.refresh() - position > self._limit:
                position, parser = await self._skip_excess(source, position)
            data = await self._read(source, position)
            if data:
                begun = time.monotonic()
                position += len(data)
                self._pending += parser.feed(data)
                await self._deliver(source, parser)
                if len(data) == SLICE:
                    # All shippers together take at most half of the loop's time.
                    async with self._resting:
                        await asyncio.sleep(min(_PAUSE, time.monotonic() - begun))
            elif moved:
                await asyncio.to_thread(source.extend, parser.resume[0])
            elif ended:
                self._pending += parser.finish()
                await self._deliver(source, parser, now=True)
                self._save(source, parser, done=True)
                return
            else:
                await self._idle(source, parser, position)

    def _start(self, source: LogSource) -> int:
        """Return the saved position in the log, or its beginning if that is gone."""
        wanted = self._position
        found = source.find(wanted.number, wanted.inode, wanted.offset)
        if found is None:
            self._position = Position()
            return 0
        return found

    async def _skip_excess(self, source: LogSource, position: int) -> tuple[int, EntryParser]:
        """Skip what exceeds the buffer's size, as ``mode=non-blocking`` asks for."""
        target = source.size - self._limit
        window = await asyncio.to_thread(source.read, target, SLICE)
        target += window.find(b"\n") + 1
        if not self.dropped:
            _log.warning(
                "log lines are dropped: the receiver is too slow", container=self._container_id
            )
        self.dropped += target - position
        return target, EntryParser(target)

    @staticmethod
    async def _read(source: LogSource, position: int) -> bytes:
        if source.is_slow(position) or source.refresh() - position > SLICE:
            return await asyncio.to_thread(source.read, position, SLICE)
        return source.read(position, SLICE)  # just written, so in memory

    async def _deliver(self, source: LogSource, parser: EntryParser, *, now: bool = False) -> None:
        """Send the pending lines, unless they may wait for more."""
        moment = time.monotonic()
        if not self._pending:
            self._save(source, parser, throttled=True)
            return
        if not now and self._sink.linger and len(self._pending) < _BATCH:
            self._due = self._due or moment + self._sink.linger
            if moment < self._due:
                return
        self._due = 0.0
        entries, self._pending = self._pending, []
        await self._send(entries)
        self._save(source, parser, throttled=True)

    async def _send(self, entries: list[Entry]) -> None:
        retry, attempts = self._sink.retry, 0
        delay = retry.first
        while True:
            try:
                if not self._open:
                    await self._sink.open()
                    self._open = True
                await self._sink.send(entries)
            except OSError as error:
                self._open = False
                await self._sink.close()
                if not self.failing:
                    _log.warning(
                        "log lines can't be sent",
                        container=self._container_id,
                        reason=str(error),
                    )
                self.failing = True
                attempts += 1
                if retry.attempts is not None and attempts > retry.attempts:
                    _log.warning(
                        "log lines given up", container=self._container_id, count=len(entries)
                    )
                    return
                await asyncio.sleep(delay)
                delay = min(delay * retry.factor, retry.longest)
            except Exception:  # noqa: BLE001 - logged
                # Trying again would fail likewise, and hold up all further lines.
                _log.exception("log lines given up", container=self._container_id)
                return
            else:
                if self.failing:
                    _log.info("log lines are sent again", container=self._container_id)
                self.failing = False
                return

    async def _idle(self, source: LogSource, parser: EntryParser, position: int) -> None:
        """Wait until the log changes, or pending lines are due."""
        if not self._pending:
            self._save(source, parser)
        watched = self._watches.notify_once(self._path, self._wake)
        if source.refresh() > position or self.ended:
            return
        patience = _POLL_INTERVAL if watched else _SAVE_INTERVAL
        if self._pending:
            patience = max(0.0, min(patience, self._due - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._wake.wait()
        if self._pending and time.monotonic() >= self._due:
            await self._deliver(source, parser)

    def _save(
        self, source: LogSource, parser: EntryParser, *, done: bool = False, throttled: bool = False
    ) -> None:
        """Save the position up to which lines were sent, if it has changed."""
        now = time.monotonic()
        if throttled and now - self._saved < _SAVE_INTERVAL:
            return
        start, skip = parser.resume
        number, inode, offset = source.locate(start)
        position = Position(number=number, inode=inode, offset=offset, skip=skip, done=done)
        if position != self._position:
            self._position, self._saved = position, now
            self._save_position(position)
