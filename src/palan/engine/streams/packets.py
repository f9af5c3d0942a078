"""conmon's packets to Docker's frames, many at a time and without copying the payload twice.

The head of a frame is eight bytes and that of a packet one, so a packet is received
seven bytes behind the end of what is there already: its payload is then where the
frame's payload has to be, and the head is written over the packet's first byte.
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

_HEADER: Final = struct.Struct(">BxxxL")
_GAP: Final = _HEADER.size - 1
_STREAMS: Final = {2: STDOUT, 3: STDERR}


class PacketBatch:
    """Receives packets until there are none or enough.

    Args:
        streams: which ones to keep, of :mod:`palan.api.frames`.
        tty: make raw bytes of them instead of frames.
    """

    def __init__(self, streams: Collection[int], *, tty: bool) -> None:
        self._wanted = {packet: frame for packet, frame in _STREAMS.items() if frame in streams}
        self._gap = 0 if tty else _GAP
        self._buffer = memoryview(b"")
        self._size = 1
        """Where the next packet's payload or header goes; one byte is always before it."""

    def receive(self, connection: socket.socket) -> bool:
        """Receive what is there, up to a batch, from a socket that does not block.

        Returns:
            Whether there may be more; False if the connection has ended.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(1 + _BATCH + _GAP + _PACKET_MAX))
        buffer, wanted, gap, size = self._buffer, self._wanted, self._gap, self._size
        pack, receive = _HEADER.pack_into, connection.recv_into
        try:
            while size < _BATCH:
                # Raw, a packet's first byte falls on the last byte of what is there.
                at = size + gap if gap else size - 1
                kept = buffer[at]
                count = receive(buffer[at:])
                if not count:
                    return False
                stream = wanted.get(buffer[at])
                if not gap:
                    buffer[at] = kept
                if stream is None or count == 1:
                    continue
                if gap:
                    pack(buffer, size, stream, count - 1)
                    size += _HEADER.size + count - 1
                else:
                    size += count - 1
        except BlockingIOError:
            return True
        except ConnectionResetError:  # conmon could not even start the process
            return False
        finally:
            self._size = size
        return True

    def take(self) -> bytes:
        """What was received, as one piece; empty if nothing was."""
        data = bytes(self._buffer[1 : self._size])
        self._size = 1
        return data
