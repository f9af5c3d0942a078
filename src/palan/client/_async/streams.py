"""Responses that are streams: archives, messages, output, sessions.

All of them send their request when they are entered or first read, so that a call that returns
one needs no ``await``; all can be iterated, closed at any time, and used as context managers.
"""

import os
import re
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from palan.client._async.io import in_thread, now
from palan.client._async.response import AsyncResponse
from palan.client._frames import Output, OutputDecoder
from palan.client._lines import Lines
from palan.client.errors import (
    ClientClosed,
    ConnectionLost,
    OperationFailed,
    Timeout,
    TransportError,
)


if TYPE_CHECKING:
    from palan.api._progress import JSONMessage
    from palan.api.results import PathStat
    from palan.client._async.calling import AsyncCalling
    from palan.client._request import Prepared

__all__ = [
    "AsyncByteStream",
    "AsyncMessageStream",
    "AsyncOutputStream",
    "AsyncProgressStream",
    "AsyncSession",
]

M = TypeVar("M")

_LOADED: Final = re.compile(r"Loaded image(?: ID)?: (.+)")
"""The engine's message about each image of an archive."""

_WRITE_SIZE: Final = 1 << 20
"""Bytes that are gathered before they are written to a file."""


class AsyncLazyStream:
    """The base of streams: it sends its request when the response is first needed."""

    def __init__(
        self, calling: "AsyncCalling", prepared: "Prepared", timeout: float | None
    ) -> None:
        self._calling = calling
        self._prepared = prepared
        self._timeout = timeout
        self._deadline: float | None = None
        self._response: AsyncResponse | None = None
        self._closed = False

    def limit(self, deadline: float | None) -> None:
        """Set a deadline by the clock of ``io.now`` for all of the rest; None is no limit."""
        self._deadline = deadline
        if self._response is not None:
            self._response.limit(deadline)

    async def open(self) -> AsyncResponse:
        """Send the request, unless this was done already, and wait for the head of the response.

        Raises:
            APIError: the engine answered with an error.
        """
        if self._response is None:
            if self._closed:
                raise ClientClosed("the stream was closed")
            self._response = await self._calling.open(self._prepared, self._timeout)
            self._response.limit(self._deadline)
        return self._response

    async def close(self) -> None:
        """Stop reading; can be called at any time, from any thread or task, and repeatedly."""
        self._closed = True
        if self._response is not None:
            await self._response.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncByteStream(AsyncLazyStream):
    """A stream of bytes, such as an archive; iterating yields chunks as they arrive."""

    async def chunk(self) -> bytes:
        """Return the next chunk, as soon as one arrives; ``b""`` at the end."""
        response = self._response or await self.open()
        return await response.chunk()

    async def read(self) -> bytes:
        """Read all bytes into memory."""
        try:
            return await (await self.open()).read()
        finally:
            await self.close()

    async def path_stat(self) -> "PathStat":
        """Return the properties of the archive's path (``containers.archive_get`` only)."""
        return self._calling.path_stat(await self.open())

    async def save(self, target: str | os.PathLike[str] | IO[bytes]) -> int:
        """Write all bytes to a file, in constant memory.

        Args:
            target: an open file, or a path; the file at a path appears when it is complete.
                A new file has the mode 0600, as with the docker CLI; one that is replaced
                passes on its mode. Only regular files are replaced.

        Returns:
            The number of bytes.

        Raises:
            NotReplaceable: the path is that of a directory, a link, a device or the like.
        """
        if not isinstance(target, str | os.PathLike):
            return await self._copy(target)
        from pathlib import Path

        from palan.atomic_file import atomic_file, check_replaceable

        path = Path(target)
        check_replaceable(path)
        await self.open()
        with atomic_file(path) as file:
            return await self._copy(file)

    async def _copy(self, file: IO[bytes]) -> int:
        size = 0
        pending: list[bytes] = []
        waiting = 0
        async for data in self:
            pending.append(data)
            waiting += len(data)
            if waiting >= _WRITE_SIZE:
                await in_thread(file.writelines, pending)
                size += waiting
                pending, waiting = [], 0
        await in_thread(file.writelines, pending)
        return size + waiting

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.chunk()
        if not data:
            raise StopAsyncIteration
        return data


