"""Ports in requests: ``80/tcp``, and the ports of the host at which it is published."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from palan.api import Unset
from palan.api.containers import PortBinding, PortMap
from palan.api.errors import InvalidParameter


__all__ = [
    "PROTOCOLS",
    "Port",
    "PortMapping",
    "check_address",
    "fill_empty_bindings",
    "normal_bindings",
    "normal_exposed",
    "parse_exposed_ports",
    "parse_port",
    "parse_port_bindings",
    "parse_port_range",
    "published_ports",
]

V = TypeVar("V")

_MAX_DIGITS: Final = 9
"""The longest number that is read; Python refuses thousands of digits."""

PROTOCOLS: Final = ("tcp", "udp", "sctp")


class Port(NamedTuple):
    """A port of a container."""

    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of a container, and the address and ports at which to publish it.

    Attributes:
        container_port: the port of the container.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: the address of the host; empty for the default.
        host_ports: the ports of the host to try in turn; empty for any free one.
    """

    container_port: int
    protocol: str
    host_ip: str = ""
    host_ports: Sequence[int] = ()


def parse_port(text: str) -> Port:
    """Read ``80/tcp`` or ``80``; protocols in any case, unknown ones too.

    Raises:
        InvalidParameter: the text is not a port; in dockerd's words.
    """
    number, _, protocol = text.partition("/")
    try:
        return Port(_number(number), protocol.lower() or "tcp")
    except ValueError as error:
        raise InvalidParameter(f"invalid JSON: invalid port '{number}': {error}") from None


def parse_port_range(text: str) -> range:
    """Read the port ``8000`` or the range ``8000-8010`` of the host.

    Raises:
        InvalidParameter: the text is neither; in dockerd's words.
    """
    first, dash, last = text.partition("/")[0].partition("-")
    try:
        start = _number(first)
        end = _number(last) if dash else start
    except ValueError:
        raise InvalidParameter(f'invalid port specification: "{text}"') from None
    if end < start:
        raise InvalidParameter(f'invalid port specification: "{text}"')
    return range(start, end + 1)


def parse_exposed_ports(exposed: Mapping[str, Any] | Unset | None) -> list[Port]:
    """Return the ports of ``ExposedPorts``.

    Raises:
        InvalidParameter: a key is not a port.
    """
    if exposed is None or isinstance(exposed, Unset):
        return []
    return list(dict.fromkeys(parse_port(text) for text in exposed))


def normal_exposed(exposed: Mapping[str, V]) -> dict[str, V]:
    """Return ``ExposedPorts`` with canonical keys: ``80`` becomes ``80/tcp``.

    Raises:
        InvalidParameter: a key is not a port.
    """
    return {str(parse_port(text)): value for text, value in exposed.items()}


def normal_bindings(bindings: PortMap) -> PortMap:
    """Return ``PortBindings`` with canonical keys; bindings of equal ports are joined.

    Raises:
        InvalidParameter: a key is not a port.
    """
    found: PortMap = {}
    for text, wanted in bindings.items():
        port = str(parse_port(text))
        found[port] = [*(found.get(port) or ()), *wanted] if wanted else found.get(port)
    return found


def parse_port_bindings(bindings: PortMap | None) -> list[PortMapping]:
    """Return the ports of ``PortBindings``; one without bindings is published at any free port.

    Raises:
        InvalidParameter: a port, range or address is malformed.
    """
    mappings = []
    for text, wanted in (bindings or {}).items():
        port = parse_port(text)
        if not port.number or port.protocol not in PROTOCOLS:
            raise InvalidParameter(f'invalid port specification: "{port}"')
        for binding in wanted or [PortBinding()]:
            check_address(binding.host_ip)
            ports = parse_port_range(binding.host_port) if binding.host_port else range(0)
            if ports and ports.start == 0:
                if len(ports) > 1:
                    raise InvalidParameter(f'invalid port specification: "{binding.host_port}"')
                ports = range(0)
            mappings.append(PortMapping(port.number, port.protocol, binding.host_ip, ports))
    return mappings


def published_ports(
    bindings: PortMap | None, exposed: Mapping[str, Any] | Unset | None, *, publish_all: bool
) -> list[PortMapping]:
    """Return all ports that a container publishes.

    Args:
        bindings: ``PortBindings``.
        exposed: ``ExposedPorts``.
        publish_all: ``PublishAllPorts``: exposed ports without a binding are published as well.

    Raises:
        InvalidParameter: a port, range or address is malformed.
    """
    mappings = parse_port_bindings(bindings)
    if publish_all:
        bound = {(mapping.container_port, mapping.protocol) for mapping in mappings}
        mappings += [
            PortMapping(*port)
            for port in parse_exposed_ports(exposed)
            if port not in bound and port.number and port.protocol in PROTOCOLS
        ]
    return mappings


def fill_empty_bindings(bindings: PortMap) -> list[str]:
    """Bind ports with an empty list of bindings to any free port; return dockerd's warning."""
    empty = [text for text, wanted in bindings.items() if not wanted]
    for text in empty:
        bindings[text] = [PortBinding()]
    if not empty:
        return []
    ports = ", ".join(str(parse_port(text)) for text in empty)
    warning = (
        f"Following container port(s) have an empty list of port-bindings: {ports}."
        " Such bindings will be discarded in a future version."
    )
    return [warning]


def check_address(*addresses: str) -> None:
    """Refuse texts that are neither empty nor an IP address.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    for address in addresses:
        if address and not _is_address(address):
            raise InvalidParameter(f'invalid JSON: ParseAddr("{address}"): unable to parse IP')


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> int:
    if not text:
        raise ValueError("value is empty")
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("invalid syntax")
    if len(text) > _MAX_DIGITS or (number := int(text)) > 65535:
        raise ValueError("value out of range")
    return number
