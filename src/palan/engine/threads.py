"""Blocking work in threads, and the streams between those threads and the event loop."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Final, Protocol, Self, TypeVar


__all__ = ["BodyReader", "Incoming", "in_own_thread", "in_thread", "iterate"]

T = TypeVar("T")

_AHEAD: Final = 4 << 20
"""Bytes of a request body held between the client and the thread that reads it."""


class Incoming(Protocol):
    """A blocking source of bytes, read by one thread."""

    def __call__(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""

    def abort(self) -> None:
        """Make a thread that waits for more bytes fail soon."""


async def in_thread(work: Callable[[], T], abort: Callable[[], object] | None = None) -> T:
    """Run ``work`` in a thread; when cancelled, wait until it has ended before raising.

    Temporary files and directories that ``work`` uses can therefore be removed afterwards.

    Args:
        work: the blocking function.
        abort: makes ``work`` end soon; called when this is cancelled.  Work that waits for
            a client or a server needs this, and gets a thread of its own: the threads of
            the shared pool are few, and must not be held up by slow peers.
    """
    if abort is None:
        future = asyncio.get_running_loop().run_in_executor(None, work)
    else:
        future = in_own_thread(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if abort is not None:
            abort()
        with contextlib.suppress(Exception):
            await future
        raise


def in_own_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run ``work``, which may wait long for a peer, in a thread made for it."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting task
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="own", daemon=True).start()
    return asyncio.wrap_future(future)


async def iterate(pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """Yield the pieces of a blocking generator, which runs in a thread and is closed at the end."""
    try:
        while piece := await in_thread(lambda: next(pieces, b"")):
            yield piece
    finally:
        await in_thread(pieces.close)


class BodyReader:
    """A request body that arrives on the event loop, as a blocking source for one thread.

    Use it as an asynchronous context manager around the thread's work: leaving it
    stops reading the body, and a thread that still reads gets an error.
    """

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._pump())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def abort(self) -> None:
        """Make a thread that waits for more bytes fail."""
        with self._changed:
            self._ended = True
            self._error = self._error or ConnectionAbortedError("the client has gone")
            self._pieces.clear()
            self._changed.notify()

    async def _pump(self) -> None:
        error: BaseException | None = None
        try:
            async for piece in self._body:
                with self._changed:
                    self._pieces.append(piece)
                    self._held += len(piece)
                    full = self._held >= _AHEAD
                    self._changed.notify()
                if full:
                    self._room.clear()
                    if self._held >= _AHEAD:
                        await self._room.wait()
        except asyncio.CancelledError:
            error = ConnectionAbortedError("the client has gone")
            raise
        except Exception as problem:  # noqa: BLE001 - handed over to the thread that reads
            error = problem
        finally:
            with self._changed:
                self._ended = True
                self._error = self._error or error
                self._changed.notify()

    def __call__(self) -> bytes:
        """Return the next bytes, ``b""`` at the end; called by the thread."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if not self._pieces:
                if self._error is not None:
                    raise self._error
                return b""
            # Many small pieces are joined: each would cost an iteration of the consumer.
            piece = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            waiting = self._held >= _AHEAD
            self._held = 0
        if waiting:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self():
            yield piece
