"""The three files that every container gets: ``hostname``, ``hosts`` and ``resolv.conf``.

They are written at start, when its addresses are known, and bind-mounted.  The
functions that make their texts are pure.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palan.api.errors import InvalidParameter


__all__ = [
    "EMBEDDED",
    "Resolvers",
    "hosts_file",
    "ndots",
    "parse_resolv_conf",
    "resolv_conf",
    "write_files",
]

_LOCALHOST = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""

EMBEDDED = "127.0.0.11"
"""Where the engine answers containers on user-defined networks."""

PUBLIC_RESOLVERS = ("8.8.8.8", "8.8.4.4")
"""Docker's choice where the host names only resolvers that a container can't reach."""


def hosts_file(
    extra_hosts: Iterable[str],
    *,
    addresses: Iterable[str],
    names: Sequence[str],
    gateways: Sequence[str],
    links: Iterable[str] = (),
) -> str:
    """The text of ``/etc/hosts``.

    Args:
        extra_hosts: ``name:address``, the address perhaps ``host-gateway``.
        addresses: the container's own addresses.
        names: the names for each.
        gateways: what ``host-gateway`` means.
        links: lines for the containers that it is linked to.

    Raises:
        InvalidParameter: that is asked for where it means nothing.
    """
    lines = [_LOCALHOST]
    for entry in extra_hosts:
        # Both "name:address" and "name=address" are in use; IPv6 has colons itself.
        separator = "=" if "=" in entry else ":"
        name, _, target = entry.partition(separator)
        target = target.strip("[]")
        targets = gateways if target == "host-gateway" else [target]
        if not targets:
            raise InvalidParameter("unable to derive the IP value for host-gateway")
        lines += (f"{each}\t{name}\n" for each in targets)
    lines += (f"{address}\t{' '.join(names)}\n" for address in addresses)
    lines += (f"{line}\n" for line in links)
    return "".join(lines)


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


def write_files(directory: Path, *, hostname: str, hosts: str, resolv: str) -> None:
    """Write the files in place: they may be bind-mounted, so their inodes must stay."""
    for name, text in (("hostname", f"{hostname}\n"), ("hosts", hosts), ("resolv.conf", resolv)):
        (directory / name).write_text(text)
