"""Downloads of URLs that a request names, over http and https only."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Final


__all__ = ["Download", "failure_reason", "fetch"]

_PIECE: Final = 256 << 10
_TIMEOUT: Final = 60.0


class Download:
    """The body of a response; a read in progress ends only by its time-out."""

    def __init__(self, response: IO[bytes]) -> None:
        self._response = response
        self._aborted = False

    def __call__(self) -> bytes:
        """Return the next bytes, ``b""`` at the end.

        Raises:
            OSError: the connection failed.
        """
        if self._aborted:
            raise ConnectionAbortedError("the client has gone")
        try:
            return self._response.read(_PIECE)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the download broke off: {error}") from None

    def abort(self) -> None:
        """Make the next read fail."""
        self._aborted = True


def fetch(url: str) -> http.client.HTTPResponse:
    """Open a URL.  Blocking.

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
    response: http.client.HTTPResponse | None = opener.open(url, timeout=_TIMEOUT)
    if response is None:
        raise ValueError("redirected to something that is neither http nor https")
    return response


def failure_reason(url: str, error: Exception) -> str:
    """Describe why :func:`fetch` failed, in Go's words as far as they are known."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"unexpected status {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {parts.hostname}:{port}: connect: {error.strerror.lower()}"
    return str(error)
