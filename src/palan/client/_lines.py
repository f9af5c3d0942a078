"""JSON messages in a stream: one a line, as all engines send them; no I/O."""

from typing import Final

from palan.client.errors import ProtocolError


__all__ = ["Lines"]

_MAX_LINE: Final = 64 << 20
"""Bytes; the longest messages are statistics, of a few thousand."""

_BLANK: Final = b" \t\r\n\x1e"
"""What stands between messages; the last is what RFC 7464 begins them with."""


class Lines:
    """Cuts a stream into lines, however it came in."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and give the lines that became complete.

        Raises:
            ProtocolError: there is no end to a line.
        """
        first, newline, rest = data.partition(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if not newline:
            if self._size > _MAX_LINE:
                raise ProtocolError("there is no end to a message of the engine")
            return []
        *lines, last = (b"".join(self._parts) + b"\n" + rest).split(b"\n")
        self._parts, self._size = [last], len(last)
        return [line for one in lines if (line := one.strip(_BLANK))]

    def end(self) -> list[bytes]:
        """The last line, if its end was missing."""
        line = b"".join(self._parts).strip(_BLANK)
        self._parts, self._size = [], 0
        return [line] if line else []