class AsyncMessageStream(AsyncLazyStream, Generic[M]):
    """A stream of messages: events, statistics, progress."""

    def __init__(
        self, calling: "AsyncCalling", prepared: "Prepared", timeout: float | None
    ) -> None:
        super().__init__(calling, prepared, timeout)
        self._lines = Lines()
        self._ready: list[bytes] = []

    async def next(self) -> M | None:
        """Return the next message, as soon as one arrives; None at the end.

        Raises:
            Timeout: no message arrived within the timeout.
        """
        response = self._response or await self.open()
        while not self._ready:
            data = await response.chunk()
            self._ready = self._lines.feed(data) if data else self._lines.end()
            self._ready.reverse()
            if not data and not self._ready:
                return None
        return self._decode(self._ready.pop())

    def _decode(self, line: bytes) -> M:
        message: M = self._calling.message(self._prepared, line)
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        message = await self.next()
        if message is None:
            raise StopAsyncIteration
        return message


class AsyncProgressStream(AsyncMessageStream["JSONMessage"]):
    """The progress of a pull, push, load, import or build.

    A message with an error raises :class:`palan.client.errors.OperationFailed`.
    """

    def _decode(self, line: bytes) -> "JSONMessage":
        message = super()._decode(line)
        if message.error or message.error_detail:
            detail = message.error_detail or None
            raise OperationFailed(
                (detail and detail.message) or message.error or "",
                code=detail.code if detail else 0,
                method=self._prepared.plan.endpoint.method,
                path=self._prepared.path,
            )
        return message

    async def wait(self, progress: "Callable[[JSONMessage], Any] | None" = None) -> list[Any]:
        """Wait for the end of the operation.

        Args:
            progress: a function that is called with each message.

        Returns:
            The machine-readable results (``aux``): digests of a push, ids of a build. For a load,
            the names of the images, or the ids of those without a name.

        Raises:
            OperationFailed: the operation failed.
        """
        loads = self._prepared.plan.operation == "images.load"
        results: list[Any] = []
        async for message in self:
            if progress is not None:
                progress(message)
            if message.aux:
                results.append(message.aux)
            elif loads and (found := _LOADED.match(message.stream or "")):
                results.append(found[1].strip())
        return results


