"""``POST /containers/{id}/update``: change limits, or the restart policy.

The new values are stored in the configuration, for the next start.  A running container is
changed first, so that a limit that the kernel refuses changes nothing.
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
"""Fields that can be changed; there is a warning for any other."""

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
"""Section, key and value of the runtime spec that mean no limit."""

_CONFLICTS: Final = (
    # requested field, existing field, message
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
        InvalidParameter: a limit is invalid, or the kernel refuses it.
        Conflict: it contradicts another limit, or the container is being removed.
        InternalError: the limits of the running container could not be changed.
    """
    warnings = _discard_unchangeable(body)
    policy = body.restart_policy
    asked = [name for name in _DEVICE_LIMITS if getattr(body, name)]
    warnings += validate_update(body, policy, create_facts(context))
    for name in asked:
        # Unsupported limits are not changed; an empty list would remove the existing ones.
        setattr(body, name, getattr(body, name) or None)
    if body.pids_limit is not None and body.pids_limit <= 0:
        body.pids_limit = 0  # inspect shows any value that means no limit as 0
    async with container.lock:
        record = container.record
        if container.removed or record.status in ("removing", "dead"):
            raise _cannot(container, 'container is marked for removal and cannot be "update"')
        changed = _changed(container, body, policy)
        if container.running:
            await _apply(context, container, body, changed)
        before, record.host_config = record.host_config, changed
        context.events.publish("container", "update", container.id, container.attributes)
        try:
            await context.save(container)
        except BaseException:
            record.host_config = before
            raise
    return ContainerUpdateResponse(warnings=warnings or None)


def _discard_unchangeable(body: ContainerUpdateBody) -> list[str]:
    """Reset fields that can't be changed, and return warnings about them."""
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
    """Whether a field is to be changed; 0 and "" mean no change for numbers and texts."""
    value = getattr(body, name)
    if name == "pids_limit" or name in _DEVICE_LIMITS:
        return value is not None
    return bool(value)


def _changed(
    container: Container, body: ContainerUpdateBody, policy: RestartPolicy | None
) -> HostConfig:
    """Return the new configuration, without changing the old one.

    Raises:
        Conflict: it contradicts the old one; in dockerd's words.
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
    """Set the new limits of a running container, or restore all old ones.

    Raises:
        InvalidParameter: the kernel refuses a limit, such as less memory than is in use.
        InternalError: the runtime takes too long.
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
        asked |= {"memory", "memory_swap"}  # cgroup v2 has a limit for their difference
    return asked


def _limits(body: ContainerUpdateBody, source: HostConfig) -> Resources:
    """Return the limits in ``source`` that the request is about."""
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
        limits: the limits; 0 and None mean no change.
        lift: names of limits for which 0 means that the limit is removed.
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
                value = 0  # memory.low, where 0 is no protection
            resources.setdefault(section, {}).setdefault(key, value)
    if resources:
        runtime = context.runtimes.get(container.record.runtime)
        await runtime.update(container.id, resources)
    path = cgroup_path(context, container.record)
    unlimited = limits.cpu_quota < 0 or (
        bool({"cpu_quota", "nano_cpus"} & set(lift)) and not (limits.cpu_quota or limits.nano_cpus)
    )
    await asyncio.to_thread(
        _set_directly, context.machine.cgroups, path, limits, numbers, unlimited=unlimited
    )


def _set_directly(
    cgroups: Cgroups, path: str, limits: Resources, numbers: BlockDevices, *, unlimited: bool
) -> None:
    """Set the limits that the runtimes can't change.

    Args:
        cgroups: the machine's cgroups.
        path: the container's cgroup.
        limits: the limits.
        numbers: the numbers of the block devices, by path.
        unlimited: remove the limit on processor time.
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
