"""Downloads of URLs that a request names, over http and https only."""

import base64
import contextlib
import email.message
import http.client
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
import zlib
from typing import Final, Self

from palan.api.errors import (
    Forbidden,
    InternalError,
    InvalidParameter,
    NotFound,
    PalanError,
    Unauthorized,
)
from palan.host.archive.headers import ArchiveError, Truncated
from palan.host.archive.inflate import inflated


__all__ = ["Download", "open_url", "redacted"]

_PIECE: Final = 256 << 10
_TIMEOUT: Final = 60.0
_MAX_BODY: Final = 4096
"""Bytes of a server's error response that are shown to the client."""

_KINDS: Final[dict[int, type[PalanError]]] = {
    400: InvalidParameter,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
}


class Download:
    """The body of a response, read by one thread. Close it in the end.

    Attributes:
        url: the URL without a password, for messages.
        headers: the headers of the response.
    """

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self.url = url
        self.headers: email.message.Message = response.headers
        self._response = response
        self._aborted = False
        self._begun: list[bytes] = []
        self._source = self._receive
        # Nobody asked for it, but there are servers that have no other form.
        if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip"):
            self._source = inflated(self._receive, "gzip")

    def __call__(self) -> bytes:
        """Return the next bytes, ``b""`` at the end.

        Raises:
            OSError: the connection failed, or it ended before the announced length.
        """
        if self._begun:
            return self._begun.pop()
        try:
            return self._source()
        except Truncated:
            raise ConnectionError("unexpected EOF") from None
        except (ArchiveError, zlib.error) as error:
            raise ConnectionError(str(error)) from None

    def head(self, size: int) -> bytes:
        """Return the first ``size`` bytes, or all if there are fewer; they are read again."""
        data = b""
        while len(data) < size and (piece := self()):
            data += piece
        self._begun.append(data)
        return data[:size]

    def _receive(self) -> bytes:
        if self._aborted:
            raise ConnectionAbortedError("the client has gone")
        try:
            piece = self._response.read(_PIECE)
        except http.client.IncompleteRead:
            raise ConnectionError("unexpected EOF") from None
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(f"the download broke off: {error}") from None
        if self._aborted:
            raise ConnectionAbortedError("the client has gone")
        if not piece and self._response.length:
            raise ConnectionError("unexpected EOF")
        return piece

    def abort(self) -> None:
        """Make the present and the next read fail; called by another thread."""
        self._aborted = True
        with contextlib.suppress(OSError, ValueError):
            connection = socket.socket(fileno=os.dup(self._response.fileno()))
            with connection:
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def redacted(url: str) -> str:
    """Return a URL with its password replaced, as Go does in messages."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    if not (separator and at and colon):
        return url
    return f"{scheme}://{name}:xxxxx@{host}{slash}{path}"


def open_url(url: str) -> Download:
    """Open a URL.  Blocking.

    Raises:
        PalanError: the request failed; in dockerd's words, without the URL's password.
    """
    shown = redacted(url)
    try:
        return Download(_open(url), shown)
    except urllib.error.HTTPError as error:
        with error:
            text = _beginning(error)
        message = f"failed to GET {shown} with status {error.code} {error.reason}: {text}"
        raise _KINDS.get(error.code, InternalError)(message) from None
    except ValueError as error:
        raise InvalidParameter(f'Get "{shown}": {error}') from None
    except (OSError, http.client.HTTPException) as error:
        kind = NotFound if isinstance(_reason(error), socket.gaierror) else InternalError
        raise kind(f'Get "{shown}": {_words(url, error)}') from None


def _open(url: str) -> http.client.HTTPResponse:
    """Open a URL.

    Raises:
        HTTPError: the server answered with an error status.
        OSError: the server does not answer.
        HTTPException: the answer is malformed.
        ValueError: the URL is malformed, or it or a redirection is not http or https.
    """
    # Only these two handlers: a redirection must not lead to a local file.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    request = _request(url)
    response: http.client.HTTPResponse | None = opener.open(request, timeout=_TIMEOUT)
    if response is None:
        raise ValueError("redirected to something that is neither http nor https")
    return response


def _request(url: str) -> urllib.request.Request:
    """Return the request; a user in the URL is authenticated at its own server only."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl())  # noqa: S310 - see _open
    if at:
        token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _beginning(error: urllib.error.HTTPError) -> str:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return error.read(_MAX_BODY).decode("utf-8", "replace").strip()
    return "error reading body"


def _reason(error: Exception) -> Exception:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        return error.reason
    return error


def _words(url: str, error: Exception) -> str:
    """Describe why a request failed, in Go's words as far as they are known."""
    error = _reason(error)
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {parts.hostname}:{port}: connect: {error.strerror.lower()}"
    return str(error)
