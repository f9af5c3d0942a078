"""The name server of one container, at 127.0.0.11 in its network namespace.

It listens at an unusual port, to which rules in the namespace redirect port 53, as the container
may have its own name server on all addresses.  Each container has its own sockets, so a query
can't pretend to come from another one.  They are read in the engine's loop, as the answers are
in memory.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Protocol

from palan.engine.networks.dns_forward import Forwarder
from palan.engine.networks.dns_message import (
    IN,
    Answer,
    BadMessage,
    Query,
    Rcode,
    Rtype,
    address_of_reverse,
    answer,
    encode_name,
    failure,
    parse_query,
    truncated,
)


__all__ = ["ADDRESS", "DnsServer", "Names", "answer_locally", "open_sockets"]

ADDRESS: Final = "127.0.0.11"
TTL: Final = 600
AT_ONCE: Final = 16
"""Queries that are answered in a row before other work of the event loop."""
CONNECTIONS: Final = 64
FORWARDED: Final = 1024
"""Queries of a container that are forwarded at a time; as with Docker."""
IDLE: Final = 10.0
"""Seconds after which a silent connection is closed."""
_LARGEST: Final = 65535


class Names(Protocol):
    """The names that a container can look up."""

    def lookup(self, name: str) -> tuple[Sequence[str], Sequence[str]] | None:
        """Return the IPv4 and IPv6 addresses of a name; None for an unknown name."""

    def reverse(self, address: str) -> Iterable[str]:
        """Return the names of an address, the best first."""


def open_sockets(ports: Sequence[int]) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket at the first of these ports that is free for both.

    They belong to the network namespace of the calling thread.

    Raises:
        OSError: no port is free.
    """
    for port in ports:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((ADDRESS, port))
            tcp.bind((ADDRESS, port))
            tcp.listen(16)
        except OSError as error:
            udp.close()
            tcp.close()
            last = error
            continue
        udp.setblocking(False)
        tcp.setblocking(False)
        return udp, tcp
    raise last


@lru_cache(4096)
def _record(address: str) -> Answer:
    packed = ip_address(address).packed
    return Answer(Rtype.AAAA if len(packed) > 4 else Rtype.A, packed)


def answer_locally(query: Query, names: Names, *, limit: int | None = None) -> bytes | None:
    """Return the answer to a query about a container; None if it is not about one.

    A known name has address records only; queries for other types are not forwarded either.
    """
    if query.rclass != IN:
        return None
    if query.rtype == Rtype.PTR:
        address = address_of_reverse(query.name)
        for name in names.reverse(address) if address else ():
            with contextlib.suppress(ValueError):  # for example, too long for a DNS name
                return answer(query, [Answer(Rtype.PTR, encode_name(name))], ttl=TTL, limit=limit)
        return None
    found = names.lookup(query.name)
    if found is None:
        return None
    addresses: Sequence[str] = ()
    if query.rtype == Rtype.A:
        addresses = found[0]
    elif query.rtype == Rtype.AAAA:
        addresses = found[1]
    if len(addresses) > 1:
        # Clients use the first one: random order spreads the load.
        addresses = random.sample(addresses, len(addresses))
    return answer(query, [_record(a) for a in addresses], ttl=TTL, limit=limit)


class DnsServer:
    """A server that answers the queries that arrive at two sockets.

    Args:
        sockets: the UDP and the TCP socket, in the container's namespace.
        names: the names that the container can look up.
        forwarder: forwards all other queries.
        dotted_only: whether names without a dot are not forwarded (``ndots`` was asked for:
            the client tries them with its search domains).
        forwarded: the largest number of queries that are forwarded at a time.
    """

    def __init__(
        self,
        sockets: tuple[socket.socket, socket.socket],
        names: Names,
        forwarder: Forwarder,
        *,
        dotted_only: bool,
        forwarded: int = FORWARDED,
    ) -> None:
        self._udp, self._tcp = sockets
        self._names = names
        self.forwarder = forwarder
        self.dotted_only = dotted_only
        self._slots = asyncio.Semaphore(forwarded)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._udp.fileno(), self._datagrams)
        self._loop.add_reader(self._tcp.fileno(), self._accept)

    def close(self) -> None:
        """Close the sockets and cancel forwarded queries."""
        for sock in (self._udp, self._tcp):
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                sock.close()
        for task in self._tasks:
            task.cancel()
        self.forwarder.close()

    # ---- UDP -------------------------------------------------------------------------

    def _datagrams(self) -> None:
        for _ in range(AT_ONCE):
            try:
                message, client = self._udp.recvfrom(_LARGEST)
            except OSError:  # no more datagrams
                return
            self._respond(message, client)

    def _respond(self, message: bytes, client: tuple[str, int]) -> None:
        try:
            query = parse_query(message)
        except BadMessage as error:
            if error.reply:
                self._send(error.reply, client)
            return
        reply = answer_locally(query, self._names)
        if reply is not None:
            self._send(reply, client)
        elif self._slots.locked():
            self._send(failure(query, Rcode.REFUSED), client)
        else:
            self._spawn(self._forward(query, message, lambda reply: self._send(reply, client)))

    async def _forward(self, query: Query, message: bytes, reply: Callable[[bytes], None]) -> None:
        reply(truncated(query, await self._forwarded_answer(query, message, tcp=False)))

    def _send(self, message: bytes, client: tuple[str, int]) -> None:
        # A client that does not receive the answer asks again, if it still exists.
        with contextlib.suppress(OSError):
            self._udp.sendto(message, client)

    async def _forwarded_answer(self, query: Query, message: bytes, *, tcp: bool) -> bytes:
        addresses = query.rtype in (Rtype.A, Rtype.AAAA)
        if self.dotted_only and addresses and "." not in query.name:
            return answer(query)
        if self._slots.locked():
            return failure(query, Rcode.REFUSED)
        async with self._slots:
            found = await self.forwarder.ask(query, message, tcp=tcp)
        return found or failure(query, Rcode.SERVFAIL)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- TCP -------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            accepted, _ = self._tcp.accept()
        except OSError:
            return
        if self._connections >= CONNECTIONS:
            accepted.close()
            return
        accepted.setblocking(False)
        self._connections += 1
        self._spawn(self._serve_connection(accepted))

    async def _serve_connection(self, accepted: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=accepted)
            try:
                while True:
                    async with asyncio.timeout(IDLE):
                        size = int.from_bytes(await reader.readexactly(2), "big")
                        message = await reader.readexactly(size)
                    reply = await self._reply_tcp(message)
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
            finally:
                writer.close()
        except (OSError, TimeoutError, EOFError, BadMessage):
            pass  # the client has gone, is silent or sends malformed queries
        finally:
            self._connections -= 1

    async def _reply_tcp(self, message: bytes) -> bytes:
        try:
            query = parse_query(message)
        except BadMessage as error:
            if not error.reply:
                raise
            return error.reply
        reply = answer_locally(query, self._names, limit=_LARGEST)
        return reply or await self._forwarded_answer(query, message, tcp=True)
