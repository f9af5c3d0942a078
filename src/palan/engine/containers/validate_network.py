"""Validation of the network mode, and of options that it excludes."""

import ipaddress
from typing import Final

from palan.api import Unset
from palan.api.containers import ContainerConfig, HostConfig
from palan.api.errors import InvalidParameter
from palan.engine.networks.port_parsing import check_address
from palan.engine.networks.validate_endpoint import parse_link


__all__ = ["validate_network_mode"]

_NO_LINKS: Final = "can't be used with links. This would result in undefined behavior"


def validate_network_mode(config: ContainerConfig, host_config: HostConfig) -> None:
    """Refuse options that have no meaning in the network mode.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    mode = host_config.network_mode
    if mode == "container" or mode.startswith("container:"):
        _check_shared(config, host_config, mode.partition(":")[2])
    if host_config.uts_mode == "host" and config.hostname:
        raise InvalidParameter("conflicting options: hostname and the UTS mode")
    if mode == "host" and host_config.links:
        raise InvalidParameter(f"conflicting options: host type networking {_NO_LINKS}")
    for link in host_config.links or ():
        parse_link(link)
    for what, values in (
        ("Dns", host_config.dns),
        ("DnsSearch", host_config.dns_search),
        ("DnsOptions", host_config.dns_options),
        ("ExtraHosts", host_config.extra_hosts),
    ):
        # A line break would begin another line of resolv.conf or hosts.
        if any(character < " " for value in values or () for character in value):
            raise InvalidParameter(f"invalid {what}: it contains control characters")
    check_address(*(host_config.dns or ()))
    for entry in host_config.extra_hosts or ():
        _check_extra_host(entry)


def _check_shared(config: ContainerConfig, host_config: HostConfig, container: str) -> None:
    if not container:
        raise InvalidParameter("invalid network mode: invalid container format container:<name|id>")
    published = host_config.port_bindings or host_config.publish_all_ports
    exposed = not isinstance(config.exposed_ports, Unset) and config.exposed_ports
    for present, what in (
        (config.hostname, "hostname and the network mode"),
        (host_config.links, f"container type network {_NO_LINKS}"),
        (host_config.dns, "dns and the network mode"),
        (host_config.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (published, "port publishing and the container type network mode"),
        (exposed, "port exposing and the container type network mode"),
    ):
        if present:
            raise InvalidParameter(f"conflicting options: {what}")


def _check_extra_host(entry: str) -> None:
    name, colon, address = entry.partition(":")
    if not colon or not name:
        raise InvalidParameter(f'bad format for add-host: "{entry}"')
    if address == "host-gateway":
        return
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidParameter(f'invalid IP address in add-host: "{address}"') from None
