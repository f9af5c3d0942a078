"""``resolv.conf``: reading the host's and composing a container's.  Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from palan.api.containers import HostConfig
from palan.engine.config import EngineConfig


__all__ = [
    "EMBEDDED",
    "Resolvers",
    "container_resolv_conf",
    "ndots",
    "parse_resolv_conf",
    "resolv_conf",
]

EMBEDDED = "127.0.0.11"
"""Where the engine answers containers on user-defined networks."""

PUBLIC_RESOLVERS = ("8.8.8.8", "8.8.4.4")
"""Docker's choice where the host names only resolvers that a container can't reach."""


def container_resolv_conf(
    host: str, host_config: HostConfig, config: EngineConfig, *, embedded: bool
) -> str:
    """Return the text of a container's ``resolv.conf``.

    Args:
        host: the text of the host's file.
        host_config: the settings of the container.
        config: the engine's configuration, with the defaults of these.
        embedded: whether the container asks the engine's own name server.
    """
    return resolv_conf(
        host,
        servers=host_config.dns or config.dns,
        search=host_config.dns_search or config.dns_search,
        options=host_config.dns_options or config.dns_opts,
        own_namespace=host_config.network_mode != "host",
        embedded=embedded,
    )


def resolv_conf(
    host: str,
    *,
    servers: Sequence[str],
    search: Sequence[str],
    options: Sequence[str],
    own_namespace: bool,
    embedded: bool = False,
) -> str:
    """The text of ``/etc/resolv.conf``.

    Args:
        host: the host's file.
        servers: resolvers that replace the host's, if any.
        search: domains that replace the host's; ``.`` for none at all.
        options: options that replace the host's.
        own_namespace: whether resolvers on the host's loopback are out of reach.
        embedded: whether the engine itself is asked, which asks the others.
    """
    parsed = parse_resolv_conf(host)
    nameservers = list(servers) or [
        s for s in parsed.servers if not (own_namespace and _is_loopback(s))
    ]
    if not nameservers:
        nameservers = list(PUBLIC_RESOLVERS) if own_namespace else parsed.servers
    domains = list(search) or parsed.search
    chosen = list(options) or parsed.options
    if embedded:
        nameservers = [EMBEDDED]
        if not any(option.startswith("ndots:") for option in chosen):
            chosen = [*chosen, "ndots:0"]
    lines = [f"nameserver {s}" for s in nameservers]
    if domains and domains != ["."]:
        lines.append("search " + " ".join(domains))
    if chosen:
        lines.append("options " + " ".join(chosen))
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class Resolvers:
    """What a ``resolv.conf`` says."""

    servers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


def ndots(options: Iterable[str]) -> int:
    """How many dots a name must have to be asked for as it is, of what is asked for; else 0."""
    found = 0
    for option in options:
        name, _, value = option.partition(":")
        if name == "ndots" and value.isdecimal():
            found = int(value[:3])
    return found


def parse_resolv_conf(text: str) -> Resolvers:
    """Read one, as far as anybody can."""
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
