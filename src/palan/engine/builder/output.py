"""The output of a build: a queue of lines that the client reads."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from palan.api.build import ImageID, JSONMessage
from palan.api.errors import Conflict


__all__ = ["Output"]

_AHEAD: Final = 256
"""Lines that may wait for a slow client before the build waits."""

_KEPT: Final = 4 << 20
"""Characters of a quiet build that are kept in case it fails."""


class Output:
    """The lines that a build sends to its client.

    Attributes:
        held: the lines of a quiet build, which are sent only if it fails.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Begin; a quiet build sends only what is given to :meth:`conclude`."""
        self._lines: asyncio.Queue[JSONMessage | None] = asyncio.Queue(_AHEAD)
        self._quiet = quiet
        self.held: list[JSONMessage] = []
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._size = 0

    async def send(self, message: JSONMessage) -> None:
        """Send a line of any kind; wait if the client does not read."""
        if not self._quiet:
            await self._lines.put(message)
        elif self._size < _KEPT:
            self.held.append(message)
            self._size += len(message.stream or "")

    async def say(self, text: str) -> None:
        """Send text for people."""
        await self.send(JSONMessage(stream=text))

    async def warn(self, text: str) -> None:
        """Send text of standard error, in red as dockerd does."""
        await self.say(f"\x1b[91m{text}\x1b[0m")

    async def built(self, image_id: str) -> None:
        """Send an image id, for programs."""
        await self.send(JSONMessage(aux=ImageID(id=image_id)))

    async def conclude(self, message: JSONMessage) -> None:
        """Send the last line, even of a quiet build."""
        await self._lines.put(message)

    async def during(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[JSONMessage, None]:
        """Run a coroutine, and yield the lines that are sent meanwhile.

        Closing the iterator cancels the work and waits for its end.

        Raises:
            Exception: the exception of the work, after all lines.
        """
        self._task = task = asyncio.ensure_future(self._finished(work))
        try:
            while (message := await self._lines.get()) is not None:
                yield message
            await task
        finally:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # retrieved, or asyncio would log it

    def cancel(self) -> None:
        """Cancel the build at the request of a client."""
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    async def _finished(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if not self._cancelled:
                raise  # the client has disconnected
            await self._lines.put(None)
            raise Conflict("build cancelled") from None
        except BaseException:
            for message in self.held:
                await self._lines.put(message)
            await self._lines.put(None)
            raise
        await self._lines.put(None)
