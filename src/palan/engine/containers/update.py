"""``POST /containers/{id}/update``: other limits, or another restart policy.

What changes stands in the configuration, from which the next start takes it; a container
that runs is changed first, so that a limit that the kernel does not take changes nothing.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from palan.api import Unset
from palan.api.containers import (
    ContainerUpdateBody,
    ContainerUpdateResponse,
    HostConfig,
    Resources,
    RestartPolicy,
    ThrottleDevice,
    WeightDevice,
)
from palan.api.errors import Conflict, InternalError, InvalidParameter, PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.create_facts import create_facts
from palan.engine.containers.devices import block_devices
from palan.engine.containers.spec import cgroup_path
from palan.engine.containers.validate import validate_update
from palan.engine.oci.resources import CPU_PERIOD, BlockDevices, linux_resources
from palan.host.cgroup_limits import (
    DeviceLimit,
    remove_cpu_quota,
    set_device_limits,
    set_process_limit,
)
from palan.host.cgroups import Cgroups
from palan.host.oci_runtime import RuntimeFailure


__all__ = ["UPDATABLE", "update"]

UPDATABLE: Final = (
    "blkio_weight",
    "blkio_weight_device",
    "blkio_device_read_bps",
    "blkio_device_write_bps",
    "blkio_device_read_iops",
    "blkio_device_write_iops",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpuset_cpus",
    "cpuset_mems",
    "memory",
    "memory_swap",
    "memory_reservation",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
    "pids_limit",
)
"""What can be changed; of all others a warning says that they can't."""

_DEVICE_LIMITS: Final[Mapping[str, DeviceLimit]] = {
    "blkio_weight_device": "weight",
    "blkio_device_read_bps": "read_bps",
    "blkio_device_write_bps": "write_bps",
    "blkio_device_read_iops": "read_iops",
    "blkio_device_write_iops": "write_iops",
}

_WITHOUT_LIMIT: Final = {
    "memory": ("memory", "limit", -1),
    "memory_swap": ("memory", "swap", -1),
    "memory_reservation": ("memory", "reservation", -1),
    "cpu_shares": ("cpu", "shares", 1024),
    "cpu_period": ("cpu", "period", CPU_PERIOD),
}
"""In the runtime's words that there is no limit."""

_CONFLICTS: Final = (
    # asked for, already there
    ("nano_cpus", "cpu_period", "Nano CPUs cannot be updated as CPU Period has already been set"),
    ("nano_cpus", "cpu_quota", "Nano CPUs cannot be updated as CPU Quota has already been set"),
    ("cpu_period", "nano_cpus", "CPU Period cannot be updated as NanoCPUs has already been set"),
    ("cpu_quota", "nano_cpus", "CPU Quota cannot be updated as NanoCPUs has already been set"),
)


async def update(
    context: ContainerContext, container: Container, body: ContainerUpdateBody
) -> ContainerUpdateResponse:
    """Change a container.

    Raises:
        InvalidParameter: a limit makes no sense, or the kernel does not take it.
        Conflict: it does not go with what the container has, or the container is going away.
        InternalError: the limits of the running container could not be changed.
    """
    warnings = _fixed(body)
    policy = body.restart_policy
    asked = [name for name in _DEVICE_LIMITS if getattr(body, name)]
    warnings += validate_update(body, policy, create_facts(context))
    for name in asked:
        # What the machine cannot do is no change; an empty list would take away what is there.
        setattr(body, name, getattr(body, name) or None)
    if body.pids_limit is not None and body.pids_limit <= 0:
        body.pids_limit = 0  # however "no limit" was said, as inspect shows it
    async with container.lock:
        record = container.record
        if container.removed or record.status in ("removing", "dead"):
            raise _cannot(container, 'container is marked for removal and cannot be "update"')
        changed = _changed(container, body, policy)
        if container.running:
            await _apply(context, container, body, changed)
        before, record.host_config = record.host_config, changed
        try:
            await context.save(container)
        except BaseException:
            record.host_config = before
            raise
    context.events.publish("container", "update", container.id, container.attributes)
    return ContainerUpdateResponse(warnings=warnings or None)


def _fixed(body: ContainerUpdateBody) -> list[str]:
    """Warnings about what was asked for and can't be changed; it is forgotten."""
    default = Resources()
    warnings = []
    for entry in msgspec.structs.fields(Resources):
        value = getattr(body, entry.name)
        if entry.name in UPDATABLE or isinstance(value, Unset):
            continue
        if value and value != getattr(default, entry.name):
            name = entry.encode_name
            warnings.append(f"{name} cannot be changed by an update. {name} discarded.")
        setattr(body, entry.name, getattr(default, entry.name))
    return warnings


def _cannot(container: Container, why: str) -> Conflict:
    return Conflict(f"Cannot update container {container.id}: {why}")


def _is_asked(body: ContainerUpdateBody, name: str) -> bool:
    """Whether a field is there: of numbers and texts 0 and "" mean no change."""
    value = getattr(body, name)
    if name == "pids_limit" or name in _DEVICE_LIMITS:
        return value is not None
    return bool(value)


