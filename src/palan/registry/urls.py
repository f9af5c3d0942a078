"""URLs of registries: their servers, redirects, and display without secrets.

No I/O. URLs come from servers that may be malicious, so the accepted syntax is narrow.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from palan.registry.failures import TransportError


__all__ = ["Origin", "origin_of", "redacted", "redirected", "request_target"]

_HOST: Final = re.compile(r"[a-z0-9._:-]+", re.ASCII)


class Origin(NamedTuple):
    """The server that a URL names."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(url: str) -> Origin:
    """Return the server of an absolute URL.

    Raises:
        TransportError: the URL is malformed or not one of HTTP.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TransportError("invalid URL") from None
    if parts.scheme not in ("http", "https"):
        raise TransportError("unsupported protocol scheme: a URL must begin with http or https")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or parts.username is not None:
        raise TransportError("invalid character in host name")
    return Origin(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


def redacted(url: str) -> str:
    """Return a URL for messages: without query and user, which may contain secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redirected(url: str, location: str, insecure: Callable[[str], bool]) -> tuple[str, bool]:
    """Resolve a redirect; return the target and whether it may receive credentials.

    A redirect may lead to any server with TLS, but to plain HTTP only on the same server or on
    one that may be used without TLS. Credentials are sent only to the original host.

    Raises:
        TransportError: the target is malformed or not allowed.
    """
    try:
        target = urljoin(url, quote(location, safe="!#$%&'()*+,/:;=?@[]~"))
    except ValueError:
        raise TransportError("invalid URL in a redirect") from None
    old, new = origin_of(url), origin_of(target)
    if new.scheme == "http" and new != old and not insecure(new.address):
        raise TransportError(f"refused to follow a redirect to {redacted(target)}, without TLS")
    return target, new == old or (new.host == old.host and new.scheme == "https")


def request_target(url: str) -> str:
    """Return the request target (path and query) of a URL."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
