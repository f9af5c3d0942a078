"""The log driver ``journald``: systemd's journal, by its native protocol.

A message is a datagram of fields.  If it is too large, it is written to a sealed file in
memory, whose descriptor is sent instead (systemd's "Native Journal Protocol").
"""

import array
import asyncio
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from palan.engine.logdrivers.driver import Driver, Origin, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.transport import TIMEOUT, build_messages, error_text
from palan.engine.timestamps import go_time


__all__ = ["Journald"]

JOURNAL: Final = "/run/systemd/journal/socket"
_PRIORITIES: Final = {"stderr": "3", "stdout": "6"}
_SHORT: Final = 12
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def _field_name(name: str) -> str:
    """Return a valid field name: capital letters, digits, and underscores except at the start."""
    letters = (c.upper() if c.isascii() and c.isalnum() else "_" for c in name)
    return "".join(letters).lstrip("_")


class Journald(Driver):
    """The log driver ``journald``."""

    options: frozenset[str] = frozenset()

    def rename(self, name: str) -> str:
        """Return the name under which a label or variable is sent."""
        return _field_name(name)

    def check(self, options: Mapping[str, str]) -> None:
        """Accept all: the driver has no options of its own."""

    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
        return JournalSink(origin)


class JournalSink(Sink):
    """The journal, as the receiver of one container's lines.

    Args:
        origin: the facts about the container.
        path: the journal's socket.
    """

    def __init__(self, origin: Origin, path: str = JOURNAL) -> None:
        self._path = path
        self._fixed = {
            "CONTAINER_ID": origin.id[:_SHORT],
            "CONTAINER_ID_FULL": origin.id,
            "CONTAINER_NAME": origin.name,
            "CONTAINER_TAG": origin.tag,
            "IMAGE_NAME": origin.image_name,
            "SYSLOG_IDENTIFIER": origin.tag,
            "CONTAINER_LOG_EPOCH": secrets.token_hex(32),
            **{name: value for name, value in origin.extra.items() if name},
        }
        self._ordinal = 0
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Connect to the journal."""
        await self.close()
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            opened.setblocking(False)
            opened.connect(self._path)
        except OSError as error:
            opened.close()
            raise OSError(
                f"journald is not enabled on this host ({self._path}: {error_text(error)})"
            ) from None
        self._socket = opened

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""
        if self._socket is None:
            await self.open()
        for message in await build_messages(entries, self._message):
            await self._write(message)

    def _message(self, entry: Entry) -> bytes:
        self._ordinal += 1
        fields = {
            **self._fixed,
            "PRIORITY": _PRIORITIES[entry.source],
            "SYSLOG_TIMESTAMP": go_time(entry.time),
            "CONTAINER_LOG_ORDINAL": str(self._ordinal),
        }
        if entry.partial is not None:
            fields |= {
                "CONTAINER_PARTIAL_ID": entry.partial.id,
                "CONTAINER_PARTIAL_ORDINAL": str(entry.partial.ordinal),
                "CONTAINER_PARTIAL_LAST": "true" if entry.partial.last else "false",
            }
            if not entry.partial.last:
                fields["CONTAINER_PARTIAL_MESSAGE"] = "true"
        parts = [_encoded("MESSAGE", entry.line)]
        parts += [_encoded(name, value.encode()) for name, value in fields.items()]
        return b"".join(parts)

    async def _write(self, data: bytes) -> None:
        assert self._socket is not None  # noqa: S101 - open() made it
        try:
            self._socket.send(data)
        except BlockingIOError:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError as error:
            if error.errno not in (90, 105):  # EMSGSIZE, ENOBUFS
                raise
            _send_as_file(self._socket, data)

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _encoded(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _send_as_file(sender: socket.socket, data: bytes) -> None:
    fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
        sender.sendmsg([b""], [rights])
    finally:
        os.close(fd)
