"""The addresses an engine listens on, in dockerd's forms of ``--host``."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal


__all__ = ["DEFAULT_TCP_PORT", "DEFAULT_TLS_PORT", "Host", "parse_host"]

DEFAULT_TCP_PORT: Final = 2375
DEFAULT_TLS_PORT: Final = 2376


@dataclass(frozen=True, slots=True)
class Host:
    """An address to listen on.

    Attributes:
        kind: the kind of socket; ``fd`` is one that systemd has opened.
        path: the path of a unix socket; the number or name of an ``fd``, empty for all.
        address: the TCP address; ``0.0.0.0`` or ``::`` for every address.
        port: the TCP port.
    """

    kind: Literal["unix", "tcp", "fd"]
    path: str = ""
    address: str = ""
    port: int = 0

    @property
    def loopback(self) -> bool:
        """Whether it can be reached from this machine only."""
        if self.kind != "tcp":
            return True
        if self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.kind == "tcp":
            address = f"[{self.address}]" if ":" in self.address else self.address
            return f"tcp://{address}:{self.port}"
        return f"{self.kind}://{self.path}"


def parse_host(text: str, *, tls: bool = False) -> Host:
    """Parse one value of ``--host``.

    Args:
        text: such as ``unix:///run/palan.sock``, ``tcp://127.0.0.1:2375`` or ``fd://``.
        tls: whether TCP uses TLS, which decides the default port.

    Raises:
        ValueError: it is malformed; with dockerd's ``invalid bind address``.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator and scheme:
        scheme, rest = "tcp", scheme
    if scheme == "unix":
        if rest and not rest.startswith("/"):
            raise ValueError(_invalid(text, "the path of a unix socket must be absolute"))
        return Host("unix", path=rest or "/run/palan.sock")
    if scheme == "fd":
        return Host("fd", path="" if rest == "*" else rest)
    if scheme == "tcp":
        address, port = _address_and_port(text, rest)
        if port is None:
            port = DEFAULT_TLS_PORT if tls else DEFAULT_TCP_PORT
        return Host("tcp", address=address, port=port)
    raise ValueError(_invalid(text, f"unsupported proto: {scheme}"))


def _address_and_port(text: str, rest: str) -> tuple[str, int | None]:
    if rest.startswith("["):
        address, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(_invalid(text, "an IPv6 address is written [address]:port"))
        port = tail[1:]
    else:
        address, _, port = rest.partition(":")
        if ":" in port:
            raise ValueError(_invalid(text, "an IPv6 address is written [address]:port"))
    if any(character in address for character in "/?#@"):
        raise ValueError(_invalid(text, "should not contain a path, a query or a user"))
    # As in dockerd, an address that is left out is not every address.
    address = address or "localhost"
    if not port:
        return address, None
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(_invalid(text, f"invalid port {port}"))
    return address, int(port)


def _invalid(text: str, why: str) -> str:
    return f"invalid bind address ({text}): {why}"
