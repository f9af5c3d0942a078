"""HTTP for registries: requests, redirects and reuse of connections.

The transport uses threads and ``http.client`` rather than an asynchronous client: pull and push
do blocking work with the bytes (hash, inflate, write, pass to a child process), so each layer
has a thread anyway, and a thread that reads its own socket does not load the event loop, which
serves the API. Sockets, TLS and hashes release the interpreter lock while they work. The choice
adds no dependency and 9 ms to the first use. Threads cannot be cancelled, so
:class:`palan.registry.dial.Aborter` shuts their sockets down.

A :class:`Transport` is for one registry. Several threads may use it at once; each
:class:`Response` is for one thread at a time.
"""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from palan import __version__
from palan.registry.dial import Aborter, connect
from palan.registry.failures import ConnectionBroken, TransportError, reason_of
from palan.registry.proxies import Proxies, Proxy
from palan.registry.responses import CompleteResponse
from palan.registry.urls import Origin, origin_of, redacted, redirected, request_target


__all__ = ["Payload", "Response", "Transport"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 10
_IDLE_PER_ORIGIN: Final = 4
_DRAIN_MAX: Final = 16 * 1024
"""Bytes of an unread body to read and ignore, in order to keep the connection."""

_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_BREAKS: Final = (ConnectionError, http.client.IncompleteRead, ssl.SSLEOFError)
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie"})


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body that is too large to be held in memory.

    Attributes:
        size: length in bytes.
        pieces: begins to read the body; called again if the request has to be sent again.
    """

    size: int
    pieces: Callable[[], Iterable[bytes]]


class Response:
    """The response to a request. Use it as a context manager, or close it."""

    def __init__(
        self,
        raw: http.client.HTTPResponse,
        url: str,
        request: str,
        release: Callable[[bool], None],
    ) -> None:
        self._raw = raw
        self._request = request
        self._release = release
        self._released = False
        self.url = url
        """The URL of the response, after redirects."""

        self.status = raw.status
        self.headers = raw.headers

    @property
    def length(self) -> int | None:
        """Bytes of the body that are still to come; None if the server does not say."""
        return self._raw.length

    @property
    def status_text(self) -> str:
        """The status with its usual phrase: ``401 Unauthorized``."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    def read(self, size: int) -> bytes:
        """Return the next bytes of the body, at most ``size``; b"" at its end.

        Raises:
            TransportError: the body is incomplete.
        """
        try:
            data = self._raw.read(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failed(error, f"{self._request}: {reason_of(error, 'reading body')}") from None
        if not data and size and self._raw.length:
            raise ConnectionBroken(f"{self._request}: unexpected EOF")
        return data

    def body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            TransportError: it is incomplete, or has more than ``limit`` bytes.
        """
        parts, size = [], 0
        while data := self.read(64 * 1024):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise TransportError(f"{self._request}: the answer exceeds {limit} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Release the connection; it is kept for the next request if it is still usable."""
        if self._released:
            return
        self._released = True
        try:
            if self._raw.length is not None and self._raw.length <= _DRAIN_MAX:
                self.body(_DRAIN_MAX)
        except TransportError:
            self._release(False)
            return
        reusable = self._raw.isclosed() and not self._raw.will_close
        self._raw.close()
        self._release(reusable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Transport:
    """Sends requests to one registry and to the servers it redirects or refers to."""

    def __init__(
        self,
        *,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        insecure: Callable[[str], bool] = lambda _host: False,
        proxies: Proxies | None = None,
        timeout: float = 15.0,
        aborter: Aborter | None = None,
        user_agent: str = f"palan/{__version__}",
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            tls: makes the TLS context; called once, when it is needed.
            insecure: whether a ``host:port`` may be used without TLS; see
                :func:`palan.registry.urls.redirected`.
            proxies: the proxies to use.
            timeout: seconds for each blocking call: connecting, reading the next bytes.
            aborter: aborts all requests.
            user_agent: value of the ``User-Agent`` header.
        """
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._insecure = insecure
        self._proxies = proxies or Proxies()
        self._timeout = timeout
        self._aborter = aborter or Aborter()
        self._user_agent = user_agent
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._closed = False

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Payload | None = None,
    ) -> Response:
        """Send a request and follow redirects.

        A body is never sent to another server than the first.

        Raises:
            TransportError: no answer was received. A response with any status is no error.
        """
        sent = {"User-Agent": self._user_agent, **(headers or {})}
        for _ in range(_MAX_REDIRECTS + 1):
            # Go writes Get "https://...", which users of clients know.
            request = f'{method.capitalize()} "{redacted(url)}"'
            try:
                response = self._send(method, url, request, sent, body)
            except TransportError as error:
                raise type(error)(f"{request}: {error}") from None
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            try:
                url, same = redirected(url, location, self._insecure)
            except TransportError as error:
                raise TransportError(f"{request}: {error}") from None
            if not same:
                sent = {k: v for k, v in sent.items() if k.lower() not in _SECRET_HEADERS}
            if response.status not in (307, 308) and method != "HEAD":
                method, body = "GET", None
                sent = {k: v for k, v in sent.items() if not k.lower().startswith("content-")}
            if body is not None and not same:
                raise TransportError(f"{request}: refused to send the request to another server")
        raise TransportError(f"{request}: stopped after {_MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            self._closed = True
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _send(
        self,
        method: str,
        url: str,
        request: str,
        headers: Mapping[str, str],
        body: bytes | Payload | None,
    ) -> Response:
        origin = origin_of(url)
        try:
            proxy = self._proxies.for_server(*origin)
        except ValueError as error:
            raise TransportError(f"proxyconnect tcp: {error}") from None
        target, sent = request_target(url), dict(headers)
        if proxy and origin.scheme == "http":
            target = f"http://{origin.address}{target}"
            if proxy.authorization:
                sent["Proxy-Authorization"] = proxy.authorization
        while True:
            connection, kept = self._connection(origin, proxy)
            try:
                raw = _exchange(connection, method, target, sent, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                # Part of the body may have been processed already.
                repeatable = method in _REPEATABLE and not isinstance(body, Payload)
                stale = kept and isinstance(error, ConnectionError) and repeatable
                if stale and not self._aborter.aborted:
                    # The server had closed the idle connection.
                    continue
                reason = "request canceled" if self._aborter.aborted else reason_of(error)
                raise _failed(error, reason) from None
            return Response(raw, url, request, self._releaser(origin, connection))

    def _connection(
        self, origin: Origin, proxy: Proxy | None
    ) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it was used before."""
        with self._lock:
            if kept := self._idle.get(origin):
                return kept.pop(), True
        connection = http.client.HTTPConnection(origin.host, origin.port, timeout=self._timeout)
        connection.response_class = CompleteResponse
        # Prevent http.client from connecting by itself, without proxy and TLS.
        connection.auto_open = 0
        connection.sock = connect(
            origin,
            proxy=proxy,
            tls=self._context,
            timeout=self._timeout,
            aborter=self._aborter,
        )
        if origin.scheme == "https":
            # ``Host`` omits the default port of the scheme.
            connection.default_port = 443
        return connection, False

    def _releaser(
        self, origin: Origin, connection: http.client.HTTPConnection
    ) -> Callable[[bool], None]:
        def release(reusable: bool) -> None:
            with self._lock:
                kept = self._idle.setdefault(origin, [])
                if reusable and not self._closed and len(kept) < _IDLE_PER_ORIGIN:
                    kept.append(connection)
                    return
            connection.close()

        return release

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = self._make_tls()
            return self._tls


def _failed(error: Exception, words: str) -> TransportError:
    """Return the exception for an error on an established connection."""
    kind = ConnectionBroken if isinstance(error, _BREAKS) else TransportError
    return kind(words)


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Payload | None,
) -> http.client.HTTPResponse:
    if not isinstance(body, Payload):
        connection.request(method, target, body=body, headers=dict(headers))
        return connection.getresponse()
    sent = {**headers, "Content-Length": str(body.size)}
    try:
        connection.request(method, target, body=body.pieces(), headers=sent)
    except (BrokenPipeError, ConnectionResetError) as error:
        # A server that rejects the body answers before it closes the connection.
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise error from None
    return connection.getresponse()
