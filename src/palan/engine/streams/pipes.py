"""Pipes of child processes, read on the event loop."""

import asyncio
import os
from typing import IO, Final


__all__ = ["PipeReader"]

_PIECE: Final = 1 << 20


class PipeReader:
    """The reading end of a pipe.

    It is read only when its user asks for more, so a slow reader slows down the writer.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._fd = pipe.fileno()
        os.set_blocking(self._fd, False)

    async def read(self) -> bytes:
        """Return the available bytes; empty at the end."""
        while True:
            try:
                return os.read(self._fd, _PIECE)
            except BlockingIOError:
                await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._fd, wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
