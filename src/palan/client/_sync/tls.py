# Made of _async/tls.py by scripts/client_sync.py: change that, and run this.
"""TLS over any stream, with the half-close that asyncio's own does not have.

Attach and exec say the end of standard input by ending one direction, also over TLS.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable
from typing import Final

from palan.client._sync.io import Stream
from palan.client.errors import ConnectFailed, ConnectionLost


__all__ = ["TLSStream"]

_READ: Final = 1 << 17


class TLSStream:
    """A stream within a stream."""

    def __init__(self, stream: Stream, context: ssl.SSLContext, host: str) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._eof = False
        # One thread may read while another writes, and OpenSSL does not like that.
        self._lock = threading.Lock()

    def handshake(self, timeout: float | None) -> None:
        """Agree on keys and see who is there.

        Raises:
            ConnectFailed: the certificate is not good, or ours is not.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(timeout)
                if not self._fill(timeout):
                    raise ConnectFailed("the engine ended the connection within TLS") from None
            except ssl.SSLError as error:
                self._flush(timeout)
                raise ConnectFailed(f"TLS: {_words(error)}") from None
            else:
                self._flush(timeout)
                return

    @property
    def has_input(self) -> bool:
        """Whether :meth:`read` may answer at once."""
        return self._eof or bool(self._tls.pending()) or self._stream.has_input

    def is_idle(self) -> bool:
        """Whether the connection is open and the other side has said nothing unasked."""
        return not self._eof and self._stream.is_idle()

    def read(self, timeout: float | None) -> bytes:
        """What has come in; waits for at least a byte, and gives none at the end."""
        while not self._eof:
            try:
                with self._lock:
                    data = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                self._flush(timeout)
                if not self._fill(timeout):
                    # Without the end of TLS, somebody may have cut the connection.
                    raise ConnectionLost("the connection ended without the end of TLS") from None
            except ssl.SSLZeroReturnError:
                data = b""
                self._eof = True
            except ssl.SSLError as error:
                raise ConnectionLost(f"TLS: {_words(error)}") from None
            else:
                if data:
                    return data
                self._eof = True
        return b""

    def read_into(self, feed: Callable[[memoryview], None], timeout: float | None) -> bool:
        """Hand over what has come in, and tell whether there was something: not at the end."""
        data = self.read(timeout)
        if data:
            feed(memoryview(data))
        return bool(data)

    def write(self, data: bytes, timeout: float | None, *, gather: bool = True) -> None:
        """Send bytes; waits while the other side is behind."""
        try:
            with self._lock:
                self._tls.write(data)
        except ssl.SSLError as error:
            raise ConnectionLost(f"TLS: {_words(error)}") from None
        self._flush(timeout, gather=gather)

    def write_eof(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        # It wants the other side's end as well, which comes when it comes.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush(None)

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    def abort(self) -> None:
        """End the connection without waiting for anything."""
        self._stream.abort()

    def complaint(self) -> str:
        """What is known about why it ended."""
        return self._stream.complaint()

    def _flush(self, timeout: float | None, *, gather: bool = True) -> None:
        if self._outgoing.pending:
            self._stream.write(self._outgoing.read(), timeout, gather=gather)

    def _fill(self, timeout: float | None) -> bool:
        data = self._stream.read(timeout)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the engine's certificate is not good: {error.verify_message}"
    return str(error.reason or error).replace("_", " ").lower()
