"""What containers write, as it comes through one connection: frames taken apart in bulk.

:class:`palan.api.frames.FrameDecoder` yields frame by frame; here, what follows each other
on the same stream becomes one piece, so that a log of short lines costs no more objects
than it has reads.
"""

import struct
from typing import Final, NamedTuple

from palan.client.errors import OperationFailed, ProtocolError


__all__ = ["Output", "OutputDecoder"]

_HEADER: Final = struct.Struct(">BxxxL")
_SYSTEM: Final = 3
"""The stream on which an engine says what went wrong with the others."""

_NAMES: Final = {0: "stdin", 1: "stdout", 2: "stderr"}
_MAX_COMPLAINT: Final = 64 * 1024
"""Bytes of what the engine says that are kept."""


class Output(NamedTuple):
    """A piece of what a process wrote."""

    stream: str
    """``stdout`` or ``stderr``; with a TTY all is ``stdout``."""

    data: bytes


class OutputDecoder:
    """Makes :class:`Output` of a stream, however it was cut into pieces.

    Attributes:
        failure: what the engine said within the stream, after which nothing follows.
    """

    def __init__(self, *, tty: bool) -> None:
        """Begin.

        Args:
            tty: there are no frames; all is ``stdout``.
        """
        self._tty = tty
        self._rest = b""
        self._stream = 1
        self._left = 0
        self._complaint = b""
        self.failure: OperationFailed | None = None

    @property
    def whole(self) -> bool:
        """Whether the stream may end here: no frame is incomplete."""
        return not self._rest and not self._left

    def feed(self, data: bytes) -> list[Output]:  # noqa: C901 - one loop, as it is run per frame
        """Take bytes, and give what they are; of a long frame what there is of it.

        Raises:
            ProtocolError: these are no frames.
        """
        if self._tty:
            return [Output("stdout", data)] if data else []
        if self._rest:
            data = self._rest + data
        found: list[Output] = []
        parts: list[bytes] = []
        current, position, end = self._stream, 0, len(data)
        unpack = _HEADER.unpack_from
        after = self._left
        while True:
            # Here, the payload of the frame goes from `position` to `after`.
            if after > position:
                if position < end:
                    parts.append(data[position:after])
                if after >= end:
                    position = end
                    break
                position = after
            if current == _SYSTEM and parts:
                self._complain(b"".join(parts))
                return found
            if position + 8 > end:
                after = position
                break
            stream, length = unpack(data, position)
            if stream != current:
                if parts:
                    found.append(Output(_NAMES[current], b"".join(parts)))
                    parts.clear()
                if stream > _SYSTEM:
                    raise ProtocolError("the output does not come in frames")
                current = stream
            position += 8
            after = position + length
        return self._keep(found, parts, current, after - position, data[position:])

    def _keep(
        self, found: list[Output], parts: list[bytes], stream: int, left: int, rest: bytes
    ) -> list[Output]:
        """Remember where we are, and give what there is."""
        self._stream, self._left, self._rest = stream, left, rest
        if parts and stream == _SYSTEM:
            self._complaint += b"".join(parts)
            if not left or len(self._complaint) > _MAX_COMPLAINT:
                self._complain(b"")
        elif parts:
            found.append(Output(_NAMES[stream], b"".join(parts)))
        return found

    def _complain(self, rest: bytes) -> None:
        """A complaint is told when it is whole, after the output that came before it."""
        text = (self._complaint + rest).decode("utf-8", "replace").strip()
        self.failure = OperationFailed(text)
