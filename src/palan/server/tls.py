"""TLS whose two halves can be closed independently.

asyncio's TLS closes the whole connection at the client's ``close_notify``, so that the
remaining output of ``docker run -i`` would be lost. This layer uses OpenSSL directly.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final, cast

import structlog


__all__ = ["TLSLayer"]

_HANDSHAKE_TIMEOUT: Final = 60.0
_READ: Final = 256 * 1024

_log = structlog.get_logger(__name__)


class TLSLayer(asyncio.Protocol):
    """The layer between a TCP transport and the protocol that gets the clear text."""

    def __init__(self, inner: asyncio.Protocol, context: ssl.SSLContext) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        context.options |= ssl.OP_NO_RENEGOTIATION
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._established = False
        self._input_ended = False
        self._output_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, in which the client speaks first."""
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_HANDSHAKE_TIMEOUT, transport.abort)  # type: ignore[attr-defined] # all stream transports have it

    def data_received(self, data: bytes) -> None:
        """Decrypt received bytes."""
        if self._input_ended or self._output_ended:
            # The protocol no longer reads: discard the rest.
            return
        self._incoming.write(data)
        try:
            if not self._established and not self._shake_hands():
                return
            self._read()
        except ssl.SSLError as error:
            _log.debug("TLS failed", reason=str(error))
            self._flush()
            self._transport.close()

    def eof_received(self) -> bool:
        """Close: in TLS, ``close_notify`` and not the end of TCP closes one half."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that the connection is closed."""
        self._timer.cancel()
        if self._established:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pause the protocol: the client reads too slowly."""
        if self._established:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Resume the protocol."""
        if self._established:
            self._inner.resume_writing()

    def write(self, data: bytes) -> None:
        """Encrypt and send bytes."""
        if not self._output_ended:
            self._tls.write(data)
            self._flush()

    def end_output(self) -> None:
        """Close the sending half with ``close_notify``."""
        if self._output_ended:
            return
        self._output_ended = True
        # OpenSSL wants to wait for the client's close_notify, which is not needed.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._flush()
        self._timer.cancel()
        self._established = True
        self._inner.connection_made(_ClearTransport(self, self._transport))
        return True

    def _read(self) -> None:
        while not self._input_ended:
            try:
                data = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            if data:
                self._inner.data_received(data)
            else:
                self._input_ended = True
                self._inner.eof_received()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())


class _ClearTransport(asyncio.Transport):
    """The transport that the inner protocol uses."""

    def __init__(self, layer: TLSLayer, transport: asyncio.Transport) -> None:
        super().__init__()
        self._layer = layer
        self._below = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._layer.write(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._layer.end_output()

    def close(self) -> None:
        self._layer.end_output()
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)
