"""The session of a client that starts an exec and is attached to it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from palan.api.frames import STDOUT, frame
from palan.api.results import Session
from palan.engine.streams.attach import AttachSession, OutputSession


__all__ = ["StartingSession", "error_session"]


class StartingSession:
    """A session whose process is started once the head of the answer has been sent.

    docker-py loses all output that reaches it together with the head of the answer: it reads
    the head through a buffer that it then bypasses.  So the head is sent first, as dockerd
    does, and starting a process takes long enough for the output to come after it.

    Args:
        session: the client's, on a process that was not started yet.
        start: starts it; returns the session to show instead of its output if that fails.
    """

    def __init__(
        self, session: AttachSession, start: Callable[[], Awaitable[Session | None]]
    ) -> None:
        self.tty = session.tty
        self._session = session
        self._start: Callable[[], Awaitable[Session | None]] | None = start

    async def output(self) -> AsyncIterator[bytes]:
        """Start the process, then yield its output."""
        error = await self._begin()
        output = (error or self._session).output()
        async with contextlib.aclosing(output) as chunks:  # type: ignore[type-var] # a generator
            async for chunk in chunks:
                yield chunk

    async def write(self, data: bytes) -> None:
        """Pass input to the process."""
        await self._session.write(data)

    async def close_input(self) -> None:
        """Note that the client has no more input."""
        await self._session.close_input()

    async def close(self) -> None:
        """Detach; the process is started even if the client disconnected at once."""
        await self._begin()
        await self._session.close()

    async def _begin(self) -> Session | None:
        start, self._start = self._start, None
        return None if start is None else await start()


def error_session(text: str, *, tty: bool) -> Session:
    """Return a session that shows an error on stdout, as dockerd does."""
    data = f"{text}\r\n".encode("utf-8", "replace")

    async def once() -> AsyncIterator[bytes]:
        yield data if tty else frame(STDOUT, data)

    return OutputSession(once(), tty=tty)
