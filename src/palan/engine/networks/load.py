"""Bringing the networks back when the engine starts.

Rows say which there are; the sandboxes of the containers say who is on them.  Bridges,
addresses and rules are made where they are missing, as after a reboot of the machine.
What was half made or half removed is taken away.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv4Network, ip_interface, ip_network
from typing import TYPE_CHECKING, Final

from palan.api.errors import Forbidden, InvalidParameter, PalanError
from palan.engine.networks.attachment import claim_endpoint
from palan.engine.networks.bridge import bridge_address, host_networks, mark
from palan.engine.networks.host_ports import publications
from palan.engine.networks.ipam import choose_subnet
from palan.engine.networks.network import Network
from palan.engine.networks.options import network_options
from palan.engine.networks.publish import target
from palan.engine.networks.record import NetworkRecord, PoolRecord
from palan.engine.networks.subnets import split_pools
from palan.host import netlink
from palan.host.netlink import Address, Link, Netlink


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["load"]

_DRIVERS: Final = {"bridge": "bridge", "host": "host", "none": "null"}


async def load(
    engine: "Engine",
    records: Iterable[NetworkRecord],
    containers: Iterable["Container"],
    alive: Iterable["Container"],
) -> None:
    """Bring everything up as it was.

    Args:
        engine: the engine; its networks are empty.
        records: the rows.
        containers: all containers.
        alive: those that run.
    """
    networks = engine.networks
    drafts = []
    for record in records:
        network = Network(record)
        if record.draft:
            drafts.append(network)
            with contextlib.suppress(ValueError, PalanError):
                network.make_pools()
        networks.add(network)
    await _add_predefined(engine)
    for network in drafts:
        try:
            await networks.take_away(network, force=True)
        except (OSError, PalanError) as error:
            # Such as a plugin's, which is not there: the row stays for the next start.
            engine.log.warning("network stays", network=network.name, reason=str(error))
        networks.discard(network)
    await asyncio.to_thread(_remove_orphans, engine)
    await asyncio.to_thread(_bring_up, engine)
    for container in containers:
        sandbox = container.record.sandbox
        for endpoint in sandbox.endpoints if sandbox else ():
            home = networks.by_id(endpoint.network)
            if home is not None:
                # The default bridge may have another subnet than it had.
                with contextlib.suppress(Forbidden, InvalidParameter):
                    claim_endpoint(home, container.id, endpoint)
    await networks.leases.load(e.id for n in networks for e in n.endpoints.values())
    alive = list(alive)
    await asyncio.to_thread(_plug_in_again, engine, alive)
    redirected = {
        c.id: publications(s.ports, target(engine, s)) for c in alive if (s := c.record.sandbox)
    }
    await networks.firewall.load([n for n in networks if not n.broken], redirected)


async def _add_predefined(engine: "Engine") -> None:
    networks, config = engine.networks, engine.config
    for name, driver in _DRIVERS.items():
        if networks.named(name) is None:
            record = NetworkRecord(
                id=secrets.token_hex(32), name=name, driver=driver, created=time.time_ns()
            )
            network = Network(record)
            await networks.save(network)
            networks.add(network)
    default = networks.default
    assert default is not None  # noqa: S101 - it was just added
    if config.bridge == "none":
        networks.discard(default)  # its row stays, for when it is wanted again
        return
    await _configure_default(engine, default)


async def _configure_default(engine: "Engine", network: Network) -> None:
    """Have the default bridge be what the directives say now."""
    config, record = engine.config, network.record
    before = list(record.pools)
    gateway = await _default_gateway(engine, record)
    record.interface, record.foreign = config.bridge_name, bool(config.bridge)
    record.options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": _word(config.icc),
        "com.docker.network.bridge.enable_ip_masquerade": _word(config.ip_masq),
        "com.docker.network.bridge.host_binding_ipv4": config.ip,
        "com.docker.network.bridge.name": config.bridge_name,
        "com.docker.network.driver.mtu": str(config.mtu),
    }
    record.pools = [
        PoolRecord(
            subnet=str(gateway.network),
            range=str(IPv4Network(config.fixed_cidr, strict=False)) if config.fixed_cidr else "",
            gateway=str(gateway.ip),
            auxiliary=_auxiliary(4, config.default_gateway, str(gateway.ip)),
        )
    ]
    record.enable_ipv6 = config.ipv6
    if config.ipv6:
        record.pools.append(_default_ipv6(engine, before))
    record.gateway = ""
    await engine.networks.save(network)


def _auxiliary(version: int, other: str, own: str) -> dict[str, str]:
    return {f"DefaultGatewayIPv{version}": other} if other and other != own else {}


def _word(value: bool) -> str:
    return "true" if value else "false"


async def _default_gateway(engine: "Engine", record: NetworkRecord) -> IPv4Interface:
    """The default bridge's address: configured, its own, as last time, or a free one."""
    config = engine.config
    if config.bip:
        return IPv4Interface(config.bip)
    if config.bridge and (own := await asyncio.to_thread(bridge_address, config.bridge)):
        return own
    kept = next((p for p in record.pools if ":" not in p.subnet), None)
    if kept is not None:
        return IPv4Interface(f"{kept.gateway}/{kept.subnet.partition('/')[2]}")
    if record.gateway:
        return IPv4Interface(record.gateway)
    servers = engine.networks.resolvers.servers()
    known = await asyncio.to_thread(host_networks, {config.bridge_name}, servers)
    taken = [ip_network(p.subnet) for n in engine.networks for p in n.record.pools]
    if config.fixed_cidr:
        subnet = IPv4Network(config.fixed_cidr, strict=False)
    else:
        chosen = choose_subnet(split_pools(engine), [*known, *taken])
        assert isinstance(chosen, IPv4Network)  # noqa: S101 - as was asked for
        subnet = chosen
    return IPv4Interface((subnet[1], subnet.prefixlen))


