"""conmon's packets to Docker's frames, many at a time and without copying the payload twice.

The head of a frame is eight bytes and that of a packet one, so a packet is received
seven bytes behind the end of what is there already: its payload is then where the
frame's payload has to be, and the head is written over the packet's first byte.

Packets of one stream that come together become one frame, as clients work by the frame.
The first byte of those that follow falls on the last byte of what is there, which is
put back.  For a terminal, which has no frames, that is so for all of them.
"""

import socket
import struct
from collections.abc import Collection
from typing import Final

from palan.api.frames import STDERR, STDOUT


__all__ = ["PacketBatch"]

_BATCH: Final = 256 * 1024
_PACKET_MAX: Final = 64 * 1024
"""More than conmon ever sends (8193 bytes)."""

_PACKET_USUAL: Final = 8192
"""The payload of a full packet."""

_FRAME_MAX: Final = 32 * 1024
"""Payload of a frame; dockerd copies output in pieces of that size."""

_HEADER: Final = struct.Struct(">BxxxL")
_GAP: Final = _HEADER.size - 1
_ROOM: Final = _FRAME_MAX + _HEADER.size - _PACKET_USUAL
"""How long a frame may be to take another packet."""

_STREAMS: Final = {2: STDOUT, 3: STDERR}


class PacketBatch:
    """Receives packets until there are none or enough.

    Args:
        streams: which ones to keep, of :mod:`palan.api.frames`.
        tty: make raw bytes of them instead of frames.
    """

    def __init__(self, streams: Collection[int], *, tty: bool) -> None:
        self._wanted = {packet: frame for packet, frame in _STREAMS.items() if frame in streams}
        self._framed = not tty
        self._buffer = memoryview(b"")
        self._size = 1
        """Where the next packet's payload or header goes; one byte is always before it."""

        self._frame = 0
        """Where the last frame begins that may grow; 0 if there is none."""

        self._stream = 0
        """The stream of that frame."""

    @property
    def full(self) -> bool:
        """Whether something must be taken before more is received."""
        return self._size >= _BATCH

    def receive(self, connection: socket.socket) -> bool:
        """Receive what is there, up to a batch, from a socket that does not block.

        Returns:
            Whether there may be more; False if the connection has ended.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(1 + _BATCH + _GAP + _PACKET_MAX))
        try:
            return (
                self._receive_framed(connection) if self._framed else self._receive_raw(connection)
            )
        except BlockingIOError:
            return True
        except ConnectionResetError:  # conmon could not even start the process
            return False

    def _receive_raw(self, connection: socket.socket) -> bool:
        buffer = self._buffer
        while self._size < _BATCH:
            at = self._size - 1
            kept = buffer[at]
            count = connection.recv_into(buffer[at:])
            if count > 1 and buffer[at] in self._wanted:
                self._size += count - 1
            buffer[at] = kept
            if not count:
                return False
        return True

    def _receive_framed(self, connection: socket.socket) -> bool:
        # All in one place, as this is what the speed of output hangs on.
        buffer, wanted, receive = self._buffer, self._wanted, connection.recv_into
        size, frame, current = self._size, self._frame, self._stream
        try:
            while size < _BATCH:
                joins = frame and size - frame <= _ROOM
                at = size - 1 if joins else size + _GAP
                kept = buffer[at]
                count = receive(buffer[at:])
                stream = wanted.get(buffer[at])
                buffer[at] = kept
                if stream is None or count < 2:
                    if not count:
                        return False
                elif joins and stream == current:
                    size += count - 1
                else:
                    if joins:  # behind a header after all
                        start, payload = size + _HEADER.size, bytes(buffer[size : size + count - 1])
                        buffer[start : start + count - 1] = payload
                    if frame:
                        _HEADER.pack_into(buffer, frame, current, size - frame - _HEADER.size)
                    frame, current = size, stream
                    size += _HEADER.size + count - 1
            return True
        finally:
            if frame:
                _HEADER.pack_into(buffer, frame, current, size - frame - _HEADER.size)
            self._size, self._frame, self._stream = size, frame, current

    def take(self) -> bytes:
        """What was received, as one piece; empty if nothing was."""
        data = bytes(self._buffer[1 : self._size])
        self._size, self._frame = 1, 0
        return data
