"""Forwarding of queries that are not about containers, to the resolvers of host or container.

The next resolver is asked as soon as one refuses or does not answer for a while; answers of
earlier ones still count.  So a dead resolver costs less than a client's timeout (five seconds, by
default).  A query that arrives over TCP is forwarded over TCP.  Answers are returned unchanged.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from palan.engine.networks.dns_message import (
    Query,
    Rcode,
    answers_to,
    query_bytes,
    response_code,
)
from palan.host.namespaces import run_in_netns


__all__ = ["Forwarder", "Upstream"]

PATIENCE: Final = 1.5
"""Seconds without an answer until the next resolver is asked as well."""
TIMEOUT: Final = 4.0
"""Seconds for an answer of a resolver, as with Docker."""
MOST: Final = 3
"""The number of resolvers that are asked, as in resolver libraries."""
IDLE: Final = 10.0
"""Seconds for which an unused socket is kept."""
_LARGEST: Final = 65535
_PORT: Final = 53
_TELL_ERRORS: Final[dict[int, tuple[int, int]]] = {
    # IP_RECVERR and IPV6_RECVERR (ip(7), ipv6(7)) report a missing route, too.
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A resolver.

    Attributes:
        address: its IP address.
        on_host: whether it is reached from the host's namespace, such as one on its loopback.
        port: its port.
    """

    address: str
    on_host: bool = False
    port: int = _PORT

    @property
    def family(self) -> int:
        """The family of its address."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


class Forwarder:
    """Forwards queries from a network namespace.

    Args:
        netns: the path of the namespace.
        upstreams: returns the resolvers to ask, in order.
    """

    def __init__(self, netns: str, upstreams: Callable[[], Sequence[Upstream]]) -> None:
        self.netns = netns
        self.upstreams = upstreams
        self._sockets: dict[Upstream, _UdpSocket] = {}

    async def ask(self, query: Query, message: bytes, *, tcp: bool) -> bytes | None:
        """Return the answer of a resolver, with the id of the query; None without an answer."""
        waiting: set[asyncio.Task[bytes | None]] = set()
        remaining = list(self.upstreams()[:MOST])
        try:
            while remaining or waiting:
                if remaining:
                    upstream = remaining.pop(0)
                    once = self._over_tcp if tcp else self._over_udp
                    waiting.add(asyncio.create_task(once(upstream, query, message)))
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=PATIENCE if remaining else TIMEOUT,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    found = task.result()
                    if found is not None:
                        return query_bytes(found, query.id)
                if not done and not remaining:
                    return None
            return None
        finally:
            for task in waiting:
                task.cancel()

    def close(self) -> None:
        """Close all sockets."""
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    async def _open(self, upstream: Upstream, kind: int) -> socket.socket:
        def make() -> socket.socket:
            made = socket.socket(upstream.family, kind | socket.SOCK_CLOEXEC)
            made.setblocking(False)
            return made

        if upstream.on_host:
            return make()
        return await asyncio.to_thread(run_in_netns, self.netns, make)

    async def _over_udp(self, upstream: Upstream, query: Query, message: bytes) -> bytes | None:
        try:
            opened = self._sockets.get(upstream)
            if opened is None:
                made = await self._open(upstream, socket.SOCK_DGRAM)
                opened = self._sockets.get(upstream)
                if opened is None:
                    opened = self._sockets[upstream] = _UdpSocket(made, self, upstream)
                else:
                    made.close()  # a concurrent query was faster
            return _useful(await opened.ask(query, message))
        except OSError:
            return None

    def discard(self, upstream: Upstream) -> None:
        """Close a socket that was unused for some time, or that failed."""
        opened = self._sockets.pop(upstream, None)
        if opened is not None:
            opened.close()

    async def _over_tcp(self, upstream: Upstream, query: Query, message: bytes) -> bytes | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                made = await self._open(upstream, socket.SOCK_STREAM)
                try:
                    loop = asyncio.get_running_loop()
                    await loop.sock_connect(made, (upstream.address, upstream.port))
                except BaseException:
                    made.close()
                    raise
                reader, writer = await asyncio.open_connection(sock=made)
                try:
                    number = secrets.randbelow(1 << 16)
                    writer.write(len(message).to_bytes(2, "big") + query_bytes(message, number))
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    answer = await reader.readexactly(size)
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None
        return _useful(answer) if answers_to(query, number, answer) else None


def _useful(answer: bytes | None) -> bytes | None:
    """Return an answer unless it is a failure, which other resolvers may not have."""
    if answer is None or response_code(answer) in (Rcode.SERVFAIL, Rcode.REFUSED):
        return None
    return answer


class _UdpSocket:
    """A socket connected to a resolver, shared by concurrent queries."""

    def __init__(self, made: socket.socket, forwarder: Forwarder, upstream: Upstream) -> None:
        self._socket = made
        self._forwarder = forwarder
        self._upstream = upstream
        self._waiting: dict[int, tuple[Query, asyncio.Future[bytes | None]]] = {}
        self._loop = asyncio.get_running_loop()
        made.setsockopt(*_TELL_ERRORS[upstream.family], 1)
        made.connect((upstream.address, upstream.port))
        self._loop.add_reader(made.fileno(), self._readable)
        self._expiry = self._loop.call_later(IDLE, self._expire)

    async def ask(self, query: Query, message: bytes) -> bytes | None:
        """Send a query and return its answer; None without one in time.

        Raises:
            OSError: the query could not be sent.
        """
        number = secrets.randbelow(1 << 16)
        while number in self._waiting:
            number = secrets.randbelow(1 << 16)
        sent = query_bytes(message, number)
        future: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting[number] = query, future
        self._expiry.cancel()
        try:
            self._socket.send(sent)
            for wait in (TIMEOUT / 2, TIMEOUT / 2):
                done, _ = await asyncio.wait((future,), timeout=wait)
                if done:
                    return future.result()
                with contextlib.suppress(OSError):
                    self._socket.send(sent)  # the query or its answer was lost
            return None
        finally:
            del self._waiting[number]
            if not self._waiting and self._socket.fileno() >= 0:
                self._expiry.cancel()
                self._expiry = self._loop.call_later(IDLE, self._expire)

    def _readable(self) -> None:
        silent = True
        while True:
            try:
                answer = self._socket.recv(_LARGEST)
            except BlockingIOError:
                if silent:
                    self._clear_errors()
                return
            except OSError:
                # An ICMP message says that no resolver is listening: this holds for all queries.
                self._forwarder.discard(self._upstream)
                return
            silent = False
            number = int.from_bytes(answer[:2], "big")
            if (asked := self._waiting.get(number)) is None:
                continue
            query, future = asked
            if not future.done() and answers_to(query, number, answer):
                future.set_result(answer)

    def _clear_errors(self) -> None:
        """Read the error messages, which a send has reported already, from the socket.

        Otherwise they would be reported forever, or with uvloop nothing else would be.
        """
        with contextlib.suppress(OSError):
            while True:
                self._socket.recv(1, socket.MSG_ERRQUEUE)
        self._loop.remove_reader(self._socket.fileno())
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _expire(self) -> None:
        self._forwarder.discard(self._upstream)

    def close(self) -> None:
        self._expiry.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_result(None)
