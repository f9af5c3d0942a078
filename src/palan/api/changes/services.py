"""Changes of services."""

from typing import Any

from palan.api.changes._change import Call, Change, child, children, drop, drop_query
from palan.api.version import Version


__all__ = ["CHANGES"]

_WRITE = ("services.create", "services.update")


def _task(call: Call, *names: str) -> dict[str, Any] | None:
    """Return a part of the request's task."""
    return child(call.body, "TaskTemplate", *names)


def _until_1_40(call: Call) -> None:
    """1.40 added sysctls, configs as credentials, and a limit per node."""
    container = _task(call, "ContainerSpec")
    drop(container, "Sysctls")
    drop(child(container, "Privileges", "CredentialSpec"), "Config")
    for config in children(container, "Configs"):
        drop(config, "Runtime")
    drop(_task(call, "Placement"), "MaxReplicas")


def _until_1_41(call: Call) -> None:
    """1.41 added capabilities, ulimits, a limit of processes, and jobs."""
    drop(_task(call, "ContainerSpec"), "CapabilityAdd", "CapabilityDrop", "Ulimits")
    drop(_task(call, "Resources", "Limits"), "Pids")
    drop(child(call.body, "Mode"), "ReplicatedJob", "GlobalJob")


def _until_1_44(call: Call) -> None:
    """1.44 added security profiles and a start interval, and has networks only in the task."""
    drop(
        _task(call, "ContainerSpec", "Privileges"),
        "Seccomp",
        "AppArmor",
        "NoNewPrivileges",
    )
    drop(_task(call, "ContainerSpec", "Healthcheck"), "StartInterval")
    networks = call.body.pop("Networks", None) if isinstance(call.body, dict) else None
    task = _task(call)
    if networks and task is not None and not task.get("Networks"):
        task["Networks"] = networks


def _until_1_46(call: Call) -> None:
    """1.46 added options of tmpfs, and a score for the OOM killer."""
    container = _task(call, "ContainerSpec")
    for mount in children(container, "Mounts"):
        drop(child(mount, "TmpfsOptions"), "Options")
    drop(container, "OomScoreAdj")


def _until_1_52(call: Call) -> None:
    """1.52 added swap."""
    drop(_task(call, "Resources"), "SwapBytes", "MemorySwappiness")


def _networks_of_spec(result: Any) -> Any:
    """1.25 moved a service's networks to its task."""
    for service in [result] if isinstance(result, dict) else children(result):
        for name in ("Spec", "PreviousSpec"):
            networks = (child(service, name, "TaskTemplate") or {}).get("Networks")
            if networks:
                service[name]["Networks"] = networks
    return result


CHANGES = (
    Change(Version(1, 25), ("services.list", "services.inspect"), lower=_networks_of_spec),
    Change(Version(1, 40), _WRITE, lift=_until_1_40),
    Change(Version(1, 41), _WRITE, lift=_until_1_41),
    Change(Version(1, 41), ("services.list",), lift=drop_query("status")),
    Change(Version(1, 44), _WRITE, lift=_until_1_44),
    Change(Version(1, 46), _WRITE, lift=_until_1_46),
    Change(Version(1, 52), _WRITE, lift=_until_1_52),
)
