"""File change events from the kernel (inotify(7)).

The descriptor is non-blocking and becomes readable when events are pending::

    inotify = Inotify()
    inotify.add("/var/log/ctr.log", MODIFY | DELETE_SELF)
    loop.add_reader(inotify.fd, lambda: handle(inotify.read()))
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from palan.host import syscalls


__all__ = [
    "ATTRIB",
    "CLOSE_WRITE",
    "CREATE",
    "DELETE",
    "DELETE_SELF",
    "IGNORED",
    "MODIFY",
    "MOVED_FROM",
    "MOVED_TO",
    "MOVE_SELF",
    "ONESHOT",
    "ONLYDIR",
    "OVERFLOW",
    "Event",
    "Inotify",
    "decode_events",
]

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
OVERFLOW: Final = 0x4000
"""The kernel's event queue overflowed, and events were lost."""
IGNORED: Final = 0x8000
"""The watch ended: it was removed, or the watched file was."""
ONLYDIR: Final = 0x1000000
ONESHOT: Final = 0x80000000
"""Watch for one event only."""

_EVENT: Final = struct.Struct("=iIII")
_BUFFER: Final = 1 << 16


class Event(NamedTuple):
    """One event.

    Attributes:
        watch: the number returned by :meth:`Inotify.add`.
        mask: the kind of event; may have several bits.
        cookie: equal for both events of a rename.
        name: name of the file in the watched directory; "" for the watched file itself.
    """

    watch: int
    mask: int
    cookie: int
    name: str


def decode_events(data: bytes) -> Iterator[Event]:
    """Decode the data read from an inotify descriptor."""
    offset = 0
    while offset + _EVENT.size <= len(data):
        watch, mask, cookie, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        name = data[offset : offset + length].rstrip(b"\0")
        offset += length
        yield Event(watch, mask, cookie, os.fsdecode(name))


class Inotify:
    """A set of watches with one descriptor, ``fd``; a context manager."""

    def __init__(self) -> None:
        self.fd = syscalls.inotify_init()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, path: str | Path, mask: int) -> int:
        """Watch a file or directory.

        Returns:
            The number of the watch; the same file has the same number.
        """
        return syscalls.inotify_add_watch(self.fd, path, mask)

    def remove(self, watch: int) -> None:
        """Stop watching; an event :data:`IGNORED` follows."""
        syscalls.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Event]:
        """Return the pending events, perhaps []."""
        try:
            return list(decode_events(os.read(self.fd, _BUFFER)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Stop watching everything and close the descriptor; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
