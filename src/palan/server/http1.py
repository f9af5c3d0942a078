"""HTTP/1.1 without I/O: parsing requests and formatting heads of answers.

llhttp parses heads, and gets each of them whole and not a byte more; bodies are framed
here. So the reader knows exactly where a message ends: the bytes after it belong to a
hijacked stream, or to the next request, which stays unread until this one is answered.

An ambiguous message (two lengths, a length and chunks, bare line feeds) is refused and the
connection closed, so that no request can be smuggled past a proxy.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Final

import httptools


__all__ = [
    "MAX_HEAD",
    "ProtocolError",
    "RequestHead",
    "RequestReader",
    "chunk",
    "error_response",
    "http_date",
    "response_head",
]

MAX_HEAD: Final = 64 * 1024
"""Bytes of request line and headers together."""

_MAX_CHUNK_LINE: Final = 4096
_MAX_TRAILERS: Final = 16 * 1024
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?= )")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n")


class ProtocolError(Exception):
    """The client did not send valid HTTP; the connection has to be closed.

    Attributes:
        status: the status to answer.
        detail: the problem, if the status does not describe it.
    """

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail or HTTPStatus(status).phrase)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class RequestHead:
    """The request line and the headers of one request."""

    method: str
    target: str
    """The target as it was sent, in printable ASCII: path with query, absolute URL, or ``*``."""

    http11: bool
    headers: dict[str, str]
    """Headers by lower-case names; the first of several values, as in Go."""

    keep_alive: bool
    """Whether the client wants to send another request over this connection."""

    content_length: int | None
    """The length of the body in bytes; None if it is chunked."""

    expects_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether there is a body to read, which may be empty."""
        return self.content_length != 0


class RequestReader:
    """Parser of the requests of a connection.

    Feed it with :meth:`receive`; then call :meth:`next_head`, :meth:`next_data` until the
    body has ended, and so on. The boundaries between received pieces do not matter.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        """The length of the buffer that was already searched for the end of a head."""

        self._remaining = 0
        """Remaining bytes of the body, or of the chunk."""

        self._chunked = False
        self._trailers = 0
        """Bytes of trailers seen after the last chunk; 0 before it."""

        self._failed: ProtocolError | None = None
        self.body_complete = True

    @property
    def buffered(self) -> int:
        """The number of received bytes that are not read yet."""
        return len(self._buffer)

    @property
    def body_remaining(self) -> int | None:
        """The number of bytes of the body that are not read yet; None if unknown."""
        return None if self._chunked and not self.body_complete else self._remaining

    def receive(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    def detach(self) -> bytes:
        """Return all unread bytes: the beginning of a hijacked stream."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next_head(self) -> RequestHead | None:
        """Return the head of the next request; None if it is not complete yet.

        Raises:
            ProtocolError: the received bytes cannot be the beginning of a request.
        """
        buffer = self._buffer
        if self._searched == 0 and buffer.startswith((b"\r", b"\n")):
            # Old clients send an extra line break after a body; RFC 9112 says to skip it.
            blank = len(buffer) - len(buffer.lstrip(b"\r\n"))
            del buffer[:blank]
        end = _HEAD_END.search(buffer, max(0, self._searched - 2))
        if end is None:
            self._searched = len(buffer)
            if len(buffer) > MAX_HEAD:
                raise ProtocolError(431)
            return None
        if end.end() > MAX_HEAD:
            raise ProtocolError(431)
        raw = bytes(buffer[: end.end()])
        del buffer[: end.end()]
        self._searched = 0
        head = _parse_head(raw)
        self._chunked = head.content_length is None
        self._remaining = head.content_length or 0
        self._trailers = 0
        self.body_complete = not head.has_body
        return head

    def next_data(self) -> bytes:
        """Return the next bytes of the body; empty if none were received yet, or at its end.

        :attr:`body_complete` distinguishes the two.

        Raises:
            ProtocolError: the chunks are malformed.
        """
        if self.body_complete:
            return b""
        if not self._chunked:
            data = self._take(self._remaining)
            self.body_complete = not self._remaining
            return data
        if self._failed is not None:
            raise self._failed
        parts = []
        while True:
            if self._remaining > 2:
                parts.append(self._take_chunk())
                if self._remaining > 2:
                    break
            try:
                if not self._next_chunk():
                    break
            except ProtocolError as error:
                # Valid bytes before the error are returned first, however the input was split.
                self._failed = error
                if not parts:
                    raise
                break
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._remaining -= len(data)
        return data

    # While a chunk is read, _remaining includes its closing CRLF: 2 means that only the
    # CRLF is missing, 0 that a line with a size comes next.

    def _take_chunk(self) -> bytes:
        data = bytes(self._buffer[: self._remaining - 2])
        del self._buffer[: len(data)]
        self._remaining -= len(data)
        return data

    def _next_chunk(self) -> bool:
        """Begin the next chunk; return False if its size is not received yet, or at the end."""
        buffer = self._buffer
        if self._remaining == 2:
            if len(buffer) < 2:
                return False
            if buffer[:2] != b"\r\n":
                raise ProtocolError(400, "malformed chunked encoding")
            del buffer[:2]
            self._remaining = 0
        if self._trailers:
            return self._end_chunks()
        line_end = buffer.find(b"\n", 0, _MAX_CHUNK_LINE)
        if line_end < 0:
            if len(buffer) >= _MAX_CHUNK_LINE:
                raise ProtocolError(400, "header line too long")
            return False
        line = _CHUNK_SIZE.fullmatch(buffer, 0, line_end + 1)
        if line is None:
            raise ProtocolError(400, "malformed chunked encoding")
        size = int(line[1], 16)
        del buffer[: line_end + 1]
        if size:
            self._remaining = size + 2
            return True
        self._trailers = 1
        return self._end_chunks()

    def _end_chunks(self) -> bool:
        """Skip the trailers, which have no meaning here."""
        buffer = self._buffer
        while True:
            line_end = buffer.find(b"\n", 0, _MAX_TRAILERS)
            if line_end < 0:
                if len(buffer) >= _MAX_TRAILERS:
                    raise ProtocolError(400, "trailers too long")
                return False
            line = bytes(buffer[: line_end + 1])
            del buffer[: line_end + 1]
            self._trailers += len(line)
            if line == b"\r\n":
                self.body_complete = True
                return False
            if self._trailers > _MAX_TRAILERS or not _TRAILER.fullmatch(line):
                raise ProtocolError(400, "malformed trailers")


