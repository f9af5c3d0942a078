"""Decoding of the frames that carry a container's stdout and stderr on one connection.

:class:`palan.api.frames.FrameDecoder` yields frame by frame; here, consecutive frames of the
same stream are joined, so that a log of short lines makes no more objects than reads.
"""

import struct
from typing import Final, NamedTuple

from palan.client.errors import OperationFailed, ProtocolError


__all__ = ["Output", "OutputDecoder"]

_HEADER: Final = struct.Struct(">BxxxL")
_SYSTEM: Final = 3
"""The stream that carries the engine's error messages."""

_NAMES: Final = {0: "stdin", 1: "stdout", 2: "stderr"}
_MAX_ERROR: Final = 64 * 1024
"""The most bytes of an error message that are kept."""


class Output(NamedTuple):
    """A part of a process's output."""

    stream: str
    """``stdout`` or ``stderr``; with a TTY always ``stdout``."""

    data: bytes


class OutputDecoder:
    """Decodes a stream, in chunks of any size, to :class:`Output`.

    Attributes:
        failure: the error that the engine sent within the stream; it ends the stream.
    """

    def __init__(self, *, tty: bool) -> None:
        """Begin to decode.

        Args:
            tty: the stream has no frames; all of it is ``stdout``.
        """
        self._tty = tty
        self._rest = b""
        self._stream = 1
        self._left = 0
        self._error = b""
        self.failure: OperationFailed | None = None

    @property
    def whole(self) -> bool:
        """Whether the stream may end here: no frame is incomplete."""
        return not self._rest and not self._left

    def feed(self, data: bytes) -> list[Output]:  # noqa: C901 - one loop, as it is run per frame
        """Decode bytes; of an incomplete frame, return the bytes that have arrived.

        Raises:
            ProtocolError: the data is not in frames.
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
                self._fail(b"".join(parts))
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
        return self._save_state(found, parts, current, after - position, data[position:])

    def _save_state(
        self, found: list[Output], parts: list[bytes], stream: int, left: int, rest: bytes
    ) -> list[Output]:
        """Save the state of the decoder, and return the decoded output."""
        self._stream, self._left, self._rest = stream, left, rest
        if parts and stream == _SYSTEM:
            self._error += b"".join(parts)
            if not left or len(self._error) > _MAX_ERROR:
                self._fail(b"")
        elif parts:
            found.append(Output(_NAMES[stream], b"".join(parts)))
        return found

    def _fail(self, rest: bytes) -> None:
        """Set ``failure``, when the error's frame is complete."""
        text = (self._error + rest).decode("utf-8", "replace").strip()
        self.failure = OperationFailed(text)
