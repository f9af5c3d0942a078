"""``resolv.conf``: reading the host's file and composing a container's.  Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from palan.engine.config import EngineConfig


__all__ = ["EMBEDDED", "DnsSettings", "Resolvers", "ndots", "parse_resolv_conf", "resolv_conf"]

EMBEDDED: Final = "127.0.0.11"
"""The address of the engine's name server for containers on user-defined networks."""

PUBLIC_RESOLVERS: Final = ("8.8.8.8", "8.8.4.4")
"""Docker's choice where the host names only resolvers that a container can't reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """The DNS settings of a container or an engine; empty ones are left to the defaults.

    Attributes:
        servers: addresses of resolvers.
        search: search domains; ``.`` for no domain at all.
        options: options of ``resolv.conf``.
    """

    servers: Sequence[str] = ()
    search: Sequence[str] = ()
    options: Sequence[str] = ()

    def with_defaults(self, config: EngineConfig) -> "DnsSettings":
        """Return these settings, with the engine's where they are empty."""
        return DnsSettings(
            servers=self.servers or config.dns,
            search=self.search or config.dns_search,
            options=self.options or config.dns_opts,
        )


@dataclass(slots=True)
class Resolvers:
    """The contents of a ``resolv.conf``."""

    servers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


def resolv_conf(
    host: str, settings: DnsSettings, *, own_namespace: bool, embedded: bool = False
) -> str:
    """Return the text of a container's ``/etc/resolv.conf``.

    Args:
        host: the text of the host's file.
        settings: the settings that replace the host's.
        own_namespace: whether resolvers on the host's loopback are out of reach.
        embedded: whether the container asks the engine's name server, which asks the others.
    """
    parsed = parse_resolv_conf(host)
    nameservers = list(settings.servers) or [
        s for s in parsed.servers if not (own_namespace and _is_loopback(s))
    ]
    if not nameservers:
        nameservers = list(PUBLIC_RESOLVERS) if own_namespace else parsed.servers
    domains = list(settings.search) or parsed.search
    options = list(settings.options) or parsed.options
    if embedded:
        nameservers = [EMBEDDED]
        if not any(option.startswith("ndots:") for option in options):
            options = [*options, "ndots:0"]
    lines = [f"nameserver {s}" for s in nameservers]
    if domains and domains != ["."]:
        lines.append("search " + " ".join(domains))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def ndots(options: Iterable[str]) -> int:
    """Return the option ``ndots``: names with fewer dots are tried with the search domains first.

    It is 0 unless asked for.
    """
    found = 0
    for option in options:
        name, _, value = option.partition(":")
        if name == "ndots" and value.isdecimal():
            found = int(value[:3])
    return found


def parse_resolv_conf(text: str) -> Resolvers:
    """Read a ``resolv.conf``; lines that make no sense are ignored."""
    found = Resolvers()
    for line in text.splitlines():
        keyword, *values = line.split("#")[0].split() or [""]
        if keyword == "nameserver":
            found.servers += values[:1]
        elif keyword in ("search", "domain"):
            found.search = values
        elif keyword == "options":
            found.options += values
    return found


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
