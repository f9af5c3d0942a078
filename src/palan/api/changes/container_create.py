"""Changes of ``POST /containers/create``."""

from typing import Any

from palan.api.changes._change import Call, Change, child, children, drop, drop_query, put_child
from palan.api.errors import InvalidParameter
from palan.api.version import Version


__all__ = ["CHANGES"]

_OPERATION = ("containers.create",)

_ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls"
"""The driver option for the settings of one interface."""

_MAC_ADDRESS_NOTICE = (
    "The container-wide MacAddress field is now deprecated. "
    "It should be specified in EndpointsConfig instead."
)

_VOLUME_DRIVER_WARNING = "WARNING: the container-wide volume-driver configuration is ignored"


# ---- the parts of a request -------------------------------------------------


def _host_config(call: Call) -> dict[str, Any]:
    """Return the request's ``HostConfig``, or an empty object."""
    return child(call.body, "HostConfig") or {}


def _bind_options(call: Call) -> list[dict[str, Any]]:
    """Return the ``BindOptions`` of all mounts."""
    mounts = children(_host_config(call), "Mounts")
    return [options for mount in mounts if (options := child(mount, "BindOptions")) is not None]


def _endpoints(call: Call) -> dict[str, Any]:
    """Return the request's ``EndpointsConfig``, or an empty object."""
    return child(call.body, "NetworkingConfig", "EndpointsConfig") or {}


def _main_network(call: Call) -> str:
    """Return the name of the network of ``NetworkMode``."""
    mode = _host_config(call).get("NetworkMode")
    return "bridge" if mode in (None, "", "default") else str(mode)


def _is_network(name: str) -> bool:
    """Whether a network mode names a network, not another namespace and not ``none``."""
    return name not in ("host", "none") and not name.startswith("container:")


def _main_endpoint(call: Call, *, any_name: bool) -> dict[str, Any]:
    """Return the settings of the main network's endpoint, created if there are no endpoints.

    Args:
        call: the request.
        any_name: accept a single endpoint of any name.

    Raises:
        InvalidParameter: there are endpoints, but only of other networks.
    """
    networking = put_child(call.body, "NetworkingConfig")
    endpoints = put_child(networking, "EndpointsConfig")
    name = _main_network(call)
    if endpoints:
        if any_name:
            name = next(iter(endpoints))
        elif name == "bridge" and "default" in endpoints:
            name = "default"
        elif name not in endpoints:
            raise InvalidParameter(
                "HostConfig.NetworkMode must match the identity of a network "
                "in NetworkSettings.Networks"
            )
    return put_child(endpoints, name)


# ---- lifts, by version ------------------------------------------------------


def _until_1_40(call: Call) -> None:
    """1.40 added non-recursive binds, and made IPC private by default."""
    for options in _bind_options(call):
        drop(options, "NonRecursive")
    if isinstance(call.body, dict):
        host_config = put_child(call.body, "HostConfig")
        if host_config.get("IpcMode") in (None, ""):
            host_config["IpcMode"] = "shareable"


def _capabilities(call: Call) -> None:
    """Only 1.40 had a list of all capabilities, which engines no longer support."""
    if call.version == Version(1, 40) and _host_config(call).get("Capabilities"):
        raise InvalidParameter(
            "the HostConfig.Capabilities field is not supported by this daemon; "
            "use CapAdd and CapDrop to set capabilities"
        )


def _until_1_42(call: Call) -> None:
    """1.42 added ConsoleSize and CreateMountpoint, and refuses options of other kinds of mount."""
    for mount in children(_host_config(call), "Mounts"):
        drop(child(mount, "BindOptions"), "CreateMountpoint")
        for kind in ("bind", "volume", "tmpfs"):
            if mount.get("Type") != kind:
                drop(mount, f"{kind.capitalize()}Options")
    drop(_host_config(call), "ConsoleSize")


def _until_1_43(call: Call) -> None:
    """1.43 added annotations."""
    drop(_host_config(call), "Annotations")


def _until_1_44(call: Call) -> None:
    """1.44 added recursive read-only binds, a start interval and several endpoints."""
    drop(child(call.body, "Healthcheck"), "StartInterval")
    for mount in children(_host_config(call), "Mounts"):
        if mount.get("Type") != "bind":
            continue
        options = child(mount, "BindOptions") or {}
        if options.get("ReadOnlyForceRecursive"):
            raise InvalidParameter("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
        drop(options, "ReadOnlyNonRecursive")
        if mount.get("ReadOnly"):
            put_child(mount, "BindOptions")["ReadOnlyNonRecursive"] = True
    endpoints = _endpoints(call)
    if len(endpoints) > 1:
        raise InvalidParameter(
            f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}"
        )


def _mac_address_until_1_44(call: Call) -> None:
    """1.44 moved the hardware address from the container to its endpoints."""
    if not isinstance(call.body, dict):
        return
    address = call.body.pop("MacAddress", None)
    if not address:
        for endpoint in children(_endpoints(call)):
            drop(endpoint, "MacAddress")
        return
    if not _is_network(_main_network(call)):
        raise InvalidParameter("conflicting options: mac-address and the network mode")
    _main_endpoint(call, any_name=True)["MacAddress"] = address


