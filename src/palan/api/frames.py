"""Docker's raw-stream frames, which carry stdout and stderr over one connection.

A frame is eight bytes of header and a payload: ``[stream, 0, 0, 0, length]`` with
the length as a big-endian 32-bit number (API: ``POST /containers/{id}/attach``).
"""

import struct
from collections.abc import Iterator
from typing import Final


__all__ = ["STDERR", "STDIN", "STDOUT", "SYSTEM", "FrameDecoder", "frame"]

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
SYSTEM: Final = 3
"""The stream of the engine's own errors."""

_HEADER: Final = struct.Struct(">BxxxL")


def frame(stream: int, data: bytes) -> bytes:
    """Return one frame of ``data`` on ``stream``."""
    return _HEADER.pack(stream, len(data)) + data


class FrameDecoder:
    """Decoder of a multiplexed stream, wherever it is split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add ``data`` and yield each frame that is now complete, as (stream, payload)."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield stream, payload

    @property
    def pending(self) -> int:
        """The number of buffered bytes of an incomplete frame."""
        return len(self._buffer)
