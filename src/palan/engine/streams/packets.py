"""Converts conmon's packets to Docker's frames, many at a time, copying the payload once.

The header of a frame has eight bytes and that of a packet one.  A packet is therefore received
seven bytes behind the end of the buffered data: its payload is then in the place of the
frame's payload, and the frame's header overwrites the packet's.

Packets of one stream that arrive together become one frame, as clients spend time on each
frame.  The header of the following packets overwrites the last byte of the buffered data,
which is then restored.  For a terminal, which has no frames, all packets are joined.
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
"""The longest frame to which another packet can be added."""

_STREAMS: Final = {2: STDOUT, 3: STDERR}


class PacketBatch:
    """Receives packets until the socket is empty or the batch is full.

    Args:
        streams: the streams to keep, of :mod:`palan.api.frames`.
        tty: whether to produce bytes instead of frames.
    """

    def __init__(self, streams: Collection[int], *, tty: bool) -> None:
        self._wanted = {packet: frame for packet, frame in _STREAMS.items() if frame in streams}
        self._framed = not tty
        self._buffer = memoryview(b"")
        self._size = 1
        """The place of the next payload or header; one byte always precedes it."""

        self._frame = 0
        """The place of the last frame, which may grow; 0 for no such frame."""

        self._stream = 0
        """The stream of that frame."""

    @property
    def full(self) -> bool:
        """Whether the batch must be taken before more is received."""
        return self._size >= _BATCH

    def receive(self, connection: socket.socket) -> bool:
        """Receive the available packets, up to a batch, from a non-blocking socket.

        Returns:
            Whether there may be more; False if the connection has ended.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(1 + _BATCH + _GAP + _PACKET_MAX))
        receive = self._receive_framed if self._framed else self._receive_raw
        while True:
            try:
                return receive(connection)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                # conmon has closed the connection without reading all input, or without
                # accepting it.  The kernel reports that once, before the packets that are
                # still queued, and after them the end.
                continue

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
        # One long function, as it determines the speed of output.
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
                    if joins:  # another stream: make room for a header
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
        """Return what was received, as one piece; empty if nothing was received."""
        data = bytes(self._buffer[1 : self._size])
        self._size, self._frame = 1, 0
        return data
