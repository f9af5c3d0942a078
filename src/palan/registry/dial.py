"""Connections to servers: names, addresses, proxies, TLS; and calling them off.

A thread that waits on a socket cannot be cancelled, but the socket can be shut down
under it: :class:`Aborter` knows the sockets of an operation and does that.
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
"""The most seconds for a connection; for an answer one may have to wait longer."""


class Aborter:
    """The sockets of one operation, which may be called off from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._called_off = threading.Event()

    @property
    def aborted(self) -> bool:
        """Whether it was called off."""
        return self._called_off.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the operation goes on.

        Raises:
            TransportError: it was called off.
        """
        if self._called_off.wait(seconds):
            raise TransportError("request canceled")

    def watch(self, sock: socket.socket) -> None:
        """Make a socket one of the operation.

        Raises:
            TransportError: the operation was called off already; the socket is closed.
        """
        with self._lock:
            self._sockets.add(sock)
            aborted = self.aborted
        if aborted:
            sock.close()
            raise TransportError("request canceled")

    def abort(self) -> None:
        """Call the operation off: whatever waits on its sockets fails at once."""
        with self._lock:
            self._called_off.set()
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which takes the TLS state away from
                # under a thread that is using it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def resolve(name: str) -> list[str]:
    """The addresses of a name; none when it has none.  Blocks."""
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
    """Connect to a server, through a proxy if there is one.

    Args:
        origin: the server; to a proxy, requests for ``http`` go as they are.
        proxy: the proxy to go through.
        tls: asked only where TLS is spoken: making a context is slow.
        timeout: seconds for each thing that is waited for, now and later.
        aborter: is told of the socket.

    Raises:
        TransportError: there is no connection to be had.
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
            # Again: shutting a socket down has no effect until it connects.
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
    """Have the proxy connect us (RFC 9110, section 9.3.6)."""
    head = f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n"
    if proxy.authorization:
        head += f"Proxy-Authorization: {proxy.authorization}\r\n"
    try:
        sock.sendall(f"{head}\r\n".encode("ascii"))
        response = HTTPResponse(sock, method="CONNECT")
        response.begin()
        # Closes the response's view of the socket only.
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
        # It is another socket than before, and shaking hands may take for ever.
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
