"""Names of registries: the servers of each, and whether TLS is required.

No I/O: a function passed by the caller resolves host names. The rules are dockerd's; Docker Hub
has one name in image names (``docker.io``), one for credentials
(``https://index.docker.io/v1/``) and one for requests (``registry-1.docker.io``).
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from palan.api.errors import InvalidParameter


__all__ = [
    "ALWAYS_INSECURE",
    "HUB",
    "HUB_ADDRESS",
    "Endpoint",
    "InsecureRegistries",
    "endpoints",
    "server_host",
    "split_host",
]

HUB: Final = "registry-1.docker.io"
"""The host that serves Docker Hub."""

HUB_ADDRESS: Final = "https://index.docker.io/v1/"
"""The server address under which clients keep credentials of Docker Hub."""

_HUB_NAMES: Final = frozenset({"docker.io", "index.docker.io"})

_HOST_PORT: Final = re.compile(
    r"(?P<host>[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?",
    re.IGNORECASE | re.ASCII,
)

ALWAYS_INSECURE: Final = ("::1/128", "127.0.0.0/8")
"""Networks in which registries may have an invalid certificate, or no TLS."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server that has a registry's content.

    Attributes:
        scheme: ``https`` or ``http``.
        host: ``host`` or ``host:port``.
        verify: whether its certificate must be valid.
        mirror: whether it is a mirror, which never receives the registry's credentials.
        path: the part of a mirror's URL in front of ``/v2/``.
    """

    scheme: str
    host: str
    verify: bool = True
    mirror: bool = False
    path: str = ""

    @property
    def base(self) -> str:
        """The root of the distribution API at this server."""
        return f"{self.scheme}://{self.host}{self.path}/v2/"


def server_host(address: str) -> str:
    """Return the ``host`` or ``host:port`` of a server address as clients write it.

    Schemes and paths (``/v1/``, ``/v2/``) are ignored; which of them work is found by asking
    the server. An empty address means Docker Hub.

    Raises:
        InvalidParameter: the address contains no host.
    """
    text = address.strip() or HUB_ADDRESS
    scheme, separator, rest = text.partition("://")
    host = re.split(r"[/?#]", rest if separator else text, maxsplit=1)[0]
    if separator and scheme.lower() not in ("http", "https"):
        raise InvalidParameter("unable to parse server address: the scheme must be http or https")
    if not _is_host_port(host):
        # The message does not repeat the address, which may contain a password.
        raise InvalidParameter("unable to parse server address: it must be host or host:port")
    return host.lower()


def endpoints(
    host: str, *, insecure: Callable[[str], bool], mirrors: Iterable[str] = ()
) -> tuple[Endpoint, ...]:
    """Return the servers that have the content of a registry, in the order to try them.

    Args:
        host: the registry, as returned by :func:`server_host`.
        insecure: whether a ``host[:port]`` may be used without TLS or with an invalid certificate.
        mirrors: URLs of mirrors of Docker Hub; omit them to check credentials or to push.
    """
    if host in _HUB_NAMES:
        return (*(_mirror(url, insecure) for url in mirrors), Endpoint("https", HUB))
    if not insecure(host):
        return (Endpoint("https", host),)
    return Endpoint("https", host, verify=False), Endpoint("http", host, verify=False)


def split_host(host: str) -> tuple[str, int | None]:
    """Split ``host:port``; brackets around an IPv6 address are removed."""
    match = _HOST_PORT.fullmatch(host)
    if match is None:
        return host.strip("[]"), None
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


class InsecureRegistries:
    """Decides which registries may be used without TLS or with an invalid certificate.

    Loopback addresses always may. An entry ``host[:port]`` matches exactly; one in CIDR
    notation matches all servers with an address in that network.
    """

    def __init__(
        self, entries: Iterable[str] = (), resolve: Callable[[str], Iterable[str]] | None = None
    ) -> None:
        """Parse the entries of ``insecure-registries``.

        Args:
            entries: hosts and networks.
            resolve: returns the addresses of a host name, none if it has none; may block.
                Without it only literal addresses are compared with networks.
        """
        self._resolve = resolve or (lambda _name: ())
        self._hosts = {"localhost"}
        self._networks: list[_Network] = []
        for entry in (*ALWAYS_INSECURE, *entries):
            try:
                if "/" not in entry:
                    raise ValueError(entry)  # noqa: TRY301 - ip_network takes bare addresses too
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(entry.lower())

    def __call__(self, host: str) -> bool:
        """Whether ``host[:port]`` may be used so; blocks as ``resolve`` does."""
        host = host.lower()
        if host in _HUB_NAMES:
            return False
        name, _port = split_host(host)
        if host in self._hosts or name == "localhost":
            return True
        addresses = [name] if _address(name) is not None else self._resolve(name)
        return any(self._within(address) for address in addresses)

    def _within(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # Compare an IPv4-mapped IPv6 address with IPv4 networks.
    return getattr(address, "ipv4_mapped", None) or address


def _is_host_port(text: str) -> bool:
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    return not text.startswith("[") or _address(match["host"].strip("[]")) is not None


def _mirror(url: str, insecure: Callable[[str], bool]) -> Endpoint:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return Endpoint(
        parts.scheme, host, verify=not insecure(host), mirror=True, path=parts.path.rstrip("/")
    )
