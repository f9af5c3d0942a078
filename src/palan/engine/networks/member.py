"""A container as its networks see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from palan.api.containers import EndpointSettings
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.port_parsing import Port, PortMapping
from palan.engine.networks.resolv_conf import DnsSettings


__all__ = ["Linked", "Member"]


@dataclass(frozen=True, slots=True)
class Linked:
    """A container that another one has a legacy link to.

    Attributes:
        endpoint: its endpoint on the default bridge.
        ports: the ports that it exposes.
    """

    endpoint: EndpointRecord
    ports: Sequence[Port]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A container at one moment, as far as its networks are concerned.

    Attributes:
        id: the container's id, 64 hex digits.
        name: its name.
        hostname: its host name.
        network_mode: ``HostConfig.NetworkMode``.
        network_disabled: ``Config.NetworkDisabled``: its namespace has a loopback interface only.
        endpoints: the settings asked for, by name of the network; ``network_id`` is filled in.
        links: ``HostConfig.Links``, each ``container`` or ``container:alias``.
        linked: the containers that it has legacy links to and that run.
        mappings: the ports to publish.
        exposed: the ports that it exposes.
        dns: the settings for its ``resolv.conf``.
        ipv6: whether it may have IPv6 addresses.
        sandbox: its network namespace; None unless it runs, or shares that of another container.
    """

    id: str
    name: str
    hostname: str = ""
    network_mode: str = "bridge"
    network_disabled: bool = False
    endpoints: Mapping[str, EndpointSettings] = field(default_factory=dict)
    links: Sequence[str] = ()
    linked: Sequence[Linked] = ()
    mappings: Sequence[PortMapping] = ()
    exposed: Sequence[Port] = ()
    dns: DnsSettings = field(default_factory=DnsSettings)
    ipv6: bool = True
    sandbox: SandboxRecord | None = None
