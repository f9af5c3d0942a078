"""Containers as the networks see them."""

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.links import linked
from palan.engine.networks.links import default_endpoint
from palan.engine.networks.member import Linked, Member
from palan.engine.networks.port_parsing import parse_exposed_ports, published_ports
from palan.engine.networks.resolv_conf import DnsSettings
from palan.engine.networks.validate_endpoint import allows_ipv6


__all__ = ["member"]


def member(context: ContainerContext, container: Container) -> Member:
    """Return a container as its networks see it at this moment.

    Raises:
        InvalidParameter: a port, range or address is malformed.
    """
    record = container.record
    config, host_config = record.config, record.host_config
    return Member(
        id=container.id,
        name=container.name,
        hostname=config.hostname,
        network_mode=host_config.network_mode,
        network_disabled=bool(config.network_disabled),
        endpoints=record.endpoints,
        links=host_config.links or (),
        linked=[
            Linked(endpoint, parse_exposed_ports(other.record.config.exposed_ports))
            for _, other in linked(context, container)
            if (endpoint := default_endpoint(other.record.sandbox))
        ],
        mappings=published_ports(
            host_config.port_bindings,
            config.exposed_ports,
            publish_all=host_config.publish_all_ports,
        ),
        exposed=parse_exposed_ports(config.exposed_ports),
        dns=DnsSettings(
            servers=host_config.dns or (),
            search=host_config.dns_search or (),
            options=host_config.dns_options or (),
        ),
        ipv6=allows_ipv6(host_config.sysctls or {}),
        sandbox=record.sandbox,
    )