class AsyncOutputStream(AsyncLazyStream):
    """The output of processes, separated by stream; iterating yields :class:`Output`."""

    def __init__(
        self,
        calling: "AsyncCalling",
        prepared: "Prepared",
        timeout: float | None,
        *,
        tty: bool | None = None,
        raw: bool = False,
    ) -> None:
        """Prepare the stream; nothing is sent yet.

        Args:
            calling: the sender of the request.
            prepared: the request.
            timeout: seconds to wait for each chunk; None is no limit.
            tty: whether the process has a TTY, for engines that do not tell; None asks them.
            raw: whether the output is never in frames.
        """
        super().__init__(calling, prepared, timeout)
        self.tty = True if raw else tty
        self._raw = raw
        self._decoder: OutputDecoder | None = None
        self._ready: list[Output] = []

    async def open(self) -> AsyncResponse:
        """Send the request, unless this was done already, and wait for the response's head."""
        if self._response is None and self.tty is None and not await self._calling.reports_tty():
            # Before 1.42, the response does not tell whether the output is in frames.
            self.tty = await self._calling.has_tty(self._prepared)
        response = await super().open()
        if self._decoder is None:
            kind = response.headers.get("content-type", "")
            if not self._raw and (self.tty is None or await self._calling.reports_tty()):
                self.tty = "multiplexed" not in kind
            self._decoder = OutputDecoder(tty=bool(self.tty))
        return response

    async def next(self) -> Output | None:
        """Return the next part of the output, as soon as one arrives; None at the end.

        Raises:
            Timeout: no output arrived within the timeout.
        """
        while not self._ready:
            if self._decoder is not None and self._decoder.failure is not None:
                await self.close()
                raise self._decoder.failure
            data = await self._next_bytes()
            decoder = self._decoder or OutputDecoder(tty=True)
            if not data:
                if not decoder.whole:
                    raise ConnectionLost("the output ended in the middle of a frame")
                return None
            self._ready = decoder.feed(data)
            self._ready.reverse()
        return self._ready.pop()

    async def _next_bytes(self) -> bytes:
        """Return the next undecoded bytes of the output; ``b""`` at the end."""
        response = self._response if self._decoder is not None else None
        return await (response or await self.open()).chunk()

    async def read(self) -> bytes:
        """Read the rest of both streams, in the order in which it arrives."""
        return b"".join([output.data async for output in self])

    async def read_split(self) -> tuple[bytes, bytes]:
        """Read the rest, and return it as stdout and stderr.

        Raises:
            TransportError: reading failed; the error has the output that came before.
        """
        parts: dict[str, list[bytes]] = {"stdout": [], "stderr": [], "stdin": []}
        try:
            async for output in self:
                parts[output.stream].append(output.data)
        except TransportError as error:
            error.stdout, error.stderr = b"".join(parts["stdout"]), b"".join(parts["stderr"])
            raise
        return b"".join(parts["stdout"]), b"".join(parts["stderr"])

    async def lines(self) -> AsyncIterator[str]:
        """Yield the rest line by line, without newlines; invalid UTF-8 is replaced.

        The lines of the two streams are separate; an unfinished line is held back.
        """
        rests: dict[str, bytes] = {}
        async for output in self:
            data = rests.get(output.stream, b"") + output.data
            *whole, rests[output.stream] = data.split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace").removesuffix("\r")
        for rest in rests.values():
            if rest:
                yield rest.decode("utf-8", "replace")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Output:
        output = await self.next()
        if output is None:
            raise StopAsyncIteration
        return output


class AsyncSession(AsyncOutputStream):
    """A connection to the streams of a process, similar to a socket.

    Iterating yields :class:`Output`; :meth:`recv` returns undecoded bytes, which are frames
    unless the process has a TTY. Use only one of the two.
    """

    async def send(self, data: bytes) -> None:
        """Write to the process's stdin; wait while the process does not read."""
        await self._write(data, gather=False)

    async def _write(self, data: bytes, *, gather: bool) -> None:
        await (await self.open()).send(data, gather=gather)

    async def sendall(self, data: bytes) -> None:
        """Write to the process's stdin; the same as :meth:`send`, named as with sockets."""
        await self.send(data)

    async def close_input(self) -> None:
        """Close the process's stdin; its output can still be read."""
        await (await self.open()).close_input()

    async def recv(self) -> bytes:
        """Return the next undecoded bytes; ``b""`` at the end."""
        return await (await self.open()).chunk()

    async def communicate(self, data: bytes = b"") -> tuple[bytes, bytes]:
        """Write data to stdin, close it, and read all output.

        Returns:
            The output on stdout and on stderr.

        Raises:
            TransportError: writing or reading failed; the error has the output that came before.
        """
        await self.open()
        if data:
            try:
                await self._write(data, gather=True)
            except ConnectionLost:
                # A process may end without reading all of its input; its output is still valid.
                pass
            except Timeout as error:
                error.stdout, error.stderr = await self._arrived()
                raise
        await self.close_input()
        return await self.read_split()

    async def _arrived(self) -> tuple[bytes, bytes]:
        """Return the output that has arrived already, as stdout and stderr."""
        self.limit(now())
        try:
            return await self.read_split()
        except TransportError as error:
            return error.stdout, error.stderr
