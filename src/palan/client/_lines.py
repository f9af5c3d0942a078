"""Splitting of a stream into lines, each a JSON message, as all engines send them; no I/O."""

from typing import Final

from palan.client.errors import ProtocolError


__all__ = ["Lines"]

_MAX_LINE: Final = 64 << 20
"""The most bytes of a line; the longest messages, statistics, have a few thousand."""

_BLANK: Final = b" \t\r\n\x1e"
"""The characters between messages; RFC 7464 begins each message with the last one."""


class Lines:
    """Splits a stream, in chunks of any size, into lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes, and return the lines that they complete.

        Raises:
            ProtocolError: a line is longer than 64 MiB.
        """
        first, newline, rest = data.partition(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if not newline:
            if self._size > _MAX_LINE:
                raise ProtocolError("a message of the engine is too long")
            return []
        *lines, last = (b"".join(self._parts) + b"\n" + rest).split(b"\n")
        self._parts, self._size = [last], len(last)
        return [line for one in lines if (line := one.strip(_BLANK))]

    def end(self) -> list[bytes]:
        """Return the last line if it lacks a newline, else no line."""
        line = b"".join(self._parts).strip(_BLANK)
        self._parts, self._size = [], 0
        return [line] if line else []
