# Made of _async/response.py by scripts/client_sync.py: change that, and run this.
"""The raw door's answers: what HTTP said, with nothing done to it."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from palan.client._sync.transport import Exchange
from palan.client.errors import ClientError, ProtocolError


__all__ = ["Response"]

_MAX_ERROR: Final = 1 << 20
"""Bytes of an answer that says no which are read."""

_MAX_BODY: Final = 1 << 30
"""Bytes that are read at once; more has to be read piece by piece."""


class Response:
    """An answer whose head is there and whose body can be read.

    Use it as a context manager, or read it to its end, or close it. Where the request asked
    for the connection (``hijack``), :meth:`send` and :meth:`close_input` write to it, and
    reading gives what comes from it.
    """

    def __init__(self, exchange: Exchange, method: str, path: str) -> None:
        self._exchange = exchange
        self._method = method
        self._path = path
        self._complaint = b""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._exchange.answer.status

    @property
    def reason(self) -> str:
        """The words beside the status."""
        return self._exchange.answer.reason

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by names in lower case."""
        return self._exchange.answer.headers

    @property
    def hijacked(self) -> bool:
        """Whether the connection is now a stream both ways."""
        return self._exchange.answer.raw

    def limit(self, deadline: float | None) -> None:
        """Have all the rest by a moment of the clock of ``io``; None is no limit."""
        self._exchange.deadline = deadline

    def chunk(self) -> bytes:
        """The next piece of the body, as soon as there is one; ``b""`` at the end."""
        try:
            return self._exchange.chunk()
        except ClientError as error:
            # Not with `_named`, as there are many pieces.
            error.method, error.path = error.method or self._method, error.path or self._path
            raise

    def read(self) -> bytes:
        """All that is left of the body."""
        with self._named():
            data = self._exchange.read(_MAX_BODY)
        if len(data) > _MAX_BODY:
            raise ProtocolError("the answer is too long", method=self._method, path=self._path)
        if self.status >= 400:
            # For who looks at the answer first, and then raises what it means.
            self._complaint = data or self._complaint
        return data

    def read_some(self, limit: int) -> bytes:
        """All that is left of the body, or what there is of it up to a limit in bytes or more."""
        with self._named():
            return self._exchange.read(limit)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ProtocolError: it is none.
        """
        import msgspec

        data = self.read()
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(
                f"the engine answered what is no JSON: {error}",
                method=self._method,
                path=self._path,
            ) from None

    def raise_for_status(self) -> None:
        """Raise what the status means, if it is 400 or above.

        Raises:
            APIError: of the class of that status.
        """
        if self.status >= 400:
            from palan.client._results import error_of

            data = self._complaint or self.read_some(_MAX_ERROR)
            raise error_of(self.status, data, self._method, self._path, self.reason)

    def send(self, data: bytes, *, gather: bool = False) -> None:
        """Write to a connection that is a stream now; waits while the other side is behind.

        Args:
            data: what to write.
            gather: take in meanwhile what comes, for later reads; off if another thread reads.
        """
        with self._named():
            exchange = self._exchange
            exchange.stream.write(data, exchange.left(), gather=gather)

    def close_input(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        with self._named():
            self._exchange.stream.write_eof()

    def close(self) -> None:
        """Have no more of it. Can be called at any time, also from elsewhere, and again."""
        self._exchange.close()

    def _named(self) -> "_Named":
        return _Named(self._method, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        data = self.chunk()
        if not data:
            raise StopIteration
        return data


class _Named:
    """Tells errors within which request they happened to."""

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
