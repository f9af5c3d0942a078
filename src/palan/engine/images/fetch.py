"""Downloads of what a request names by a URL: over http and https, and nothing else."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Final


__all__ = ["Download", "fetch", "why_not"]

_PIECE: Final = 256 << 10
_TIMEOUT: Final = 60.0


class Download:
    """The body of a response; its time-out is all that ends a read in progress."""

    def __init__(self, response: IO[bytes]) -> None:
        self._response = response
        self._aborted = False

    def __call__(self) -> bytes:
        """The next bytes, ``b""`` at the end.

        Raises:
            OSError: they do not come.
        """
        if self._aborted:
            raise ConnectionAbortedError("the client has gone")
        try:
            return self._response.read(_PIECE)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the download broke off: {error}") from None

    def abort(self) -> None:
        """Read no more."""
        self._aborted = True


def fetch(url: str) -> http.client.HTTPResponse:
    """Ask for what is at a URL.  Blocking.

    Raises:
        HTTPError: the server refuses.
        OSError: there is no answer.
        HTTPException: there is none that makes sense.
        ValueError: it is no URL, or leads to something else than http and https.
    """
    # Only these two handlers: a redirection must not lead to a file of this machine.
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


def why_not(url: str, error: Exception) -> str:
    """Why :func:`fetch` has failed, in Go's words where it has some."""
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
