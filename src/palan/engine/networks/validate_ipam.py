"""Validation of the subnets of a new network, in dockerd's words."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from palan.api.errors import InvalidParameter
from palan.api.networks import IPAMConfig
from palan.engine.networks.ipam import IPAddress, IPNetwork


__all__ = ["check_ipam"]


def check_ipam(configs: Iterable[IPAMConfig], *, enable_ipv6: bool) -> None:
    """Check subnets, and put them into canonical form; the error lists all problems.

    Args:
        configs: the subnets asked for; changed in place.
        enable_ipv6: whether IPv6 subnets are checked, too.

    Raises:
        InvalidParameter: a subnet, range or address is invalid.
    """
    problems: list[str] = []
    for config in configs:
        subnet = _prefix(config.subnet) if config.subnet else None
        part = _prefix(config.ip_range) if config.ip_range else None
        gateway = _address(config.gateway) if config.gateway else None
        auxiliary = {n: _address(a) for n, a in (config.auxiliary_addresses or {}).items()}
        if subnet is not None and subnet[0].version == 6 and not enable_ipv6:
            continue
        problems += _problems(subnet, part, gateway, auxiliary)
        if subnet is not None:
            config.subnet = str(subnet[0])
        if part is not None:
            config.ip_range = str(part[0])
        if gateway is not None:
            config.gateway = str(gateway)
        if auxiliary:
            config.auxiliary_addresses = {n: str(a) for n, a in auxiliary.items()}
    if problems:
        joined = problems[0] if len(problems) == 1 else "* " + "\n* ".join(problems)
        raise InvalidParameter(f"invalid network config:\n{joined}")


Prefix = tuple[IPNetwork, str]
"""A subnet, and the text in which it was given."""


def _problems(
    subnet: Prefix | None,
    part: Prefix | None,
    gateway: IPAddress | None,
    auxiliary: dict[str, IPAddress],
) -> Iterator[str]:
    network = subnet[0] if subnet else None
    if subnet is not None and str(subnet[0]) != subnet[1]:
        yield f"invalid subnet {subnet[1]}: it should be {subnet[0]}"
    if part is not None:
        yield from _range_problems(network, part)
    if gateway is not None and (why := _outside(network, gateway)):
        yield f"invalid gateway {gateway}: {why}"
    for name, address in auxiliary.items():
        if why := _outside(network, address):
            yield f"invalid auxiliary address {name}: {why}"


def _range_problems(subnet: IPNetwork | None, part: Prefix) -> Iterator[str]:
    allowed, text = part
    if allowed.version != (subnet.version if subnet else 4):
        family = subnet.version if subnet else 4
        yield f"invalid ip-range {text}: parent subnet is an IPv{family} block"
        return
    shown = str(subnet) if subnet else "invalid Prefix"
    if subnet is not None and allowed.prefixlen < subnet.prefixlen:
        yield f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {shown}"
    if str(allowed) != text:
        yield f"invalid ip-range {text}: it should be {allowed}"
    if subnet is None or not subnet.overlaps(allowed):
        yield f"invalid ip-range {text}: parent subnet {shown} doesn't contain ip-range"


def _outside(subnet: IPNetwork | None, address: IPAddress) -> str:
    """Return the reason why an address is not in a subnet; empty if it is."""
    family = subnet.version if subnet else 4
    if address.version != family:
        return f"parent subnet is an IPv{family} block"
    if subnet is None:
        return "parent subnet invalid Prefix doesn't contain this address"
    if address not in subnet or "%" in str(address):
        return f"parent subnet {subnet} doesn't contain this address"
    return ""


def _prefix(text: str) -> Prefix:
    if "/" not in text:
        raise InvalidParameter(f"invalid JSON: netip.ParsePrefix(\"{text}\"): no '/'")
    address, _, length = text.partition("/")
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", length):
        raise InvalidParameter(
            f'invalid JSON: netip.ParsePrefix("{text}"): bad bits after slash: "{length}"'
        )
    if "%" in address:
        raise InvalidParameter(
            f'invalid JSON: netip.ParsePrefix("{text}"): IPv6 zones cannot be present in a prefix'
        )
    try:
        network = ip_network(text, strict=False)
        return network, f"{ip_address(address)}/{length}"
    except ValueError:
        pass
    try:
        ip_address(address)
    except ValueError:
        raise InvalidParameter(
            f'invalid JSON: netip.ParsePrefix("{text}"): ParseAddr("{address}"): unable to parse IP'
        ) from None
    raise InvalidParameter(f'invalid JSON: netip.ParsePrefix("{text}"): prefix length out of range')


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidParameter(f'invalid JSON: ParseAddr("{text}"): unable to parse IP') from None