class _HeadEvents:
    """The callbacks of llhttp."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _parse_head(raw: bytes) -> RequestHead:
    method, events, parser = _feed(raw)
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        if version == "0.9":
            raise ProtocolError(400)
        raise ProtocolError(505, "unsupported protocol version")
    headers: dict[str, str] = {}
    counts: dict[str, int] = {}
    connection = ""
    for name, value in events.fields:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        counts[key] = counts.get(key, 0) + 1
        headers.setdefault(key, text)
        if key == "connection":
            connection += f",{text.lower()}"
    http11 = version == "1.1"
    host = counts.get("host", 0)
    if host > 1:
        raise ProtocolError(400, "too many Host headers")
    if http11 and not host:
        raise ProtocolError(400, "missing required Host header")
    options = {option.strip() for option in connection.split(",")}
    expect = headers.get("expect", "").lower()
    if expect not in ("", "100-continue"):
        raise ProtocolError(417)
    return RequestHead(
        method=method,
        target=events.target.decode("ascii", "replace"),
        http11=http11,
        headers=headers,
        keep_alive="close" not in options and (http11 or "keep-alive" in options),
        content_length=_body_length(headers, counts, http11=http11),
        expects_continue=http11 and expect == "100-continue",
    )


def _feed(raw: bytes) -> tuple[str, _HeadEvents, httptools.HttpRequestParser]:
    method = _METHOD.match(raw)
    events = _HeadEvents()
    parser = httptools.HttpRequestParser(events)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # llhttp stops here
    except httptools.HttpParserInvalidMethodError:
        # Go accepts any token as a method and answers 404; llhttp knows a fixed list.
        if method is None or method[0] == b"GET":
            raise ProtocolError(400) from None
        return method[0].decode(), *_feed(b"GET" + raw[method.end() :])[1:]
    except httptools.HttpParserError as error:
        if "Transfer-Encoding" in str(error) and events.complete:
            raise ProtocolError(501, "unsupported transfer encoding") from None
        raise ProtocolError(400) from None
    if not events.complete:
        raise ProtocolError(400)
    return parser.get_method().decode(), events, parser


def _body_length(
    headers: Mapping[str, str], counts: Mapping[str, int], *, http11: bool
) -> int | None:
    encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if encoding is not None:
        if length is not None or counts["transfer-encoding"] > 1 or not http11:
            raise ProtocolError(400)
        if encoding.lower() != "chunked":
            raise ProtocolError(501, "unsupported transfer encoding")
        return None
    if length is None:
        return 0
    if counts["content-length"] > 1 or not re.fullmatch(r"[0-9]{1,18}", length):
        raise ProtocolError(400)
    return int(length)


# ---- answers ------------------------------------------------------------------

_date: tuple[int, str] = (0, "")


def http_date() -> str:
    """Return the current time in the format of the header ``Date``."""
    global _date  # noqa: PLW0603 - made once a second, not once an answer
    now = int(time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True))
    return _date[1]


def response_head(
    status: int, headers: Iterable[tuple[str, str]], *, reason: str | None = None
) -> bytes:
    """Format the status line and headers of an answer, including the empty line.

    Args:
        status: the status.
        headers: names and values, in order.
        reason: the reason phrase; HTTP's by default.
    """
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if reason is None else reason}\r\n"]
    for name, value in headers:
        # A line break in a value would begin another header.
        if "\r" in value or "\n" in value:
            value = value.replace("\r", " ").replace("\n", " ")  # noqa: PLW2901 - only made safe
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Format one chunk of a body; an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_response(error: ProtocolError) -> bytes:
    """Format the answer to a malformed request, as Go's server does."""
    status = HTTPStatus(error.status)
    reason = f"{status.phrase}: {error.detail}" if error.detail else status.phrase
    head = response_head(
        error.status,
        (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")),
        reason=reason,
    )
    return head + f"{error.status} {reason}".encode()
