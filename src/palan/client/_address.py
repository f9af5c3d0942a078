"""The address of an engine, and the parser of its text; no I/O."""

from typing import TYPE_CHECKING, Final, NamedTuple

from palan.client.errors import ConfigError


if TYPE_CHECKING:
    import ssl


__all__ = ["DEFAULT_HOST", "Address", "parse_address"]

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
"""The socket where dockerd listens, and where most other engines listen for docker's clients."""

_PORT: Final = 2375
_TLS_PORT: Final = 2376


class Address(NamedTuple):
    """The address of an engine.

    Attributes:
        scheme: ``unix``, ``tcp`` or ``ssh``.
        path: the unix socket's path; with ``ssh``, on the remote host, empty for the default.
        host: a name or an IP address, for ``tcp`` and ``ssh``.
        port: the port; with ``ssh``, 0 leaves it to ssh's configuration.
        user: with ``ssh``, the user to log in as; empty leaves it to ssh's configuration.
        tls: the TLS context of connections, None for plain ones.
    """

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    tls: "ssl.SSLContext | None" = None

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header."""
        if self.scheme != "tcp":
            return "docker"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}{port}{self.path}"


def parse_address(text: str, tls: "ssl.SSLContext | None" = None) -> Address:
    """Parse ``unix:///run/docker.sock``, ``tcp://host:port`` or ``ssh://user@host``.

    ``http://`` and ``https://`` mean ``tcp://``, without and with TLS; ``host:port`` means
    ``tcp://``, and a path alone ``unix://``.

    Args:
        text: the address.
        tls: the TLS context of connections; None for plain ones.

    Raises:
        ConfigError: the text is not an address.
    """
    if text.startswith("/"):
        return Address("unix", path=text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "unix":
        return Address("unix", path=rest or DEFAULT_HOST.removeprefix("unix://"))
    if scheme not in ("tcp", "http", "https", "ssh"):
        raise ConfigError(f"{text}: the address of an engine begins with unix, tcp or ssh")
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{text}: {error}") from None
    if parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{text}: an address has neither password nor query nor fragment")
    if scheme == "ssh":
        return _ssh_address(text, host, port, unquote(parts.username or ""), parts.path)
    if parts.path not in ("", "/") or parts.username:
        raise ConfigError(f"{text}: only host and port are allowed in such an address")
    if scheme == "https" and tls is None:
        import ssl

        tls = ssl.create_default_context()
    default = _TLS_PORT if tls is not None else _PORT
    return Address("tcp", host=host or "127.0.0.1", port=default if port is None else port, tls=tls)


def _ssh_address(text: str, host: str, port: int | None, user: str, path: str) -> Address:
    # ssh would take a host or user that begins with "-" for an option.
    if not host or host.startswith("-") or user.startswith("-"):
        raise ConfigError(f"{text}: this address has no host")
    return Address("ssh", path=path if path != "/" else "", host=host, port=port or 0, user=user)
