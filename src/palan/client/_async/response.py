"""Raw responses: status, headers and the unchanged body."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from palan.client._async.transport import AsyncExchange
from palan.client.errors import ClientError, ProtocolError


__all__ = ["AsyncResponse"]

_MAX_ERROR: Final = 1 << 20
"""The most bytes of an error response that are read."""

_MAX_BODY: Final = 1 << 30
"""The most bytes that :meth:`AsyncResponse.read` reads; longer bodies must be read in chunks."""


class AsyncResponse:
    """A response with its status and headers; its body can be read.

    Use it as a context manager, or read it to its end, or close it. If the request took over
    the connection (``hijack``), :meth:`send` and :meth:`close_input` write to it, and reading
    returns the bytes that arrive on it.
    """

    def __init__(self, exchange: AsyncExchange, method: str, path: str) -> None:
        self._exchange = exchange
        self._method = method
        self._path = path
        self._error_body = b""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._exchange.answer.status

    @property
    def reason(self) -> str:
        """The reason phrase beside the status."""
        return self._exchange.answer.reason

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by their names in lower case."""
        return self._exchange.answer.headers

    @property
    def hijacked(self) -> bool:
        """Whether the connection is now a two-way stream."""
        return self._exchange.answer.raw

    def limit(self, deadline: float | None) -> None:
        """Set a deadline by the clock of ``io.now`` for all of the rest; None is no limit."""
        self._exchange.deadline = deadline

    async def chunk(self) -> bytes:
        """Return the next chunk of the body, as soon as one arrives; ``b""`` at the end."""
        try:
            return await self._exchange.chunk()
        except ClientError as error:
            # Without `_error_context`, as there are many chunks.
            error.method, error.path = error.method or self._method, error.path or self._path
            raise

    async def read(self) -> bytes:
        """Read the rest of the body."""
        with self._error_context():
            data = await self._exchange.read(_MAX_BODY)
        if len(data) > _MAX_BODY:
            raise ProtocolError("the response is too long", method=self._method, path=self._path)
        if self.status >= 400:
            # Kept for a call of raise_for_status after the body was read.
            self._error_body = data or self._error_body
        return data

    async def read_some(self, limit: int) -> bytes:
        """Read the rest of the body, or stop once there are more bytes than a limit."""
        with self._error_context():
            return await self._exchange.read(limit)

    async def json(self) -> Any:
        """Read the body and decode it from JSON.

        Raises:
            ProtocolError: the body is not JSON.
        """
        import msgspec

        data = await self.read()
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(
                f"the engine's response is not JSON: {error}",
                method=self._method,
                path=self._path,
            ) from None

    async def raise_for_status(self) -> None:
        """Raise an exception if the status is 400 or above.

        Raises:
            APIError: the exception of the class for that status.
        """
        if self.status >= 400:
            from palan.client._results import error_of

            data = self._error_body or await self.read_some(_MAX_ERROR)
            raise error_of(self.status, data, self._method, self._path, self.reason)

    async def send(self, data: bytes, *, gather: bool = False) -> None:
        """Write to a hijacked connection; wait while the other side does not read.

        Args:
            data: the bytes to write.
            gather: buffer bytes that arrive meanwhile; must be false if another thread reads.
        """
        with self._error_context():
            exchange = self._exchange
            await exchange.stream.write(data, exchange.left(), gather=gather)

    async def close_input(self) -> None:
        """End the sending direction; reading remains possible."""
        with self._error_context():
            await self._exchange.stream.write_eof()

    async def close(self) -> None:
        """Stop reading; can be called at any time, from any thread or task, and repeatedly."""
        await self._exchange.close()

    def _error_context(self) -> "_ErrorContext":
        return _ErrorContext(self._method, self._path)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.chunk()
        if not data:
            raise StopAsyncIteration
        return data


class _ErrorContext:
    """Adds the request's method and path to errors."""

    __slots__ = ("_method", "_path")

    def __init__(self, method: str, path: str) -> None:
        self._method = method
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, ClientError) and not error.method:
            error.method, error.path = self._method, self._path
