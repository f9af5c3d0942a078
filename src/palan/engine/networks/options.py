"""The options of Docker's network drivers."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, cast

from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter
from palan.engine.networks.record import NetworkRecord
from palan.host.interface_names import interface_problem, rule_interface_problem


__all__ = [
    "BRIDGE_NAME",
    "DEFAULT_BRIDGE",
    "ENABLE_IPV4",
    "ENABLE_IPV6",
    "BridgeOptions",
    "GatewayMode",
    "bridge_options",
    "flag",
    "mtu_option",
    "network_options",
]

GatewayMode = Literal["nat", "nat-unprotected", "routed", "isolated"]

_BRIDGE: Final = "com.docker.network.bridge."
BRIDGE_NAME: Final = f"{_BRIDGE}name"
DEFAULT_BRIDGE: Final = f"{_BRIDGE}default_bridge"
MTU: Final = "com.docker.network.driver.mtu"
PREFIX: Final = "com.docker.network.container_iface_prefix"
ENABLE_IPV4: Final = "com.docker.network.enable_ipv4"
ENABLE_IPV6: Final = "com.docker.network.enable_ipv6"

_MODES: Final = ("nat", "nat-unprotected", "routed", "isolated")
_LARGEST_MTU: Final = 65535
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """The options of a bridge network.

    Attributes:
        name: the name of the bridge; empty for one derived from the network's id.
        mtu: the size of the largest packet in bytes; 0 for the kernel's default.
        icc: whether containers on it may reach each other.
        masquerade: whether packets that leave it get an address of the host as source.
        host_ip: the address of the host for ports that are published without one; empty for
            the default.
        inhibit_ipv4: whether the bridge itself gets no IPv4 address.
        gateway_mode_ipv4: the way in which containers reach other networks and are reached.
        gateway_mode_ipv6: the same for IPv6.
        trusted_interfaces: interfaces of the host from which the containers' own addresses
            are reached.
        prefix: the names of interfaces in containers, without their number.
        host_ipv4: the source address of leaving packets; empty for the outgoing interface's.
        host_ipv6: the same for IPv6.
        default_bridge: whether it is the engine's default network.
    """

    name: str = ""
    mtu: int = 0
    icc: bool = True
    masquerade: bool = True
    host_ip: str = ""
    inhibit_ipv4: bool = False
    gateway_mode_ipv4: GatewayMode = "nat"
    gateway_mode_ipv6: GatewayMode = "nat"
    trusted_interfaces: tuple[str, ...] = ()
    prefix: str = "eth"
    host_ipv4: str = ""
    host_ipv6: str = ""
    default_bridge: bool = False


def bridge_options(given: Mapping[str, str], *, internal: bool = False) -> BridgeOptions:
    """Read the options of a bridge network; unknown ones are ignored, as with dockerd.

    Raises:
        InvalidParameter: an option is invalid; in dockerd's words.
    """
    mode4, mode6 = (_mode(given, f"{_BRIDGE}gateway_mode_ipv{version}") for version in (4, 6))
    if "isolated" in (mode4, mode6) and not internal:
        raise InvalidParameter("gateway mode 'isolated' can only be used for an internal network")
    for key in (ENABLE_IPV4, ENABLE_IPV6):
        flag(given, key, default=True)
    name = given.get(BRIDGE_NAME, "")
    trusted = [n for n in given.get(f"{_BRIDGE}trusted_host_interfaces", "").split(":") if n]
    for interface in (name, *trusted):
        if interface and (problem := rule_interface_problem(interface)):
            raise InvalidParameter(problem)
    return BridgeOptions(
        name=name,
        mtu=mtu_option(given),
        icc=flag(given, f"{_BRIDGE}enable_icc", default=True),
        masquerade=flag(given, f"{_BRIDGE}enable_ip_masquerade", default=True),
        host_ip=_address(given, f"{_BRIDGE}host_binding_ipv4"),
        inhibit_ipv4=flag(given, f"{_BRIDGE}inhibit_ipv4", default=False),
        gateway_mode_ipv4=mode4,
        gateway_mode_ipv6=mode6,
        trusted_interfaces=tuple(trusted),
        prefix=_prefix(given),
        host_ipv4=_address(given, "com.docker.network.host_ipv4"),
        host_ipv6=_address(given, "com.docker.network.host_ipv6"),
        default_bridge=flag(given, DEFAULT_BRIDGE, default=False),
    )


def network_options(record: NetworkRecord) -> BridgeOptions:
    """Read the options of a network; other drivers than ``bridge`` have few of them.

    Raises:
        InvalidParameter: an option is invalid.
    """
    if record.driver == "bridge":
        return bridge_options(record.options, internal=record.internal)
    return BridgeOptions(mtu=mtu_option(record.options), prefix=_prefix(record.options))


def _prefix(given: Mapping[str, str]) -> str:
    prefix = given.get(PREFIX) or "eth"
    if problem := interface_problem(f"{prefix}0"):
        raise InvalidParameter(f"invalid {PREFIX} value: {prefix} ({problem})")
    return prefix


def flag(given: Mapping[str, str], key: str, *, default: bool) -> bool:
    """Return a boolean option.

    Raises:
        InvalidParameter: the text is not a boolean.
    """
    text = given.get(key)
    if text is None:
        return default
    truth = BOOLEANS.get(text)
    if truth is None:
        raise _unreadable(key, text, f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return truth


def mtu_option(given: Mapping[str, str]) -> int:
    """Return the size of the largest packet from the options; 0 without one.

    Raises:
        InvalidParameter: the text is not a number, or an impossible one.
    """
    text = given.get(MTU)
    if text is None:
        return 0
    if not text.isascii() or not text.removeprefix("-").isdecimal():
        raise _unreadable(MTU, text, f'strconv.Atoi: parsing "{text}": invalid syntax')
    mtu = int(text[:_DIGITS])
    if not 0 <= mtu <= _LARGEST_MTU:
        raise InvalidParameter(f"invalid MTU number: {mtu}")
    return mtu


def _mode(given: Mapping[str, str], key: str) -> GatewayMode:
    text = given.get(key)
    if text is None:
        return "nat"
    if text not in _MODES:
        raise _unreadable(key, text, f"unknown gateway mode {text}")
    return cast("GatewayMode", text)


def _address(given: Mapping[str, str], key: str) -> str:
    text = given.get(key)
    if text is None:
        return ""
    try:
        if "%" not in text:
            return str(ip_address(text))
    except ValueError:
        pass
    raise _unreadable(key, text, "nil ip")


def _unreadable(key: str, value: str, why: str) -> InvalidParameter:
    return InvalidParameter(f"failed to parse {key} value: {value} ({why})")
