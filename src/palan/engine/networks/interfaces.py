"""The interfaces of endpoints, in the host and in the container's network namespace.

Everything here blocks and has to run in a thread.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from functools import partial
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import NamedTuple

from palan.api.errors import InvalidParameter
from palan.engine.networks.drivers import Driver
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.network import Network
from palan.engine.networks.validate_endpoint import SYSCTLS
from palan.host import netlink
from palan.host.announce import Announcer
from palan.host.namespaces import create_netns, run_in_netns, write_sysctls
from palan.host.netlink import Netlink


__all__ = [
    "Connection",
    "asked_sysctls",
    "create_namespace",
    "move_default_routes",
    "plug",
    "unplug",
]

_LINK_LOCAL_PREFIX = {4: 16, 6: 64}


class Connection(NamedTuple):
    """An endpoint with its network and the driver of that."""

    network: Network
    driver: Driver
    endpoint: EndpointRecord


def create_namespace(sandbox: SandboxRecord) -> None:
    """Create the namespace of a container, without IPv6 if no endpoint has an IPv6 address."""
    has_ipv6 = any(_has_ipv6(e) for e in sandbox.endpoints)
    sysctls = {}
    if not has_ipv6 and Path("/proc/sys/net/ipv6").is_dir():
        sysctls["net.ipv6.conf.default.disable_ipv6"] = "1"
    create_netns(sandbox.path, sysctls=sysctls)


def _has_ipv6(endpoint: EndpointRecord) -> bool:
    return bool(endpoint.address6) or any(":" in text for text in endpoint.link_local)


def plug(sandbox: SandboxRecord, wanted: Iterable[Connection], *, late: bool = False) -> None:
    """Make the interfaces of endpoints in the namespace of a container and set them up.

    Args:
        sandbox: the namespace.
        wanted: the endpoints.
        late: whether the container is running already.

    Raises:
        OSError, PalanError: something failed; the caller has to unplug the endpoints.
    """
    namespace = os.open(sandbox.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wanted = [w for w in wanted if w.endpoint.interface]
        with Netlink() as host:
            for network, driver, endpoint in wanted:
                driver.plug(host, network, endpoint, namespace)
        wanted = [w for w in wanted if w.endpoint.interface]  # a plugin may have made none
        if not wanted:
            return
        _before_up(namespace, [w.endpoint for w in wanted], late=late)
        with Netlink(namespace) as inside:
            for _, _, endpoint in wanted:
                _set_up(inside, endpoint)
            if not late:
                _route(inside, sandbox, {})
        for network, _, endpoint in wanted:
            if network.driver in ("macvlan", "ipvlan"):
                run_in_netns(namespace, partial(_announce, endpoint))
    finally:
        os.close(namespace)


def _announce(endpoint: EndpointRecord) -> None:
    """Announce the endpoint's addresses, so that neighbours update their ARP caches."""
    addresses = [ip_address(a) for a in (endpoint.address, endpoint.address6) if a]
    with contextlib.suppress(OSError), contextlib.closing(Announcer()) as announcer:
        announcer.announce(endpoint.interface, addresses, endpoint.mac_address)


def _before_up(namespace: int, endpoints: list[EndpointRecord], *, late: bool) -> None:
    """Write the kernel parameters of interfaces, before any packet passes through them.

    Raises:
        InvalidParameter: a requested parameter does not exist, or can't have that value.
        OSError: the kernel refuses a parameter of the engine's own.
    """
    own: dict[str, str] = {}
    asked: dict[str, str] = {}
    has_ipv6 = Path("/proc/sys/net/ipv6").is_dir()
    mixed = any(_has_ipv6(e) for e in endpoints)
    for endpoint in endpoints:
        if has_ipv6 and (late or mixed):
            disabled = "0" if _has_ipv6(endpoint) else "1"
            own[f"net/ipv6/conf/{endpoint.interface}/disable_ipv6"] = disabled
        asked.update(asked_sysctls(endpoint))
    if own:
        run_in_netns(namespace, lambda: write_sysctls(own))
    if asked:
        try:
            run_in_netns(namespace, lambda: write_sysctls(asked))
        except FileNotFoundError as error:
            raise InvalidParameter(f"{error.filename} is not a sysctl file") from None
        except OSError as error:
            why = f"unable to write to '{error.filename}': {error.strerror}"
            raise InvalidParameter(why) from None


