"""Sending a container's lines to a driver's receiver, from the log that conmon writes.

How far it got is written down, so the next engine goes on there.  What was sent and not yet
noted, some tenths of a second of it, is then sent once more; so is what was sent when a
connection broke, as nobody knows whether it has arrived.  Lines are lost only when the log
itself no longer has them, or where the options say so (``mode=non-blocking``, or a number of
attempts).

It works in turns, a little at a time: many lines must not keep the loop from the clients.
"""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from palan.engine.containers.container import Container
from palan.engine.logdrivers.entry import Entry, EntryParser
from palan.engine.logdrivers.sink import Sink
from palan.engine.sizes import parse_size
from palan.engine.streams.logsource import LogSource


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Position", "Shipper"]

SLICE: Final = 16 * 1024
_PAUSE: Final = 0.02
_BATCH: Final = 1000
_NOTE_EVERY: Final = 0.3
_LOOK_EVERY: Final = 5.0
_BUFFER: Final = 1_000_000
"""Bytes that wait for a receiver at most with ``mode=non-blocking``, as in dockerd."""


class Position(msgspec.Struct, kw_only=True):
    """How far a container's lines were sent.

    Attributes:
        number: of the file of its log.
        inode: of that file.
        offset: where to read on in it.
        skip: bytes from there in which lines end that were sent already.
        done: everything was sent, and the container has ended.
    """

    number: int = 0
    inode: int = 0
    offset: int = 0
    skip: int = 0
    done: bool = False


class Shipper:
    """Sends the lines of one container.

    Args:
        engine: the engine.
        container: the container.
        sink: where they go.
        position: how far they went.
        is_open: whether the sink is connected.
    """

    def __init__(
        self,
        engine: "Engine",
        container: Container,
        sink: Sink,
        position: Position,
        *,
        is_open: bool = False,
    ) -> None:
        self._engine = engine
        self._container = container
        self._path = engine.paths.log(container.id)
        self._sink = sink
        self._open = is_open
        self._position = position
        self._poke = asyncio.Event()
        self._noted = 0.0
        options = container.record.host_config.log_config.config or {}
        self._most = (
            parse_size(options["max-buffer-size"]) if "max-buffer-size" in options else _BUFFER
        )
        self._lossy = options.get("mode") == "non-blocking"
        self._pending: list[Entry] = []
        self._due = 0.0
        self.ended = False
        """The container has ended: what there is, is all."""
        self.failing = False
        """The receiver can't be reached."""
        self.dropped = 0
        """Bytes of the log that were not sent, as they were too many."""

    def poke(self) -> None:
        """There may be something to do."""
        self._poke.set()

    async def run(self) -> None:
        """Send until the container has ended and all is sent."""
        source = await asyncio.to_thread(LogSource, self._path)
        try:
            await self._ship(source)
        finally:
            source.close()
            await self._sink.close()

    async def _ship(self, source: LogSource) -> None:
        start = self._found(source)
        parser = EntryParser(start, self._position.skip)
        position = start
        while True:
            over, moved = self.ended, source.moved()
            self._poke.clear()
            if self._lossy and source.refresh() - position > self._most:
                position, parser = await self._jump(source, position)
            data = await self._read(source, position)
            if data:
                begun = time.monotonic()
                position += len(data)
                self._pending += parser.feed(data)
                await self._deliver(source, parser)
                if len(data) == SLICE:
                    # At most half of the time, all of them together.
                    async with self._engine.shipping.turn:
                        await asyncio.sleep(min(_PAUSE, time.monotonic() - begun))
            elif moved:
                await asyncio.to_thread(source.extend, parser.resume[0])
            elif over:
                self._pending += parser.finish()
                await self._deliver(source, parser, now=True)
                self._note(source, parser, done=True)
                return
            else:
                await self._idle(source, parser, position)

    def _found(self, source: LogSource) -> int:
        """Where to begin: as noted, or at the oldest that there is."""
        wanted = self._position
        found = source.find(wanted.number, wanted.inode, wanted.offset)
        if found is None:
            self._position = Position()
            return 0
        return found

    async def _jump(self, source: LogSource, position: int) -> tuple[int, EntryParser]:
        """Leave out what is too much, as it was asked for."""
        target = source.size - self._most
        window = await asyncio.to_thread(source.read, target, SLICE)
        target += window.find(b"\n") + 1
        if not self.dropped:
            self._engine.log.warning(
                "log lines are dropped: the receiver is too slow", container=self._container.id
            )
        self.dropped += target - position
        return target, EntryParser(target)

    @staticmethod
    async def _read(source: LogSource, position: int) -> bytes:
        if source.is_slow(position) or source.refresh() - position > SLICE:
            return await asyncio.to_thread(source.read, position, SLICE)
        return source.read(position, SLICE)  # just written, so in memory

    async def _deliver(self, source: LogSource, parser: EntryParser, *, now: bool = False) -> None:
        """Send what waits, unless it may wait for more."""
        moment = time.monotonic()
        if not self._pending:
            self._note(source, parser, seldom=True)
            return
        if not now and self._sink.linger and len(self._pending) < _BATCH:
            self._due = self._due or moment + self._sink.linger
            if moment < self._due:
                return
        self._due = 0.0
        entries, self._pending = self._pending, []
        await self._send(entries)
        self._note(source, parser, seldom=True)

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
                    self._engine.log.warning(
                        "log lines can't be sent", container=self._container.id, reason=str(error)
                    )
                self.failing = True
                attempts += 1
                if retry.attempts is not None and attempts > retry.attempts:
                    self._engine.log.warning(
                        "log lines given up", container=self._container.id, count=len(entries)
                    )
                    return
                await asyncio.sleep(delay)
                delay = min(delay * retry.factor, retry.longest)
            except Exception:
                # Trying again would end likewise, and all further lines would wait for it.
                self._engine.log.exception("log lines given up", container=self._container.id)
                return
            else:
                if self.failing:
                    self._engine.log.info("log lines are sent again", container=self._container.id)
                self.failing = False
                return

    async def _idle(self, source: LogSource, parser: EntryParser, position: int) -> None:
        """Wait for more, or until what waits is due."""
        if not self._pending:
            self._note(source, parser)
        heard = self._engine.logs.listen(self._path, self._poke)
        if source.refresh() > position or self.ended:
            return
        patience = _LOOK_EVERY if heard else _NOTE_EVERY
        if self._pending:
            patience = max(0.0, min(patience, self._due - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._poke.wait()
        if self._pending and time.monotonic() >= self._due:
            await self._deliver(source, parser)

    def _note(
        self, source: LogSource, parser: EntryParser, *, done: bool = False, seldom: bool = False
    ) -> None:
        """Write down how far it got."""
        now = time.monotonic()
        if seldom and now - self._noted < _NOTE_EVERY:
            return
        start, skip = parser.resume
        number, inode, offset = source.locate(start)
        position = Position(number=number, inode=inode, offset=offset, skip=skip, done=done)
        if position != self._position:
            self._position, self._noted = position, now
            self._engine.shipping.note(self._container, position)
