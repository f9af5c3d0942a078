"""The client's side of HTTP/1.1; no I/O.

Request heads are made here; each response is parsed by an llhttp parser (``httptools``) of its
own.  The bytes after the head of a hijacked connection are not HTTP and are passed on unchanged.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import httptools

from palan.client.errors import ProtocolError


__all__ = ["ResponseParser", "request_head"]

_MAX_HEAD: Final = 256 * 1024
"""The most bytes of a response's head; Go's servers allow 1 MB, and no engine comes near."""

_MAX_UNJOINED: Final = 8
"""Up to so many chunks of the body are returned one by one, more are joined."""


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of a request.

    Raises:
        ValueError: a part of it contains characters that would end its line.
    """
    sound = target.isascii() and target.isprintable() and " " not in target
    if not sound or not (method.isascii() and method.isalpha()):
        raise ValueError(f"{method} {target!r} cannot be requested: quote it")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if _has_control_characters(name) or _has_control_characters(value):
            raise ValueError(f"the header {name!r} has control characters in it")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters."""
    return not text.isprintable() and any(one < " " or one == "\x7f" for one in text)


def _ignore(_body: bytes) -> None:
    """Discard a part of the body: a response to HEAD has none."""


class ResponseParser:
    """The parser of the response to one request.

    Attributes:
        status: the HTTP status; 0 until the head is complete.
        reason: the reason phrase beside the status.
        headers: values by names in lower case; the last one where a header is repeated.
        complete: the whole response has arrived.
        raw: the rest of the connection is not HTTP (an upgrade, or a hijacked connection).
    """

    def __init__(self, method: str, *, hijack: bool = False) -> None:
        """Expect a response.

        Args:
            method: the request's method; a response to HEAD has no body.
            hijack: whether the request takes over the connection.
        """
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.complete = False
        self.raw = False
        self._no_body = method == "HEAD"
        self._hijack = hijack
        self._keep_alive = False
        self._until_eof = False
        self._reason: list[bytes] = []
        self._size = 0
        self._body: deque[bytes] = deque()
        # The parser calls it for each chunk of the body: a C function is the fastest.
        self.on_body: Callable[[bytes], None] = _ignore if self._no_body else self._body.append
        self._parser = httptools.HttpResponseParser(self)

    @property
    def has_head(self) -> bool:
        """Whether status and headers have arrived."""
        return self.status != 0

    @property
    def has_body(self) -> bool:
        """Whether :meth:`take_body` would return bytes."""
        return bool(self._body)

    @property
    def reusable(self) -> bool:
        """Whether the connection can be used for another request."""
        return self.complete and self._keep_alive and not self.raw

    def feed(self, data: memoryview) -> None:
        """Parse received bytes; the parts that are kept are copied.

        Raises:
            ProtocolError: the bytes are not HTTP.
        """
        if self.raw:
            self._body.append(bytes(data))
            return
        if self.complete:
            # Bytes after the end of the response must not be taken for the next one.
            self._keep_alive = False
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.raw, self.complete = True, False
            if rest := data[upgrade.args[0] :]:
                self._body.append(bytes(rest))
        except httptools.HttpParserError as error:
            self._after_error(error)
        if self.status == 101 and not self._hijack:
            raise ProtocolError("the engine switched protocols without being asked to")
        if not self.has_head:
            self._size += len(data)
            if self._size > _MAX_HEAD:
                raise ProtocolError("the head of the response does not end")

    def _after_error(self, error: Exception) -> None:
        if not self.complete:
            raise ProtocolError(f"this is no HTTP: {error}") from None
        # The response is complete; only the bytes after it are malformed.
        self._keep_alive = False

    def feed_eof(self) -> bool:
        """Note the end of the connection.

        Returns:
            Whether the response is complete, as it may end there.
        """
        if self.complete:
            return True
        if self.raw or (self._until_eof and self.has_head):
            self.complete = True
            return True
        return False

    def take_body(self) -> bytes:
        """Remove and return received bytes of the body; ``b""`` if no more have arrived."""
        body = self._body
        if len(body) <= _MAX_UNJOINED:
            return body.popleft() if body else b""
        data = b"".join(body)
        body.clear()
        return data

    # ---- callbacks of llhttp ------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second response, which no request asked for."""
        if self.complete:
            raise ProtocolError("bytes follow the response")

    def on_status(self, status: bytes) -> None:
        """Add a part of the reason phrase."""
        self._reason.append(status)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Set status, reason and the way in which the body ends."""
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            # "100 Continue" and the like: the final response follows.
            self.headers.clear()
            self._reason.clear()
            return
        self.status = status
        self.reason = b"".join(self._reason).decode("latin-1")
        self._keep_alive = self._parser.should_keep_alive()
        headers: Mapping[str, str] = self.headers
        sized = "content-length" in headers or "transfer-encoding" in headers
        bodyless = self._no_body or status in (204, 304) or status == 101
        self._until_eof = not sized and not bodyless
        if status == 101 or (self._hijack and self._until_eof and status == 200):
            self.raw = True
        if self._no_body:
            self.complete = True

    def on_message_complete(self) -> None:
        """Note the end of the body, or that the response has none."""
        if self.status and self.status != 101:
            self.complete = True
