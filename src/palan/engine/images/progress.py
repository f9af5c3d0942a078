"""What pull and push tell while they work: lines about layers, from several threads.

Lines about how far a layer is are many, and only the last one counts: one that was not
sent yet is replaced by the next about the same layer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from palan.api.images import JSONMessage, ProgressDetail


__all__ = ["BlobProgress", "Progress", "short"]

_INTERVAL: Final = 0.1
"""Seconds between lines about how far one layer is."""

_COUNTED: Final = frozenset({"Downloading", "Pushing"})
_FINISHED: Final = frozenset({"Download complete", "Pull complete"})


def short(digest: str) -> str:
    """A digest as lines show it: twelve digits."""
    return digest.partition(":")[2][:12]


class Progress:
    """The lines of one operation; told by any thread, read by one task."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._waiting: dict[tuple[str, str] | int, JSONMessage] = {}
        self._count = 0
        self._last: dict[str, float] = {}

    def say(self, message: JSONMessage) -> None:
        """Send a line of any kind; from the event loop only."""
        self._count += 1
        self._waiting[self._count] = message
        self._ready.set()

    def tell(self, digest: str, status: str, current: int = 0, total: int = 0) -> None:
        """Say how a layer gets on; from any thread.

        Args:
            digest: of the layer's blob.
            status: dockerd's word for what is done.
            current: how far it is, in bytes; left out where there is nothing to count.
            total: how far it is in the end.
        """
        if status in _COUNTED and current < total:
            now = time.monotonic()
            if now - self._last.get(digest, 0.0) < _INTERVAL:
                return
            self._last[digest] = now
        self._loop.call_soon_threadsafe(self._put, digest, status, current, total)

    def _put(self, digest: str, status: str, current: int, total: int) -> None:
        detail = ProgressDetail(current=current, total=total)
        if status in _FINISHED:
            detail.hide_counts = True
        elif status == "Extracting":
            detail.units = "s"
        message = JSONMessage(status=status, progress_detail=detail, id=short(digest))
        if status in _COUNTED or status == "Extracting":
            self._waiting[digest, status] = message
            self._ready.set()
        else:
            # It must not overtake, nor be followed by, what was said before it.
            for counted in (*_COUNTED, "Extracting"):
                last = self._waiting.pop((digest, counted), None)
                if last is not None:
                    self.say(last)
            self.say(message)

    async def during(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[JSONMessage, None]:
        """Do something; the lines that are told meanwhile.

        Closing the iterator cancels the work and waits for its end.

        Raises:
            Exception: what the work raises, once all lines have been given.
        """
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._ready.set())
        try:
            while not (task.done() and not self._waiting):
                await self._ready.wait()
                self._ready.clear()
                waiting, self._waiting = self._waiting, {}
                for message in waiting.values():
                    yield message
            await task
        finally:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # seen, whoever closed the iterator


class BlobProgress:
    """Who wants to know about which blob: what one operation does, others may wait for."""

    def __init__(self) -> None:
        self._interested: dict[str, list[Progress]] = {}

    def follow(self, digest: str, progress: Progress) -> None:
        """From now on tell ``progress`` about a blob."""
        self._interested.setdefault(digest, []).append(progress)

    def leave(self, digest: str, progress: Progress) -> None:
        """No more."""
        interested = self._interested[digest]
        interested.remove(progress)
        if not interested:
            del self._interested[digest]

    def tell(self, digest: str, status: str, current: int = 0, total: int = 0) -> None:
        """Say how a blob gets on, to all who are interested; from any thread."""
        for progress in tuple(self._interested.get(digest, ())):
            progress.tell(digest, status, current, total)
