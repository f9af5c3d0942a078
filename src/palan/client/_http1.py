"""HTTP/1.1 as a client speaks it; no I/O.

A request's head is made here; an answer is parsed by llhttp (``httptools``), one parser
each.  What follows the head of a hijacked connection is not HTTP and is handed out as it is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import httptools

from palan.client.errors import ProtocolError


__all__ = ["Answer", "request_head"]

_MAX_HEAD: Final = 256 * 1024
"""Bytes; Go's servers stop at 1 MB, and no engine comes near."""

_FEW: Final = 8
"""Pieces of one reading that are handed on as they are: joining would only copy them."""


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request.

    Raises:
        ValueError: something of it would break out of its line.
    """
    sound = target.isascii() and target.isprintable() and " " not in target
    if not sound or not (method.isascii() and method.isalpha()):
        raise ValueError(f"{method} {target!r} cannot be requested: quote it")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if _breaks_out(name) or _breaks_out(value):
            raise ValueError(f"the header {name!r} has control characters in it")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _breaks_out(text: str) -> bool:
    """Whether there are control characters in a text."""
    return not text.isprintable() and any(one < " " or one == "\x7f" for one in text)


def _ignore(_body: bytes) -> None:
    """There is no body after HEAD."""


class Answer:
    """The answer to one request, as its bytes come in.

    Attributes:
        status: 0 until the head is complete.
        reason: what stands beside the status.
        headers: by names in lower case; of several, the last.
        complete: nothing of it is to come any more.
        raw: the rest is not HTTP (an upgrade, or a hijacked connection).
    """

    def __init__(self, method: str, *, hijack: bool = False) -> None:
        """Expect an answer.

        Args:
            method: of the request; there is no body after HEAD.
            hijack: the request asks for the connection itself.
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
        # Called for each piece of the body, so not a function of ours.
        self.on_body: Callable[[bytes], None] = _ignore if self._no_body else self._body.append
        self._parser = httptools.HttpResponseParser(self)

    @property
    def has_head(self) -> bool:
        """Whether status and headers are known."""
        return self.status != 0

    @property
    def has_rest(self) -> bool:
        """Whether :meth:`take` would give something."""
        return bool(self._body)

    @property
    def reusable(self) -> bool:
        """Whether the connection can take another request, once this is complete."""
        return self.complete and self._keep_alive and not self.raw

    def feed(self, data: memoryview) -> None:
        """Take what came in; what is kept of it is copied.

        Raises:
            ProtocolError: it is not HTTP.
        """
        if self.raw:
            self._body.append(bytes(data))
            return
        if self.complete:
            # More than was announced: whatever it is, it must not become the next answer.
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
            raise ProtocolError("the engine turned to another protocol, unasked")
        if not self.has_head:
            self._size += len(data)
            if self._size > _MAX_HEAD:
                raise ProtocolError("the head of the answer does not end")

    def _after_error(self, error: Exception) -> None:
        if not self.complete:
            raise ProtocolError(f"this is no HTTP: {error}") from None
        # Only what follows the answer is nonsense.
        self._keep_alive = False

    def feed_eof(self) -> bool:
        """The connection ended.

        Returns:
            Whether the answer may end there.
        """
        if self.complete:
            return True
        if self.raw or (self._until_eof and self.has_head):
            self.complete = True
            return True
        return False

    def take(self) -> bytes:
        """Bytes of the body that came in, in order; none if there are no more so far."""
        body = self._body
        if len(body) <= _FEW:
            return body.popleft() if body else b""
        data = b"".join(body)
        body.clear()
        return data

    # ---- what llhttp calls --------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; one after the answer is none that was asked for."""
        if self.complete:
            raise ProtocolError("more came than the answer")

    def on_status(self, status: bytes) -> None:
        """A part of the reason."""
        self._reason.append(status)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, whole."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            # "Continue" and the like: the answer is still to come.
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
        """The body has ended, or there is none."""
        if self.status and self.status != 101:
            self.complete = True
