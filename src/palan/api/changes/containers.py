"""Changes of containers and exec, except for create."""

import ipaddress
from typing import Any

from palan.api.changes._change import Call, Change, child, children, drop, drop_query, without
from palan.api.version import Version


__all__ = ["CHANGES"]

_BRIDGE_FIELDS = (
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
)
"""Keys that older versions copied from the default bridge to ``NetworkSettings``."""


def _no_annotations(result: Any) -> Any:
    """1.46 added annotations to lists."""
    for container in children(result):
        drop(child(container, "HostConfig"), "Annotations")
    return result


def _id_among_aliases(result: Any) -> Any:
    """1.45 removed the container's id and host name from its aliases."""
    networks = child(result, "NetworkSettings", "Networks") or {}
    own = (str(result.get("Id", ""))[:12], (child(result, "Config") or {}).get("Hostname", ""))
    for name, endpoint in networks.items():
        if name not in ("bridge", "host", "none", "default") and isinstance(endpoint, dict):
            aliases = (*(endpoint.get("Aliases") or ()), *own)
            endpoint["Aliases"] = list(dict.fromkeys(alias for alias in aliases if alias))
    return result


def _bridge_on_top(result: Any) -> Any:
    """1.52 removed the default bridge's addresses from ``NetworkSettings``."""
    bridge = child(result, "NetworkSettings", "Networks", "bridge")
    if bridge is not None:
        result["NetworkSettings"].update({name: bridge.get(name) for name in _BRIDGE_FIELDS})
    return result


def _is_made_up(mac_address: str, ip_address: str) -> bool:
    """Whether a hardware address is derived from the IP address, as engines do."""
    try:
        packed = ipaddress.IPv4Address(ip_address).packed
    except ValueError:
        return False
    return mac_address.lower() == f"02:42:{packed.hex(':')}"


def _mac_address_in_config(result: Any) -> Any:
    """1.52 removed the requested hardware address from ``Config``.

    The result contains the actual address, which was requested if it is not derived from
    the IP address.
    """
    mode = (child(result, "HostConfig") or {}).get("NetworkMode")
    main = "bridge" if mode in (None, "", "default") else mode
    endpoint = child(result, "NetworkSettings", "Networks", main)
    config = child(result, "Config")
    if endpoint is not None and config is not None:
        address = endpoint.get("MacAddress")
        if address and not _is_made_up(address, endpoint.get("IPAddress", "")):
            config["MacAddress"] = address
    return result


def _graph_driver(result: Any) -> Any:
    """1.52 replaced ``GraphDriver`` by ``Storage``."""
    snapshot = child(result, "Storage", "RootFS", "Snapshot")
    if snapshot is not None:
        del result["Storage"]
        result.setdefault("GraphDriver", {"Name": snapshot.get("Name", ""), "Data": None})
    return result


def _no_error(result: Any) -> Any:
    """1.34 added the error for a missing exit status; before, the connection ended."""
    return None if isinstance(result, dict) and result.get("Error") else result


def _no_pids_limit(call: Call) -> None:
    """1.40 added the limit of processes to updates."""
    drop(child(call.body), "PidsLimit")


def _no_device_limits(call: Call) -> None:
    """1.55 added limits of devices to updates."""
    drop(
        child(call.body),
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    )


def _no_console_size(call: Call) -> None:
    """1.42 added the initial size of an exec's terminal."""
    drop(child(call.body), "ConsoleSize")


CHANGES = (
    Change(Version(1, 30), ("containers.wait",), lift=drop_query("condition")),
    Change(Version(1, 34), ("containers.wait",), lower=_no_error),
    Change(Version(1, 40), ("containers.update",), lift=_no_pids_limit),
    Change(Version(1, 41), ("containers.stats",), lift=drop_query("one-shot")),
    Change(Version(1, 42), ("containers.stop", "containers.restart"), lift=drop_query("signal")),
    Change(Version(1, 42), ("exec.create", "exec.start"), lift=_no_console_size),
    Change(Version(1, 45), ("containers.inspect",), lower=_id_among_aliases),
    Change(Version(1, 46), ("containers.list",), lower=_no_annotations),
    Change(
        Version(1, 48),
        ("containers.list", "containers.inspect"),
        lower=without("ImageManifestDescriptor"),
    ),
    Change(Version(1, 52), ("containers.list",), lower=without("Health")),
    Change(Version(1, 52), ("containers.inspect",), lower=_bridge_on_top),
    Change(Version(1, 52), ("containers.inspect",), lower=_mac_address_in_config),
    Change(Version(1, 52), ("containers.inspect",), lower=_graph_driver),
    Change(Version(1, 55), ("containers.update",), lift=_no_device_limits),
)