def _subpath(call: Call) -> None:
    """1.45 added paths inside of volumes."""
    for mount in children(_host_config(call), "Mounts"):
        if (child(mount, "VolumeOptions") or {}).get("Subpath"):
            raise InvalidParameter("VolumeOptions.Subpath needs API v1.45 or newer")


def _until_1_48(call: Call) -> None:
    """1.48 added mounts of images, and priorities of networks for the default route."""
    for endpoint in children(_endpoints(call)):
        drop(endpoint, "GwPriority")
    for mount in children(_host_config(call), "Mounts"):
        if mount.get("Type") == "image":
            raise InvalidParameter('Mount type "Image" needs API v1.48 or newer')


def _interface_sysctls(call: Call) -> None:
    """1.48 moved settings of interfaces to endpoints; here those of eth0 are moved."""
    sysctls = child(_host_config(call), "Sysctls")
    if not sysctls or not _is_network(_main_network(call)):
        return
    moved: dict[str, str] = {}
    for name, value in sysctls.items():
        net, family, kind, interface, *rest = [*name.split(".", 4), "", "", "", ""][:5]
        if net != "net" or not interface.startswith("eth") or not rest[0]:
            continue
        if interface != "eth0":
            raise InvalidParameter(
                f"unable to determine network endpoint for sysctl {name}, "
                f"use driver option '{_ENDPOINT_SYSCTLS}' to set per-interface sysctls"
            )
        moved[name] = f"net.{family}.{kind}.IFNAME.{rest[0]}={value}"
    if not moved:
        return
    endpoint = _main_endpoint(call, any_name=call.version < Version(1, 44))
    options = put_child(endpoint, "DriverOpts")
    option = ",".join(moved.values())
    names = ",".join(moved)
    call.notices.append(
        f'Migrated sysctl "{names}" to DriverOpts{{"{_ENDPOINT_SYSCTLS}":"{option}"}}.'
    )
    if given := options.get(_ENDPOINT_SYSCTLS):
        option = f"{option},{given}"
    options[_ENDPOINT_SYSCTLS] = option
    drop(sysctls, *moved)


def _mac_address_until_1_52(call: Call) -> None:
    """1.52 ignores the hardware address of the container; since 1.44 there is a warning."""
    if not isinstance(call.body, dict):
        return
    address = call.body.pop("MacAddress", None)
    if not address:
        return
    if _is_network(_main_network(call)):
        endpoint = _main_endpoint(call, any_name=False)
        if (endpoint.get("MacAddress") or address) != address:
            raise InvalidParameter(
                "the container-wide MAC address must match the endpoint-specific MAC address "
                "for the main network, or be left empty"
            )
        endpoint["MacAddress"] = address
    call.notices.append(_MAC_ADDRESS_NOTICE)


def _words(call: Call) -> None:
    """1.52 accepts only lists of words; before, a string was one word."""
    if isinstance(call.body, dict):
        for name in ("Cmd", "Entrypoint", "Shell"):
            if isinstance(call.body.get(name), str):
                call.body[name] = [call.body[name]]


def _empty_port_bindings(call: Call) -> None:
    """1.52 warns about empty port bindings; before, they meant any port."""
    bindings = child(_host_config(call), "PortBindings") or {}
    for port, places in bindings.items():
        if places is None or places == []:
            bindings[port] = [{}]


# ---- lowerings --------------------------------------------------------------


def _no_volume_driver_warning(result: Any) -> Any:
    """1.48 warns about a volume driver that no mount uses; older clients did so themselves."""
    if isinstance(result, dict) and result.get("Warnings"):
        result["Warnings"] = [
            text for text in result["Warnings"] if not text.startswith(_VOLUME_DRIVER_WARNING)
        ]
    return result


# On hosts with cgroup v1, 1.41 added private cgroup namespaces, with the host's namespace as
# the default. The engine has the same default there, so nothing is lifted.

CHANGES = (
    Change(Version(1, 40), _OPERATION, lift=_until_1_40),
    Change(Version(1, 41), _OPERATION, lift=drop_query("platform")),
    Change(Version(1, 41), _OPERATION, lift=_capabilities),
    Change(Version(1, 42), _OPERATION, lift=_until_1_42),
    Change(Version(1, 43), _OPERATION, lift=_until_1_43),
    Change(Version(1, 44), _OPERATION, lift=_until_1_44),
    Change(Version(1, 44), _OPERATION, lift=_mac_address_until_1_44),
    Change(Version(1, 45), _OPERATION, lift=_subpath),
    Change(Version(1, 48), _OPERATION, lift=_until_1_48),
    Change(Version(1, 48), _OPERATION, lift=_interface_sysctls),
    Change(Version(1, 48), _OPERATION, lower=_no_volume_driver_warning),
    Change(Version(1, 52), (*_OPERATION, "images.commit"), lift=_words),
    Change(Version(1, 52), _OPERATION, lift=_mac_address_until_1_52),
    Change(Version(1, 52), _OPERATION, lift=_empty_port_bindings),
)
