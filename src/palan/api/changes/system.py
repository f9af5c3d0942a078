"""Changes of info, events and disk usage."""

from typing import Any

from palan.api.changes._change import Change, child, children, drop, drop_query, put_child, without
from palan.api.changes.images import virtual_size
from palan.api.version import Version


__all__ = ["CHANGES"]


# ---- info -------------------------------------------------------------------


def _no_runtime_status(result: Any) -> Any:
    """1.44 added the features of OCI runtimes."""
    for runtime in children(result, "Runtimes"):
        drop(runtime, "status")
    return result


def _nondistributable_artifacts(result: Any) -> Any:
    """1.47 removed an empty setting without a meaning."""
    registry = child(result, "RegistryConfig")
    if registry is not None:
        registry.setdefault("AllowNondistributableArtifactsCIDRs", None)
        registry.setdefault("AllowNondistributableArtifactsHostnames", None)
    return result


def _expected_commits(result: Any) -> Any:
    """1.49 removed the expected versions of programs."""
    for name in ("ContainerdCommit", "RuncCommit", "InitCommit"):
        commit = put_child(result, name)
        commit["Expected"] = commit.get("ID", "")
    return result


def _bridge_filtering(result: Any) -> Any:
    """1.50 removed the settings of filtering bridges."""
    result["BridgeNfIptables"] = False
    result["BridgeNfIp6tables"] = False
    return result


# ---- events -----------------------------------------------------------------


def _no_image_create(event: Any) -> Any:
    """1.46 added events about created images."""
    return None if event.get("Type") == "image" and event.get("Action") == "create" else event


def _flat_event(event: Any) -> Any:
    """1.52 removed keys that repeat ``Actor`` and ``Action``."""
    actor = child(event, "Actor") or {}
    if event.get("Type") in ("container", "image"):
        event["id"] = actor.get("ID", "")
        event["status"] = event.get("Action", "")
        if event["Type"] == "container":
            event["from"] = (child(actor, "Attributes") or {}).get("image", "")
    return event


# ---- disk usage -------------------------------------------------------------


def _virtual_sizes(result: Any) -> Any:
    """1.44 gives the size of an image but once."""
    virtual_size(result.get("Images"))
    return result


CHANGES = (
    Change(Version(1, 42), ("system.disk_usage",), lift=drop_query("type")),
    Change(Version(1, 44), ("system.info",), lower=_no_runtime_status),
    Change(Version(1, 44), ("system.disk_usage",), lower=_virtual_sizes),
    Change(Version(1, 46), ("system.info",), lower=without("Containerd")),
    Change(Version(1, 46), ("system.events",), lower=_no_image_create),
    Change(Version(1, 47), ("system.info",), lower=_nondistributable_artifacts),
    Change(Version(1, 49), ("system.info",), lower=without("FirewallBackend")),
    Change(Version(1, 49), ("system.info",), lower=_expected_commits),
    Change(Version(1, 50), ("system.info",), lower=without("DiscoveredDevices")),
    Change(Version(1, 50), ("system.info",), lower=_bridge_filtering),
    Change(Version(1, 52), ("system.disk_usage",), lift=drop_query("verbose")),
    Change(
        Version(1, 52),
        ("system.disk_usage",),
        lower=without("ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"),
    ),
    Change(Version(1, 52), ("system.events",), lower=_flat_event),
    Change(Version(1, 53), ("system.info",), lower=without("NRI")),
)
