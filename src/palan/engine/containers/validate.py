"""Validation of requests at create and at update, before anything is done.

dockerd finds some mistakes at create, some at start and some never.  Here every mistake that
can be found without running the container is found at create, and is always the caller's
error (400), never the engine's.
"""

from typing import Final

import msgspec

from palan.api.containers import (
    ContainerConfig,
    HostConfig,
    NetworkingConfig,
    Resources,
    RestartPolicy,
)
from palan.api.errors import InvalidParameter
from palan.engine.containers.unsupported import check_supported
from palan.engine.containers.validate_config import validate_config
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.containers.validate_host import validate_host_config, validate_restart_policy
from palan.engine.containers.validate_log import validate_log
from palan.engine.containers.validate_mounts import relabel_warnings, validate_mounts
from palan.engine.containers.validate_network import validate_network_mode
from palan.engine.containers.validate_resources import validate_resources
from palan.engine.networks.port_parsing import (
    fill_empty_bindings,
    normal_bindings,
    parse_port_bindings,
)
from palan.engine.networks.validate_endpoint import validate_networking


__all__ = ["validate_create", "validate_update"]

_INT64: Final = 1 << 63
_NUMBERS: Final = tuple(
    # The kernel and the runtimes have numbers of 64 bits; Python's are unlimited.
    (entry.name, entry.encode_name)
    for entry in msgspec.structs.fields(Resources)
)


def validate_create(
    config: ContainerConfig,
    host_config: HostConfig,
    networking: NetworkingConfig | None,
    facts: CreateFacts,
) -> list[str]:
    """Check a new container, before its image is looked up.

    Not checked are the existence of images, networks, volumes and containers that are named,
    and whether there is a command (:func:`~palan.engine.containers.merge.merge_config`).

    Args:
        config: changed in place: the working directory is cleaned, ports are normalised.
        host_config: changed in place: limits that the machine does not support are
            discarded, empty lists of port bindings get one.
        networking: the requested endpoints.
        facts: the facts about machine and engine.

    Returns:
        Warnings for the client.

    Raises:
        InvalidParameter: the first mistake found, in dockerd's words.
    """
    _check_numbers(host_config)
    validate_network_mode(config, host_config)
    warnings = validate_config(config)
    warnings += validate_host_config(config, host_config, facts)
    warnings += validate_resources(host_config, facts)
    mappings = host_config.port_bindings = normal_bindings(host_config.port_bindings or {})
    parse_port_bindings(mappings)
    mount_warnings = validate_mounts(
        config,
        host_config,
        path_exists=facts.path_exists,
        recursive_read_only=facts.recursive_read_only,
    )
    warnings += validate_log(host_config.log_config, facts)
    validate_networking(networking, facts.subnets_of)
    warnings += mount_warnings
    if facts.selinux:
        warnings += relabel_warnings(host_config)
    warnings += fill_empty_bindings(mappings)
    warnings += check_supported(config, host_config)
    return list(dict.fromkeys(warnings))


def _check_numbers(host_config: Resources) -> None:
    for name, wire_name in _NUMBERS:
        number = getattr(host_config, name)
        if isinstance(number, int) and not -_INT64 <= number < _INT64:
            raise InvalidParameter(
                f"invalid JSON: json: cannot unmarshal number {number} into Go struct field"
                f" .HostConfig.{wire_name} of type int64"
            )


def validate_update(
    resources: Resources, restart_policy: RestartPolicy | None, facts: CreateFacts
) -> list[str]:
    """Check new limits and a new restart policy of an existing container.

    Returns:
        Warnings for the client.

    Raises:
        InvalidParameter: the first mistake found, in dockerd's words.
    """
    _check_numbers(resources)
    if restart_policy is not None:
        validate_restart_policy(restart_policy)
    return validate_resources(resources, facts, update=True)
