"""Answers of HTTP servers whose heads are whole.

``http.client`` takes the end of a connection for the end of the head, and would go on with the
headers that came until then: with a length or a digest missing.
"""

import http.client
import io


__all__ = ["WholeResponse"]


class WholeResponse(http.client.HTTPResponse):
    """An answer; reading it fails if the connection ends within its head."""

    def begin(self) -> None:
        """Read the head.

        Raises:
            IncompleteRead: the connection ended within it.
            HTTPException: it is none.
        """
        lines = _Lines(self.fp)
        self.fp = lines  # type: ignore[assignment]  # all that is asked of it is lines
        try:
            super().begin()
        except http.client.RemoteDisconnected:
            raise
        except http.client.HTTPException:
            if not lines.last.endswith(b"\n"):
                raise http.client.IncompleteRead(b"") from None
            raise
        finally:
            if self.fp is not None:
                self.fp = lines.file
        if lines.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.IncompleteRead(b"")


class _Lines:
    """Remembers the last line that was read."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        self.file.close()
