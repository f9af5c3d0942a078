"""HTTP responses with complete headers.

``http.client`` takes the end of the connection for the end of the headers and would continue
with the headers received so far, without a length or a digest.
"""

import http.client
import io


__all__ = ["CompleteResponse"]


class CompleteResponse(http.client.HTTPResponse):
    """A response that fails to parse if the connection ends within its headers."""

    def begin(self) -> None:
        """Read the status line and the headers.

        Raises:
            IncompleteRead: the connection ended within the headers.
            HTTPException: the response is malformed.
        """
        lines = _Lines(self.fp)
        self.fp = lines  # type: ignore[assignment]  # begin() only reads lines
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
    """A reader of lines that remembers the last one."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        self.file.close()
