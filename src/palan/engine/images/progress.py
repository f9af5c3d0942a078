"""The progress lines of pull and push, which several threads report.

There are many lines about the bytes of a layer, and only the last one counts: a line that
was not sent yet is replaced by the next one about the same layer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from palan.api.images import JSONMessage, ProgressDetail


__all__ = ["BlobProgress", "Progress", "short"]

_INTERVAL: Final = 0.1
"""Seconds between lines about the bytes of one layer."""

_COUNTED: Final = frozenset({"Compressing", "Downloading", "Pushing"})
_FINISHED: Final = frozenset({"Download complete", "Pull complete"})


def short(digest: str) -> str:
    """Return the first twelve digits of a digest, as lines show it."""
    return digest.partition(":")[2][:12]


class Progress:
    """The lines of one operation; reported by any thread, read by one task."""

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

    def report(self, digest: str, status: str, current: int = 0, total: int = 0) -> None:
        """Report the progress of a layer; from any thread.

        Args:
            digest: the digest of the layer's blob.
            status: dockerd's word for the present step.
            current: the bytes done; 0 for a step without bytes.
            total: the bytes in total.
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
            # Send the last line about bytes first, so that none follows this one.
            for counted in (*_COUNTED, "Extracting"):
                last = self._waiting.pop((digest, counted), None)
                if last is not None:
                    self.say(last)
            self.say(message)

    async def during(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[JSONMessage, None]:
        """Run a coroutine, and yield the lines that are reported meanwhile.

        Closing the iterator cancels the work and waits for its end.

        Raises:
            Exception: the exception of the work, after all lines.
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
                task.exception()  # retrieved, or asyncio would log it


class BlobProgress:
    """The operations that report on each blob, which one of them downloads for all."""

    def __init__(self) -> None:
        self._followers: dict[str, list[Progress]] = {}

    def follow(self, digest: str, progress: Progress) -> None:
        """Report on a blob to ``progress`` from now on."""
        self._followers.setdefault(digest, []).append(progress)

    def unfollow(self, digest: str, progress: Progress) -> None:
        """Undo :meth:`follow`."""
        followers = self._followers[digest]
        followers.remove(progress)
        if not followers:
            del self._followers[digest]

    def report(self, digest: str, status: str, current: int = 0, total: int = 0) -> None:
        """Report the progress of a blob to all followers; from any thread."""
        for progress in tuple(self._followers.get(digest, ())):
            progress.report(digest, status, current, total)
