"""TLS over a stream, with half-close, which asyncio's own TLS does not have.

Attach and exec signal the end of standard input by closing one direction, also with TLS.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable
from typing import Final

from palan.client._async.io import AsyncStream
from palan.client.errors import ConnectFailed, ConnectionLost


__all__ = ["AsyncTLSStream"]

_READ_SIZE: Final = 1 << 17


class AsyncTLSStream:
    """A TLS connection over a stream, with the same methods as the stream."""

    def __init__(self, stream: AsyncStream, context: ssl.SSLContext, host: str) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._eof = False
        # One thread may read while another writes, which OpenSSL does not allow.
        self._lock = threading.Lock()

    async def handshake(self, timeout: float | None) -> None:
        """Do the TLS handshake, and verify the engine's certificate.

        Raises:
            ConnectFailed: the engine's certificate is invalid, or it refuses the client's.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush(timeout)
                if not await self._fill(timeout):
                    raise ConnectFailed("the engine ended the connection within TLS") from None
            except ssl.SSLError as error:
                await self._flush(timeout)
                raise ConnectFailed(f"TLS: {_message(error)}") from None
            else:
                await self._flush(timeout)
                return

    @property
    def has_input(self) -> bool:
        """Whether :meth:`read` may return at once."""
        return self._eof or bool(self._tls.pending()) or self._stream.has_input

    def is_idle(self) -> bool:
        """Return whether the connection is open and has no unread bytes."""
        return not self._eof and self._stream.is_idle()

    async def read(self, timeout: float | None) -> bytes:
        """Wait for bytes and return them; ``b""`` at the end of the stream."""
        while not self._eof:
            try:
                with self._lock:
                    data = self._tls.read(_READ_SIZE)
            except ssl.SSLWantReadError:
                await self._flush(timeout)
                if not await self._fill(timeout):
                    # Without close_notify, the connection may have been cut by an attacker.
                    raise ConnectionLost("the connection ended without the end of TLS") from None
            except ssl.SSLZeroReturnError:
                data = b""
                self._eof = True
            except ssl.SSLError as error:
                raise ConnectionLost(f"TLS: {_message(error)}") from None
            else:
                if data:
                    return data
                self._eof = True
        return b""

    async def read_into(self, feed: Callable[[memoryview], None], timeout: float | None) -> bool:
        """Wait for bytes and pass them to ``feed``; return false at the end of the stream."""
        data = await self.read(timeout)
        if data:
            feed(memoryview(data))
        return bool(data)

    async def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; wait while the other side does not read."""
        try:
            with self._lock:
                self._tls.write(data)
        except ssl.SSLError as error:
            raise ConnectionLost(f"TLS: {_message(error)}") from None
        await self._flush(timeout, gather=gather)

    async def write_eof(self) -> None:
        """Send close_notify; reading remains possible."""
        # unwrap() raises because it also wants the other side's close_notify, which comes later.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush(None)

    async def close(self) -> None:
        """Close the connection."""
        await self._stream.close()

    def abort(self) -> None:
        """Close the connection without waiting for anything."""
        self._stream.abort()

    def error_output(self) -> str:
        """Return the error output of ssh, if the connection goes through it."""
        return self._stream.error_output()

    async def _flush(self, timeout: float | None, *, gather: bool = True) -> None:
        if self._outgoing.pending:
            await self._stream.write(self._outgoing.read(), timeout, gather=gather)

    async def _fill(self, timeout: float | None) -> bool:
        data = await self._stream.read(timeout)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)


def _message(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the engine's certificate is not valid: {error.verify_message}"
    return str(error.reason or error).replace("_", " ").lower()
