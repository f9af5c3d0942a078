"""HTTP proxies: the proxy to use for a server, if any.

The variables have the meaning that dockerd inherits from Go: ``HTTP_PROXY``, ``HTTPS_PROXY``
and ``NO_PROXY``, in upper or lower case; loopback addresses are always reached directly.
"""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit


__all__ = ["Proxies", "Proxy", "mask_credentials"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy and the value of ``Proxy-Authorization`` for it."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies for ``http`` and ``https``; "" means a direct connection.

    Attributes:
        http: URL of the proxy for ``http`` servers.
        https: URL of the proxy for ``https`` servers.
        no_proxy: hosts, domains and networks without proxy, separated by commas; ``*`` is all.
    """

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    no_proxy: str = ""

    @classmethod
    def configured(
        cls, environ: Mapping[str, str], *, http: str = "", https: str = "", no_proxy: str = ""
    ) -> Self:
        """Return the given settings, completed from the environment."""
        return cls(
            http or _variable(environ, "HTTP_PROXY"),
            https or _variable(environ, "HTTPS_PROXY"),
            no_proxy or _variable(environ, "NO_PROXY"),
        )

    def for_server(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for a server, None for a direct connection.

        Raises:
            ValueError: the configured URL is not that of an HTTP proxy.
        """
        url = self.https if scheme == "https" else self.http
        if not url or self._direct(host.lower().rstrip("."), port):
            return None
        return _proxy(url if "://" in url else f"http://{url}")

    def _direct(self, host: str, port: int) -> bool:
        address = _address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        entries = (entry.strip().lower() for entry in self.no_proxy.split(","))
        return any(_matches(entry, host, port, address) for entry in entries if entry)


def mask_credentials(url: str) -> str:
    """Replace the credentials in a proxy's URL by ``xxxxx``."""
    scheme, colon, rest = url.rpartition("://")
    credentials, at, address = rest.rpartition("@")
    return f"{scheme}{colon}xxxxx:xxxxx@{address}" if credentials or at else url


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _matches(entry: str, host: str, port: int, address: _Address | None) -> bool:
    if entry == "*":
        return True
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port not in ("", str(port)):
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, str]:
    if _address(entry) is not None:
        return entry, ""
    name, colon, port = entry.rpartition(":")
    return (name.strip("[]"), port) if colon and port.isdecimal() else (entry.strip("[]"), "")


def _proxy(url: str) -> Proxy:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise ValueError("the proxy's address is not a URL") from None
    if parts.scheme != "http" or not parts.hostname:
        # The message does not repeat the URL, which may contain a password.
        raise ValueError("only proxies with an address like http://host:port are supported")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, port, authorization)


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""