def asked_sysctls(endpoint: EndpointRecord) -> Mapping[str, str]:
    """Return the sysctls that the options of an endpoint set, by their paths.

    Raises:
        InvalidParameter: one is malformed; in dockerd's words.
    """
    found = {}
    for entry in filter(None, endpoint.options.get(SYSCTLS, "").split(",")):
        name, equals, value = entry.partition("=")
        if not equals:
            raise InvalidParameter(f"expected sysctl '{entry}' to have format name=value")
        parts = name.split(".")
        if len(parts) != 5:
            raise InvalidParameter(f"expected sysctl '{entry}' to have format net.X.Y.IFNAME.Z")
        _net, family, kind, _interface, rest = parts
        found[f"net/{family}/{kind}/{endpoint.interface}/{rest}"] = value
    return found


def _set_up(inside: Netlink, endpoint: EndpointRecord) -> None:
    interface = inside.link(endpoint.interface)
    assert interface is not None  # noqa: S101 - it was just made
    addresses = [
        ip_interface(f"{address}/{prefix}")
        for address, prefix in (
            (endpoint.address, endpoint.prefix),
            (endpoint.address6, endpoint.prefix6),
            *((text, _LINK_LOCAL_PREFIX[ip_address(text).version]) for text in endpoint.link_local),
        )
        if address
    ]
    inside.perform(
        netlink.set_link(interface.index, up=True),
        *(netlink.add_address(interface.index, address) for address in addresses),
        *(
            netlink.add_route(destination, gateway=hop or None, index=interface.index)
            for destination, hop in endpoint.routes
        ),
    )


def _route(
    inside: Netlink, sandbox: SandboxRecord, before: Mapping[int, EndpointRecord | None]
) -> None:
    """Set the default routes to the endpoint with the highest priority.

    Args:
        inside: a netlink socket in the namespace.
        sandbox: the present endpoints.
        before: the endpoints that had the default routes, by IP version.
    """
    for version, everywhere in ((4, "0.0.0.0/0"), (6, "::/0")):
        now = sandbox.main(version)
        had = before.get(version)
        if now is had:
            continue
        if had is not None:
            with contextlib.suppress(OSError):  # it has gone with the interface
                inside.perform(_delete_route(inside, everywhere, had, version))
        if now is not None:
            interface = inside.link(now.interface)
            inside.perform(
                netlink.add_route(
                    everywhere,
                    gateway=_next_hop(now, version),
                    index=interface.index if interface else None,
                )
            )


def _next_hop(endpoint: EndpointRecord, version: int) -> str | None:
    return (endpoint.gateway if version == 4 else endpoint.gateway6) or None


def _delete_route(
    inside: Netlink, destination: str, endpoint: EndpointRecord, version: int
) -> netlink.Request:
    hop = _next_hop(endpoint, version)
    interface = inside.link(endpoint.interface) if hop is None else None
    return netlink.delete_route(
        destination, gateway=hop, index=interface.index if interface else None
    )


def move_default_routes(
    sandbox: SandboxRecord, before: Mapping[int, EndpointRecord | None]
) -> None:
    """Change the default routes of a running container if other endpoints have them now.

    Args:
        sandbox: its namespace, with the present endpoints.
        before: the endpoints that had the default routes, by IP version.
    """
    if any(sandbox.main(version) is not before.get(version) for version in (4, 6)):
        with Netlink(sandbox.path) as inside:
            _route(inside, sandbox, before)


def unplug(driver: Driver | None, sandbox: SandboxRecord, endpoint: EndpointRecord) -> None:
    """Remove the interface of an endpoint from a namespace that stays in use; idempotent."""
    if driver is not None and endpoint.interface:
        driver.unplug(sandbox.path, endpoint)
