"""Why a server could not be asked, in words: Go's, which is what dockerd's users know."""

import http.client
import ssl


__all__ = ["BrokenOff", "PlainHTTP", "TransportError", "reason_of"]


class TransportError(Exception):
    """No answer was got; the text says why and holds no credentials."""


class BrokenOff(TransportError):
    """There was a connection, and it ended before the answer did: asking again may help."""


class PlainHTTP(TransportError):
    """TLS was spoken to a server that has none."""


def reason_of(error: Exception, doing: str = "awaiting headers") -> str:
    """Why a request failed; never the error's own text, which may quote a header."""
    if isinstance(error, TimeoutError):
        return f"net/http: request canceled (Client.Timeout exceeded while {doing})"
    if isinstance(error, (http.client.RemoteDisconnected, ssl.SSLEOFError)):
        return "EOF"
    if isinstance(error, http.client.InvalidURL):
        return "invalid URL"
    if isinstance(error, OSError):
        return _os_reason(error)
    if isinstance(error, http.client.IncompleteRead):
        return "unexpected EOF"
    return "net/http: HTTP/1.x transport connection broken: malformed HTTP response"


def _os_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        # With TLS 1.3, a certificate of ours that is not liked is told of only now.
        words = error.reason.lower().partition("alert_")
        return f"remote error: tls: {(words[2] or words[0]).replace('_', ' ')}"
    return (error.strerror or "connection broken").lower()
