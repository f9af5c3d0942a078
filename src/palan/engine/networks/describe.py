"""Networks as list and inspect show them."""

from collections.abc import Callable
from typing import TypeVar

from palan.api import UNSET, Filters
from palan.api.errors import InvalidParameter
from palan.api.networks import (
    IPAM,
    ConfigReference,
    EndpointResource,
    IPAMConfig,
    IPAMStatus,
    NetworkInspectResponse,
    NetworkStatus,
    ServiceInfo,
    SubnetStatus,
)
from palan.api.networks import Network as Shown
from palan.engine.networks.network import Network
from palan.engine.timestamps import go_time
from palan.patterns import BadPattern, compile_pattern


__all__ = ["check_filters", "describe", "describe_endpoints", "inspect", "matches"]

S = TypeVar("S", bound=Shown)


def describe(network: Network, kind: type[S]) -> S:
    """Return the description of a network that list and inspect have in common."""
    record = network.record
    return kind(
        name=record.name,
        id=record.id,
        created=go_time(record.created),
        scope=record.scope,
        driver="null" if record.config_only else record.driver,
        enable_ipv4=record.enable_ipv4,
        enable_ipv6=record.enable_ipv6,
        ipam=IPAM(driver=record.ipam_driver, options=record.ipam_options, config=_subnets(network)),
        internal=record.internal,
        attachable=record.attachable,
        ingress=record.ingress,
        config_from=ConfigReference(network=record.config_from),
        config_only=record.config_only,
        options=dict(record.options),
        labels=dict(record.labels),
    )


def _subnets(network: Network) -> list[IPAMConfig] | None:
    record = network.record
    if record.config_only:
        return record.ipam or None
    if record.null_pools:
        return [IPAMConfig(subnet=subnet) for subnet in record.null_pools.values()]
    return [
        IPAMConfig(
            subnet=pool.subnet,
            ip_range=pool.range,
            gateway=pool.gateway,
            auxiliary_addresses=pool.auxiliary or UNSET,
        )
        for pool in record.pools
    ] or None


def describe_endpoints(
    network: Network, name_of: Callable[[str], str]
) -> dict[str, EndpointResource]:
    """Return the endpoints of a network by the ids of their containers.

    Args:
        network: the network.
        name_of: returns the name of a container; empty for one that does not exist.
    """
    return {
        container_id: EndpointResource(
            name=name_of(container_id),
            endpoint_id=endpoint.id,
            mac_address=endpoint.mac_address,
            ipv4_address=f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
            ipv6_address=f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else "",
        )
        for container_id, endpoint in network.endpoints.items()
    }


def inspect(
    network: Network, name_of: Callable[[str], str], *, verbose: bool
) -> NetworkInspectResponse:
    """Return the full description of a network, as inspect shows it."""
    answer = describe(network, NetworkInspectResponse)
    answer.containers = describe_endpoints(network, name_of)
    answer.status = NetworkStatus()
    if network.pools:
        subnets = {
            str(pool.subnet): SubnetStatus(
                ips_in_use=pool.taken, dynamic_ips_available=pool.available
            )
            for pool in network.pools
        }
        answer.status = NetworkStatus(ipam=IPAMStatus(subnets=subnets))
    if verbose:
        services: dict[str, ServiceInfo] = {}
        # Only swarms have services; dockerd leaves out an empty list.
        answer.services = services or UNSET
    return answer


# ---- filters --------------------------------------------------------------------


def check_filters(filters: Filters) -> bool | None:
    """Check the filters of a list, and return the value of ``dangling``, None without it.

    Raises:
        InvalidParameter: a filter is unknown or invalid; in dockerd's words.
    """
    dangling = filters.get("dangling")
    if len(dangling) > 1:
        raise InvalidParameter('got more than one value for filter key "dangling"')
    if not dangling:
        return None
    if dangling[0] not in ("0", "false", "1", "true"):
        raise InvalidParameter(
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
        )
    return dangling[0] in ("1", "true")


def matches(network: Network, filters: Filters, *, dangling: bool | None = None) -> bool:
    """Return whether a network passes the filters."""
    record = network.record
    if dangling is not None and dangling is (network.predefined or bool(network.endpoints)):
        return False
    return (
        filters.exact("driver", "null" if record.config_only else record.driver)
        and filters.exact("scope", record.scope)
        and filters.exact("type", "builtin" if network.predefined else "custom")
        and filters.labels(record.labels)
        and filters.matches("id", lambda text: _found(text, record.id))
        and filters.matches("name", lambda text: _found(text, record.name))
    )


def _found(pattern: str, text: str) -> bool:
    if pattern == text:
        return True
    try:
        return compile_pattern(pattern).search(text)
    except BadPattern:
        return False  # as with dockerd, an invalid expression matches nothing
