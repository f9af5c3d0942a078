"""URLs of registries: where they lead, what of them may be shown.

Pure.  URLs come from servers that may mean harm, so what can be in one is narrow.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from palan.registry.failures import TransportError


__all__ = ["Origin", "origin_of", "redirected", "request_target", "shown"]

_HOST: Final = re.compile(r"[a-z0-9._:-]+", re.ASCII)


class Origin(NamedTuple):
    """A server as URLs name it."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The server of an absolute URL.

    Raises:
        TransportError: it is none, or not one of HTTP.
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


def shown(url: str) -> str:
    """A URL as messages may show it: without query and user, where secrets may be."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redirected(url: str, location: str, insecure: Callable[[str], bool]) -> tuple[str, bool]:
    """Where a redirect goes, and whether credentials may go there too.

    A redirect may lead anywhere with TLS, but to plain HTTP only on the same server
    or on one that may go without TLS.  Credentials stay with the host they were for.

    Raises:
        TransportError: it leads where we do not go.
    """
    try:
        target = urljoin(url, quote(location, safe="!#$%&'()*+,/:;=?@[]~"))
    except ValueError:
        raise TransportError("invalid URL in a redirect") from None
    old, new = origin_of(url), origin_of(target)
    if new.scheme == "http" and new != old and not insecure(new.address):
        raise TransportError(f"refused to follow a redirect to {shown(target)}, without TLS")
    return target, new == old or (new.host == old.host and new.scheme == "https")


def request_target(url: str) -> str:
    """What a request for a URL asks its server for."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
