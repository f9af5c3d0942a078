"""Validation of the settings of endpoints: addresses, names of interfaces, sysctls, links."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from palan.api.containers import EndpointIPAMConfig, EndpointSettings, NetworkingConfig
from palan.api.errors import InvalidParameter
from palan.engine.networks.port_parsing import check_address
from palan.host.interface_names import interface_problem


__all__ = [
    "IFNAME",
    "SYSCTLS",
    "allows_ipv6",
    "disables_ipv6",
    "is_user_defined",
    "parse_link",
    "validate_endpoint",
    "validate_networking",
]

IFNAME: Final = "com.docker.network.endpoint.ifname"
SYSCTLS: Final = "com.docker.network.endpoint.sysctls"

_MAC_ADDRESS: Final = re.compile(
    r"[0-9a-f]{2}(:[0-9a-f]{2}){5}|[0-9a-f]{2}(-[0-9a-f]{2}){5}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}",
    re.IGNORECASE | re.ASCII,
)

Network = IPv4Network | IPv6Network

_PREDEFINED: Final = frozenset({"", "default", "bridge", "host", "none"})


def is_user_defined(mode: str) -> bool:
    """Return whether a network mode is the name of a user-defined network."""
    return mode not in _PREDEFINED and not mode.startswith("container:")


def parse_link(text: str) -> tuple[str, str]:
    """Split a link, ``container:alias`` or ``container``, into container and alias.

    Raises:
        InvalidParameter: the link is malformed; in dockerd's words.
    """
    if not text:
        raise InvalidParameter("empty string specified for links")
    container, colon, alias = text.partition(":")
    if ":" in alias:
        raise InvalidParameter(f"bad format for links: {text}")
    if container.startswith("/"):
        # As inspect shows it: /container:/self/alias.
        return container[1:], alias.rpartition("/")[2]
    return container, alias if colon else container


def validate_networking(
    networking: NetworkingConfig | None,
    subnets_of: Callable[[str], Sequence[Network] | None],
) -> None:
    """Check the endpoints of ``NetworkingConfig``; the error lists all problems.

    Args:
        networking: the endpoints asked for.
        subnets_of: returns the subnets of a network; None for one that does not exist (yet).

    Raises:
        InvalidParameter: in dockerd's words.
    """
    endpoints = (networking.endpoints_config if networking else None) or {}
    problems = []
    for given, settings in endpoints.items():
        name = "bridge" if given == "default" else given
        if settings is None:
            problems.append(f"invalid config for network {name}: EndpointsConfig is nil")
            continue
        found = endpoint_problems(name, settings, subnets_of(name))
        if found:
            problems.append(
                f"invalid config for network {name}: invalid endpoint settings:\n{_join(found)}"
            )
    if problems:
        raise InvalidParameter(_join(problems))


def validate_endpoint(
    network: str, settings: EndpointSettings, subnets: Sequence[Network] | None
) -> None:
    """Check the settings of one endpoint, as connecting to a network does.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    problems = endpoint_problems(network, settings, subnets)
    if problems:
        raise InvalidParameter(f"invalid endpoint settings:\n{_join(problems)}")


def endpoint_problems(
    network: str, settings: EndpointSettings, subnets: Sequence[Network] | None
) -> list[str]:
    """Return all problems with the settings of an endpoint.

    Args:
        network: the name of the network.
        settings: the settings asked for; the MAC address is put into canonical form.
        subnets: the subnets of the network; None if it does not exist (yet).

    Raises:
        InvalidParameter: an address can't be parsed, which dockerd finds while decoding.
    """
    ipam = settings.ipam_config or EndpointIPAMConfig()
    local = list(ipam.link_local_ips or ())
    check_address(ipam.ipv4_address, ipam.ipv6_address, *local)
    if settings.mac_address:
        settings.mac_address = _mac_address(settings.mac_address)
    problems = []
    if not is_user_defined(network):
        if ipam.ipv4_address or ipam.ipv6_address:
            problems.append("user-specified IP address is supported on user-defined networks only")
        if settings.aliases:
            problems.append("network-scoped aliases are only supported for user-defined networks")
    v4, v6 = _address(ipam.ipv4_address), _address(ipam.ipv6_address)
    if v4 is not None and (not isinstance(v4, IPv4Address) or v4.is_unspecified):
        problems.append(f"invalid IPv4 address: {v4}")
    if v6 is not None and (
        not isinstance(v6, IPv6Address) or v6.is_unspecified or v6.scope_id is not None
    ):
        problems.append(f"invalid IPv6 address: {v6}")
    problems += (
        f"invalid link-local IP address: {text or 'invalid IP'}"
        for text in local
        if not text or ipaddress.ip_address(text).is_unspecified
    )
    if subnets is not None:
        problems += (
            f"no configured subnet contains IP address {address}"
            for address in (v4, v6)
            if address is not None and not any(address in subnet for subnet in subnets)
        )
    options = settings.driver_opts or {}
    if problem := interface_problem(options.get(IFNAME, "")):
        problems.append(problem)
    problems += _sysctl_problems(options.get(SYSCTLS))
    return problems


def allows_ipv6(sysctls: Mapping[str, str]) -> bool:
    """Return whether a container with these sysctls may have IPv6 addresses."""
    return not any(
        name.replace("/", ".") == "net.ipv6.conf.all.disable_ipv6" and value.strip() == "1"
        for name, value in sysctls.items()
    )


def disables_ipv6(options: Mapping[str, str]) -> bool:
    """Return whether the options of an endpoint disable IPv6 on its interface."""
    return any(
        sysctl.lower().replace(" ", "") == "net.ipv6.conf.ifname.disable_ipv6=1"
        for sysctl in options.get(SYSCTLS, "").split(",")
    )


def _mac_address(text: str) -> str:
    """Return a MAC address in canonical form; it may be given in any of the three usual forms.

    Raises:
        InvalidParameter: the text is not a MAC address, or not that of a single interface.
    """
    if not _MAC_ADDRESS.fullmatch(text):
        raise InvalidParameter(f"invalid JSON: address {text}: invalid MAC address")
    octets = bytes.fromhex(re.sub("[:.-]", "", text))
    if octets[0] & 1 or not any(octets):
        raise InvalidParameter(f"invalid MAC address: {text} is not the address of one interface")
    return octets.hex(":")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if not text:
        return None
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _sysctl_problems(text: str | None) -> Iterable[str]:
    for sysctl in text.split(",") if text is not None else ():
        parts = sysctl.split(".", 4)
        if (
            len(parts) != 5
            or parts[1] not in ("ipv4", "ipv6", "mpls")
            or parts[3] not in ("IFNAME", "ifname")
        ):
            yield (
                f"unrecognised network interface sysctl '{sysctl}'; represent"
                " 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )


def _join(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0].strip()
    indented = (problem.replace("\n", "\n\t") for problem in problems)
    return "* " + "\n* ".join(indented)
