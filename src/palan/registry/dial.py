"""Connections to servers: name resolution, proxies, TLS, and cancellation.

A thread that waits for a socket cannot be cancelled, but another thread can shut the socket
down. :class:`Aborter` does that with all sockets of an operation.
"""

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse

from palan.registry.failures import PlainHTTP, TransportError
from palan.registry.proxies import Proxy
from palan.registry.tls import TLSFilesError, is_plain_http, tls_failure
from palan.registry.urls import Origin


__all__ = ["Aborter", "connect", "resolve"]

_CONNECTING = 30.0
"""Maximum seconds for connecting; waiting for an answer may take longer."""


class Aborter:
    """The sockets of one operation, which any thread can abort."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._aborted = threading.Event()

    @property
    def aborted(self) -> bool:
        """Whether the operation was aborted."""
        return self._aborted.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait until the time is over or the operation is aborted.

        Raises:
            TransportError: the operation was aborted.
        """
        if self._aborted.wait(seconds):
            raise TransportError("request canceled")

    def watch(self, sock: socket.socket) -> None:
        """Add a socket to the operation.

        Raises:
            TransportError: the operation was aborted already; the socket is closed.
        """
        with self._lock:
            self._sockets.add(sock)
            aborted = self.aborted
        if aborted:
            sock.close()
            raise TransportError("request canceled")

    def abort(self) -> None:
        """Abort the operation: calls that wait for its sockets fail at once."""
        with self._lock:
            self._aborted.set()
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown(), which discards the TLS state while another thread may be
                # using it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def resolve(name: str) -> list[str]:
    """Return the addresses of a host name, [] if it has none. Blocks."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


def connect(
    origin: Origin,
    *,
    proxy: Proxy | None,
    tls: Callable[[], ssl.SSLContext],
    timeout: float,
    aborter: Aborter,
) -> socket.socket:
    """Connect to a server, through a proxy if one is given.

    Args:
        origin: the server. A proxy receives ``http`` requests directly, without a tunnel.
        proxy: the proxy to use.
        tls: makes the TLS context; called only if TLS is needed, because it is slow.
        timeout: seconds for each blocking call, now and later.
        aborter: receives the socket.

    Raises:
        TransportError: the connection failed.
    """
    secure = origin.scheme == "https"
    host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
    sock = _dial(host, port, timeout, aborter)
    try:
        if proxy and secure:
            _tunnel(sock, origin, proxy)
        if secure:
            sock = _secure(sock, origin, tls, aborter)
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def _dial(host: str, port: int, timeout: float, aborter: Aborter) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TransportError(f"dial tcp: lookup {host}: no such host") from None
    failure = f"dial tcp: lookup {host}: no such host"
    for family, kind, protocol, _name, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            aborter.watch(sock)
            sock.settimeout(min(timeout, _CONNECTING))
            sock.connect(address)
            # Once more: shutting down a socket that is not yet connected has no effect.
            aborter.watch(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            where = f"dial tcp {Origin('', str(address[0]), port).address}"
            if isinstance(error, TimeoutError):
                failure = f"{where}: i/o timeout"
            else:
                failure = f"{where}: connect: {(error.strerror or 'failed').lower()}"
        else:
            return sock
    raise TransportError(failure)


def _tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a tunnel to the server (RFC 9110, section 9.3.6)."""
    head = f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n"
    if proxy.authorization:
        head += f"Proxy-Authorization: {proxy.authorization}\r\n"
    try:
        sock.sendall(f"{head}\r\n".encode("ascii"))
        response = HTTPResponse(sock, method="CONNECT")
        response.begin()
        # Closes only the response, not the socket.
        response.close()
    except (OSError, HTTPException):
        raise TransportError("proxyconnect tcp: the proxy does not answer") from None
    if response.status != 200:
        raise TransportError(f"proxyconnect tcp: the proxy refused, with status {response.status}")


def _secure(
    sock: socket.socket, origin: Origin, tls: Callable[[], ssl.SSLContext], aborter: Aborter
) -> socket.socket:
    try:
        secure = tls().wrap_socket(sock, server_hostname=origin.host, do_handshake_on_connect=False)
        # A new socket object, which has to be watched too: the handshake may block for ever.
        aborter.watch(secure)
        try:
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
    except TLSFilesError as error:
        raise TransportError(str(error)) from None
    except UnicodeError:
        raise TransportError(f"dial tcp: lookup {origin.host}: no such host") from None
    except OSError as error:
        host = origin.host if origin.port == 443 else origin.address
        kind = PlainHTTP if is_plain_http(error) else TransportError
        raise kind(tls_failure(error, host)) from None
    return secure