def _default_ipv6(engine: "Engine", before: Iterable[PoolRecord]) -> PoolRecord:
    config = engine.config
    if config.bip6:
        interface = ip_interface(config.bip6)
        subnet, gateway = str(interface.network), str(interface.ip)
    elif config.fixed_cidr_v6:
        network = ip_network(config.fixed_cidr_v6, strict=False)
        subnet, gateway = str(network), str(network[1])
    else:
        kept = next((p for p in before if ":" in p.subnet), None)
        if kept is not None:
            subnet, gateway = kept.subnet, kept.gateway
        else:
            taken = [ip_network(p.subnet) for n in engine.networks for p in n.record.pools]
            chosen = choose_subnet(split_pools(engine), taken, version=6)
            subnet, gateway = str(chosen), str(chosen[1])
    part = ip_network(config.fixed_cidr_v6, strict=False) if config.fixed_cidr_v6 else None
    return PoolRecord(
        subnet=subnet,
        range=str(part) if part is not None and str(part) != subnet else "",
        gateway=gateway,
        auxiliary=_auxiliary(6, config.default_gateway_v6, gateway),
    )


class _Remembered(Netlink):
    """The host's network stack, looked at once: with many networks, each look takes long."""

    def __init__(self) -> None:
        super().__init__()
        self._links = {link.name: link for link in self.links()}
        self._addresses: dict[int, list[Address]] = {}
        for address in super().addresses():
            self._addresses.setdefault(address.index, []).append(address)
        self._known = {link.index for link in self._links.values()}

    def link(self, which: int | str) -> Link | None:
        """What was there, or what has come since."""
        found = self._links.get(which) if isinstance(which, str) else None
        return found or super().link(which)

    def addresses(self, index: int | None = None) -> list[Address]:
        """What an interface had that was there, or what one has that has come since."""
        if index in self._known:
            return self._addresses.get(index, [])
        return super().addresses(index)


def _bring_up(engine: "Engine") -> None:
    """Bring up all networks; one that makes trouble does not keep the engine from the others."""
    with _Remembered() as host:
        for network in engine.networks:
            record = network.record
            if record.config_only:
                continue
            try:
                network.options = network_options(record)
                network.make_pools()
                engine.networks.driver(record.driver).up(host, network)
            except (OSError, PalanError, ValueError) as error:
                network.broken = str(error)
                engine.log.warning("network is not up", network=network.name, reason=str(error))


def _remove_orphans(engine: "Engine") -> None:
    """Remove interfaces that the engine made for networks that it does not know (any more)."""
    prefix = mark(engine.config)
    with Netlink() as host:
        for link in host.links():
            if link.alias.startswith(prefix):
                network = engine.networks.by_id(link.alias.removeprefix(prefix))
                if network is None or network.record.interface != link.name:
                    with contextlib.suppress(OSError):
                        host.perform(netlink.delete_link(link.index))


def _plug_in_again(engine: "Engine", alive: Iterable["Container"]) -> None:
    """Put the cables of running containers on their bridges, where those were made anew."""
    with Netlink() as host:
        links = {link.name: link for link in host.links()}
        for container in alive:
            sandbox = container.record.sandbox
            for endpoint in sandbox.endpoints if sandbox else ():
                network = engine.networks.by_id(endpoint.network)
                bridge = links.get(network.bridge) if network else None
                cable = links.get(endpoint.host_interface)
                if bridge and cable and cable.master != bridge.index:
                    with contextlib.suppress(OSError):
                        host.perform(netlink.set_link(cable.index, master=bridge.index, up=True))