def _changed(
    container: Container, body: ContainerUpdateBody, policy: RestartPolicy | None
) -> HostConfig:
    """The new configuration; the old one is left as it is.

    Raises:
        Conflict: it does not go with the old one; in dockerd's words.
    """
    present = container.record.host_config
    for asked, there, why in _CONFLICTS:
        if getattr(body, asked) > 0 and getattr(present, there) > 0:
            raise _cannot(container, f"Conflicting options: {why}")
    if body.memory > present.memory_swap and body.memory and not body.memory_swap:
        raise _cannot(
            container,
            "Memory limit should be smaller than already set memoryswap limit,"
            " update the memoryswap at the same time",
        )
    changes = {name: getattr(body, name) for name in UPDATABLE if _is_asked(body, name)}
    if policy is not None and policy.name:
        if present.auto_remove and policy.name != "no":
            raise _cannot(
                container,
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            )
        changes["restart_policy"] = policy
    return msgspec.structs.replace(present, **changes)


async def _apply(
    context: ContainerContext, container: Container, body: ContainerUpdateBody, changed: HostConfig
) -> None:
    """Give the new limits to a container that runs, or leave it all its old ones.

    Raises:
        InvalidParameter: the kernel does not take a limit, such as memory that is in use.
        InternalError: the runtime does not work.
    """
    try:
        await _set(context, container, _limits(body, changed))
    except (RuntimeFailure, OSError, TimeoutError) as failure:
        why = f"Cannot update container {container.id}: {failure}"
        with contextlib.suppress(RuntimeFailure, OSError, TimeoutError, PalanError):
            before = _limits(body, container.record.host_config)
            await _set(context, container, before, lift=_asked(body))
        if isinstance(failure, TimeoutError):
            raise InternalError(why) from failure
        raise InvalidParameter(why) from None


def _asked(body: ContainerUpdateBody) -> set[str]:
    asked = {name for name in UPDATABLE if _is_asked(body, name)}
    if asked & {"memory", "memory_swap"}:
        asked |= {"memory", "memory_swap"}  # in cgroup v2 swap is what is left of both
    return asked


def _limits(body: ContainerUpdateBody, source: HostConfig) -> Resources:
    """Of the limits in ``source`` those that the request is about."""
    asked = _asked(body)
    limits = Resources(**{name: getattr(source, name) for name in asked})
    if "pids_limit" in asked:
        limits.pids_limit = limits.pids_limit or 0
    for name in asked & _DEVICE_LIMITS.keys():
        setattr(limits, name, getattr(limits, name) or [])
    return limits


async def _set(
    context: ContainerContext, container: Container, limits: Resources, *, lift: Iterable[str] = ()
) -> None:
    """Set limits of a running container.

    Args:
        context: the context of the room.
        container: the container.
        limits: those that are 0 or None stay as they are.
        lift: but of these 0 means that there shall be none.
    """
    numbers = await asyncio.to_thread(block_devices, limits)
    own = (*_DEVICE_LIMITS, "pids_limit")
    others = msgspec.structs.replace(limits, **dict.fromkeys(own))
    unified = context.machine.host.unified
    resources = linux_resources(others, unified=unified, update=True)
    for name in lift:
        if not getattr(limits, name) and name in _WITHOUT_LIMIT:
            section, key, value = _WITHOUT_LIMIT[name]
            if name == "memory_reservation" and unified:
                value = 0  # it is a promise there, and none was made
            resources.setdefault(section, {}).setdefault(key, value)
    if resources:
        runtime = context.runtimes.get(container.record.runtime)
        await runtime.update(container.id, resources)
    path = cgroup_path(context, container.record)
    unlimited = limits.cpu_quota < 0 or (
        bool({"cpu_quota", "nano_cpus"} & set(lift)) and not (limits.cpu_quota or limits.nano_cpus)
    )
    await asyncio.to_thread(
        _set_here, context.machine.cgroups, path, limits, numbers, unlimited=unlimited
    )


def _set_here(
    cgroups: Cgroups, path: str, limits: Resources, numbers: BlockDevices, *, unlimited: bool
) -> None:
    """What is set without a runtime.

    Args:
        cgroups: the machine's.
        path: the container's cgroup.
        limits: what to set.
        numbers: of the block devices in it.
        unlimited: there shall be no limit on processor time.
    """
    if unlimited:
        remove_cpu_quota(cgroups, path)
    if limits.pids_limit is not None:
        set_process_limit(cgroups, path, limits.pids_limit)
    for name, kind in _DEVICE_LIMITS.items():
        devices: list[WeightDevice | ThrottleDevice] | None = getattr(limits, name)
        if devices is not None:
            rates = {
                numbers[device.path]: device.weight
                if isinstance(device, WeightDevice)
                else device.rate
                for device in devices
            }
            set_device_limits(cgroups, path, kind, rates)
