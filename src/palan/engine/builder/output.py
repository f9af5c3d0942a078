"""The lines of a build on their way to the client."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from palan.api.build import ImageID, JSONMessage
from palan.api.errors import Conflict


__all__ = ["Output"]

_AHEAD: Final = 256
"""Lines that may wait for a slow client before the build waits as well."""

_KEPT: Final = 4 << 20
"""Characters of a quiet build that are kept in case that it fails."""


class Output:
    """Says what a build does.

    Attributes:
        held: the lines of a quiet build, which are told only if it fails.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Begin; a quiet build says only what it is told to :meth:`conclude` with."""
        self._lines: asyncio.Queue[JSONMessage | None] = asyncio.Queue(_AHEAD)
        self._quiet = quiet
        self.held: list[JSONMessage] = []
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._size = 0

    async def send(self, message: JSONMessage) -> None:
        """Send a line of any kind; waits when the client does not read."""
        if not self._quiet:
            await self._lines.put(message)
        elif self._size < _KEPT:
            self.held.append(message)
            self._size += len(message.stream or "")

    async def say(self, text: str) -> None:
        """Send output for people."""
        await self.send(JSONMessage(stream=text))

    async def warn(self, text: str) -> None:
        """Send what goes to standard error, which clients see in red, as dockerd has it."""
        await self.say(f"\x1b[91m{text}\x1b[0m")

    async def built(self, image_id: str) -> None:
        """Tell programs what was built."""
        await self.send(JSONMessage(aux=ImageID(id=image_id)))

    async def conclude(self, message: JSONMessage) -> None:
        """Send a last line, of a quiet build as well."""
        await self._lines.put(message)

    async def during(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[JSONMessage, None]:
        """Do something; the lines that are said meanwhile.

        Closing the iterator cancels the work and waits for its end.

        Raises:
            Exception: what the work raises, once all lines have been given.
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
                task.exception()  # seen, whoever closed the iterator

    def cancel(self) -> None:
        """End what is done, as somebody asked for it."""
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    async def _finished(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if not self._cancelled:
                raise  # nobody reads any more
            await self._lines.put(None)
            raise Conflict("build cancelled") from None
        except BaseException:
            for message in self.held:
                await self._lines.put(message)
            await self._lines.put(None)
            raise
        await self._lines.put(None)
