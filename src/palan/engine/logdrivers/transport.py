"""Connections of log drivers to their receivers: streams and datagrams."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.entry import Entry


__all__ = [
    "TIMEOUT",
    "Address",
    "Datagrams",
    "Stream",
    "build_messages",
    "error_text",
    "split_url",
]

_SLICE: Final = 0.0005
"""Seconds for which building or sending messages may occupy the event loop."""

TIMEOUT: Final = 10.0
"""Seconds to connect, and to wait for a receiver that does not read."""


class Address(NamedTuple):
    """An address of a receiver.

    Attributes:
        scheme: such as ``tcp``.
        host: a name or IP address.
        port: the port's number.
        path: the path of a local socket.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def split_url(text: str) -> SplitResult:
    """Split a URL.

    Raises:
        InvalidParameter: the text is not a URL; in Go's words.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise InvalidParameter(f'parse "{text}": {error}') from None
    return parts


class Stream:
    """A stream connection: TCP, TLS or a local socket.

    Args:
        address: the receiver.
        tls: the context for TLS; None for plain TCP.
        timeout: seconds to wait for a receiver that does not read.
    """

    def __init__(
        self, address: Address, tls: "ssl.SSLContext | None" = None, timeout: float = TIMEOUT
    ) -> None:
        self._address = address
        self._tls = tls
        self._timeout = timeout or TIMEOUT
        self.reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError: in Go's words.
        """
        await self.close()
        address = self._address
        network = "unix" if address.path else "tcp"
        try:
            async with asyncio.timeout(TIMEOUT):
                if address.path:
                    pair = await asyncio.open_unix_connection(address.path)
                else:
                    pair = await asyncio.open_connection(
                        address.host,
                        address.port,
                        ssl=self._tls,
                        server_hostname=address.host if self._tls else None,
                    )
        except TimeoutError:
            raise OSError(f"dial {network} {address}: i/o timeout") from None
        except OSError as error:
            raise OSError(f"dial {network} {address}: {error_text(error)}") from None
        self.reader, self._writer = pair

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the receiver does not read.

        Raises:
            OSError: the connection is broken, or the receiver does not read.
        """
        if self._writer is None:
            await self.open()
        writer, reader = self._writer, self.reader
        if writer is None or reader is None or reader.at_eof() or writer.is_closing():
            raise ConnectionResetError("the receiver has closed the connection")
        writer.write(data)
        try:
            async with asyncio.timeout(self._timeout):
                await writer.drain()
        except TimeoutError:
            raise OSError(f"write {self._address}: i/o timeout") from None

    async def close(self) -> None:
        """Send what was written, then close the connection."""
        writer, self._writer, self.reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


async def build_messages(entries: Iterable[Entry], make: Callable[[Entry], bytes]) -> list[bytes]:
    """Return the messages for lines, yielding often enough to the event loop."""
    messages, since = [], time.monotonic()
    for entry in entries:
        messages.append(make(entry))
        if time.monotonic() - since > _SLICE:
            await asyncio.sleep(0)
            since = time.monotonic()
    return messages


class Datagrams:
    """A socket for datagrams: UDP or a local socket."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Connect the socket to the receiver.

        Raises:
            OSError: the host name or the local socket was not found.
        """
        await self.close()
        loop, address = asyncio.get_running_loop(), self._address
        if address.path:
            family, target = socket.AF_UNIX, address.path
        else:
            try:
                found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            except OSError as error:
                raise OSError(f"dial udp: lookup {address.host}: {error_text(error)}") from None
            family, target = found[0][0], found[0][4]  # type: ignore[assignment]
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            opened.setblocking(False)
            opened.connect(target)
        except OSError as error:
            opened.close()
            raise OSError(f"dial {self._address.scheme} {address}: {error_text(error)}") from None
        self._socket = opened

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send datagrams, yielding often enough to the event loop.

        Raises:
            OSError: a datagram can't be sent, or a local receiver is gone.
        """
        if self._socket is None:
            await self.open()
        assert self._socket is not None  # noqa: S101 - it was just opened
        since = time.monotonic()
        for message in messages:
            try:
                await self._send(self._socket, message)
            except ConnectionRefusedError:
                if self._address.path:
                    raise
                # It is an earlier datagram that was refused; this one was not sent yet.
                with contextlib.suppress(ConnectionRefusedError):
                    await self._send(self._socket, message)
            if time.monotonic() - since > _SLICE:
                await asyncio.sleep(0)
                since = time.monotonic()

    @staticmethod
    async def _send(opened: socket.socket, message: bytes) -> None:
        try:
            opened.send(message)
        except BlockingIOError:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().sock_sendall(opened, message)

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def error_text(error: OSError) -> str:
    """Return the reason of an error, in Go's words for errors of the kernel."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
