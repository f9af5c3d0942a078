"""Reading a container's log: what there is, and what is added while somebody follows.

The log file of conmon is the one place where output is kept: it is complete when conmon
has gone, so a follower who reads to the end after that misses nothing.

Large blocks are read in a thread, as the disk may be slow.  They are framed on the event
loop, a little at a time (about 0.5 ms): a thread that computes would keep the loop from
the interpreter's lock for 5 ms each time, and be no faster.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.api.results import FrameStream
from palan.engine.streams.logfile import LogFramer, LogOptions
from palan.engine.streams.logsource import LogSource
from palan.engine.streams.watch import FileWatch


__all__ = ["LogQuery", "parse_tail", "read_logs"]

BLOCK: Final = 1024 * 1024
SLICE: Final = 128 * 1024
CACHED: Final = 32 * 1024
"""Bytes that are framed at once: what is made of them stays near the processor, which makes
it a third faster."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log a client wants.

    Attributes:
        options: which lines, and how they look.
        tail: only the last so many lines; None for all.
        follow: stay for what is added, until the container has ended.
    """

    options: LogOptions
    tail: int | None = None
    follow: bool = False


def parse_tail(text: str) -> int | None:
    """The ``tail`` parameter: a number of lines; anything else means all, as in dockerd."""
    try:
        count = int(text)
    except ValueError:
        return None
    return count if count >= 0 else None


def read_logs(path: Path, query: LogQuery, ended: asyncio.Event | None = None) -> FrameStream:
    """The log at ``path``, and of its rotated files, as a client is sent it.

    Args:
        path: conmon's log file; it need not exist.
        query: what is wanted.
        ended: set when the container's conmon has gone; None if it is not running.
    """
    return FrameStream(_read(path, query, ended), tty=query.options.tty)


async def _read(path: Path, query: LogQuery, ended: asyncio.Event | None) -> AsyncIterator[bytes]:
    options = query.options
    if not (options.stdout or (options.stderr and not options.tty)):
        return
    follow = query.follow and ended is not None
    opening = asyncio.ensure_future(asyncio.to_thread(_open, path, query))
    try:
        source, position, framer, data = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise
    with contextlib.ExitStack() as stack:
        stack.callback(source.close)
        if not follow:
            async for chunk in _present(source, position, framer, data):
                yield chunk
        elif ended is not None:
            watch = stack.enter_context(FileWatch(path))
            async for chunk in _followed(
                source, position, framer, watch=watch, ended=ended, until=options.until
            ):
                yield chunk
        if chunk := framer.finish():
            yield chunk


def _close_unwanted(opening: asyncio.Future[tuple[LogSource, int, LogFramer, bytes]]) -> None:
    """The client was gone before the log was open."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _open(path: Path, query: LogQuery) -> tuple[LogSource, int, LogFramer, bytes]:
    """Open a log and find where to begin; the first of it that is to be read."""
    options = query.options
    source = LogSource(path)
    try:
        position, skip = 0, 0
        if query.tail is not None:
            position, skip = source.tail(
                query.tail, stdout=options.stdout, stderr=options.stderr and not options.tty
            )
        if options.since is not None and (later := source.seek_time(options.since)) > position:
            position, skip = later, max(0, skip - (later - position))
        # Here already, as going to a thread once more takes longer than reading a little.
        data = b"" if query.follow else source.read(position, min(SLICE, source.size - position))
    except BaseException:
        source.close()
        raise
    return source, position, LogFramer(options, skip=skip), data


async def _framed(framer: LogFramer, data: bytes) -> AsyncIterator[bytes]:
    """What the client is sent because of more of the log; in turns short enough for all."""
    for start in range(0, len(data), SLICE):
        if framer.done:
            return
        end = min(start + SLICE, len(data))
        pieces = [framer.feed(data[at : min(at + CACHED, end)]) for at in range(start, end, CACHED)]
        if chunk := b"".join(pieces):
            yield chunk
        if start + SLICE < len(data):
            await asyncio.sleep(0)


async def _present(
    source: LogSource, position: int, framer: LogFramer, data: bytes
) -> AsyncIterator[bytes]:
    """What there is, up to where the log ended when it was opened; ``data`` is read already."""
    end = source.size
    while position < end and not framer.done:
        if not data:
            data = await asyncio.to_thread(source.read, position, min(BLOCK, end - position))
        if not data:
            return
        position += len(data)
        async for chunk in _framed(framer, data):
            yield chunk
        data = b""


async def _followed(
    source: LogSource,
    position: int,
    framer: LogFramer,
    *,
    watch: FileWatch,
    ended: asyncio.Event,
    until: int | None,
) -> AsyncIterator[bytes]:
    """What there is and what is added, until the container has ended or time is up."""
    while not framer.done:
        # These two are looked at before reading, so that nothing written before them
        # can be missed after them.
        last = ended.is_set() or (until is not None and time.time_ns() > until)
        moved = source.moved()
        while not framer.done:
            if source.refresh() - position > SLICE or source.is_slow(position):
                data = await asyncio.to_thread(source.read, position, BLOCK)
            else:
                data = source.read(position, BLOCK)  # just written, so in memory
            if not data:
                break
            position += len(data)
            async for chunk in _framed(framer, data):
                yield chunk
        if moved:
            # What conmon has begun another file after is complete.
            await asyncio.to_thread(source.extend, position)
        elif source.size < position:
            source.restart()
            position = 0
        elif last:
            return
        else:
            await _wait(watch, ended, until)


async def _wait(watch: FileWatch, ended: asyncio.Event, until: int | None) -> None:
    """Until the file has changed, the container has ended, or time is up."""
    timeout = None if until is None else max(0.0, (until - time.time_ns()) / 1e9) + 0.001
    waiting = {asyncio.ensure_future(watch.changed()), asyncio.ensure_future(ended.wait())}
    try:
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
