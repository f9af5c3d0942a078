"""Where drivers send lines to, and what they have in common."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from palan.api.containers import LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.entry import Entry


__all__ = [
    "Address",
    "Datagrams",
    "Driver",
    "Origin",
    "Retry",
    "Sink",
    "Stream",
    "made",
    "split_url",
]

_TURN: Final = 0.0005
"""Seconds that making or sending messages may keep the loop."""

TIMEOUT: Final = 10.0
"""Seconds to connect, and for a receiver that reads nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What drivers may say of the container whose lines they send.

    Attributes:
        id: of the container.
        name: without a slash.
        image_id: ``sha256:`` and the digest.
        image_name: as the client named it.
        command: program and arguments.
        created: as Go prints times.
        hostname: of the machine.
        tag: the option ``tag``, or its default.
        extra: selected labels and variables.
        options: of the driver.
    """

    id: str
    name: str
    image_id: str
    image_name: str
    command: str
    created: str
    hostname: str
    tag: str
    extra: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a driver tries again.

    Attributes:
        first: seconds before the first time.
        factor: by how much each further delay is longer.
        longest: seconds at most.
        attempts: after so many in a row, lines are given up; None for never.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 10.0
    attempts: int | None = None


class Sink(ABC):
    """A receiver of lines.  Any :class:`OSError` means: connect again, send again."""

    retry: Retry = Retry()
    must_connect = True
    """Whether a container does not start when its receiver can't be reached."""

    linger = 0.0
    """Seconds to wait for more lines, so that many are sent at once."""

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection; idempotent."""


class Driver(ABC):
    """A log driver: its options, and how to send."""

    options: frozenset[str]
    default_tag = "{{.ID}}"

    def rename(self, name: str) -> str:
        """What it makes of the name of a label or variable."""
        return name

    @abstractmethod
    def check(self, options: Mapping[str, str]) -> None:
        """Refuse values that can't be.

        Raises:
            InvalidParameter: in dockerd's words.
        """

    def warnings(self, config: LogConfig) -> list[str]:  # noqa: ARG002 - few have any
        """What has no effect."""
        return []

    @abstractmethod
    def sink(self, origin: Origin) -> Sink:
        """A sink for one container."""


class Address(NamedTuple):
    """An address of a receiver.

    Attributes:
        scheme: such as ``tcp``.
        host: a name or address.
        port: a number.
        path: of a socket.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def split_url(text: str) -> SplitResult:
    """A URL taken apart.

    Raises:
        InvalidParameter: it is none, as Go says it.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it is read only here
    except ValueError as error:
        raise InvalidParameter(f'parse "{text}": {error}') from None
    return parts


class Stream:
    """A connection by which bytes are sent in order.

    Args:
        address: its scheme is ``unix`` for a path, else it is a TCP one.
        tls: makes the context for TLS, blocking; None for none.
        timeout: seconds that the receiver has to read.
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
            raise OSError(f"dial {network} {address}: {reason(error)}") from None
        self.reader, self._writer = pair

    async def write(self, data: bytes) -> None:
        """Send; waits for a receiver that is slow.

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
        """Close the connection, with what was written sent."""
        writer, self._writer, self.reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


async def made(entries: Iterable[Entry], make: Callable[[Entry], bytes]) -> list[bytes]:
    """Messages of lines, in turns short enough for all others on the loop."""
    messages, since = [], time.monotonic()
    for entry in entries:
        messages.append(make(entry))
        if time.monotonic() - since > _TURN:
            await asyncio.sleep(0)
            since = time.monotonic()
    return messages


class Datagrams:
    """A socket for datagrams: UDP, or one of the file system."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Find the receiver.

        Raises:
            OSError: there is none.
        """
        await self.close()
        loop, address = asyncio.get_running_loop(), self._address
        if address.path:
            family, target = socket.AF_UNIX, address.path
        else:
            try:
                found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            except OSError as error:
                raise OSError(f"dial udp: lookup {address.host}: {reason(error)}") from None
            family, target = found[0][0], found[0][4]  # type: ignore[assignment]
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            opened.setblocking(False)
            opened.connect(target)
        except OSError as error:
            opened.close()
            raise OSError(f"dial {self._address.scheme} {address}: {reason(error)}") from None
        self._socket = opened

    async def write(self, messages: Iterable[bytes]) -> None:
        """Send datagrams, in turns short enough for all others on the loop.

        Raises:
            OSError: one can't be sent, or nobody receives.
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
                # What came before was refused; nobody waits for answers to datagrams.
                with contextlib.suppress(ConnectionRefusedError):
                    await self._send(self._socket, message)
            if time.monotonic() - since > _TURN:
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


def reason(error: OSError) -> str:
    """Why something failed, in Go's words where it is the kernel that says it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
