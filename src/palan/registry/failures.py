"""Errors of requests to servers. The wording is Go's, which users of dockerd know."""

import http.client
import ssl


__all__ = ["ConnectionBroken", "PlainHTTP", "TransportError", "reason_of"]


class TransportError(Exception):
    """No answer was received; the message says why and contains no credentials."""


class ConnectionBroken(TransportError):
    """The connection broke before the answer was complete; a retry may succeed."""


class PlainHTTP(TransportError):
    """TLS was attempted with a server that speaks plain HTTP."""


def reason_of(error: Exception, doing: str = "awaiting headers") -> str:
    """Return the reason of a failure; never the error's own text, which may quote a header."""
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
        # With TLS 1.3 the server reports a rejected client certificate only after the handshake.
        words = error.reason.lower().partition("alert_")
        return f"remote error: tls: {(words[2] or words[0]).replace('_', ' ')}"
    return (error.strerror or "connection broken").lower()
