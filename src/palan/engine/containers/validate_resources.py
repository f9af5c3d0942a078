"""Validation of limits, at create and at update: ranges, combinations, support by the machine.

Limits that the machine's cgroups do not support are discarded with a warning, in dockerd's
words; the request is changed in place for that.
"""

from typing import Final

from palan.api import UNSET
from palan.api.containers import Resources
from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.machine.cpusets import parse_cpuset
from palan.engine.oci.resources import block_device_paths


__all__ = ["MINIMUM_MEMORY", "validate_resources"]

MINIMUM_MEMORY: Final = 6 * 1024 * 1024

_BLOCK_IO: Final = (
    # field, feature of cgroups, name in the warning, consequence in the warning
    ("blkio_weight_device", "blkio_weight_device", "Block I/O weight_device", "Weight-device"),
    *(
        (
            f"blkio_device_{verb}_{unit.lower()}",
            f"blkio_{verb}_{unit.lower()}",
            f"{unit} Block {kind}{verb} limit",
            f"Block I/O {unit} {verb} limit",
        )
        for unit, kind in (("BPS", "I/O "), ("IOPS", ""))
        for verb in ("read", "write")
    ),
)


def validate_resources(
    resources: Resources, facts: CreateFacts, *, update: bool = False
) -> list[str]:
    """Check the limits, and discard those that the machine does not support.

    Args:
        resources: the limits; changed in place.
        facts: the facts about the machine.
        update: whether an existing container is updated, which may already have a memory limit.

    Returns:
        Warnings.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    warnings: list[str] = []
    _validate_memory(resources, facts, warnings, update=update)
    _validate_pids(resources, facts, warnings)
    _validate_cpu(resources, facts, warnings)
    _validate_realtime(resources, facts, update=update)
    _validate_cpuset(resources, facts, warnings)
    _validate_block_io(resources, facts, warnings)
    return warnings


def _discard(warnings: list[str], what: str, outcome: str) -> None:
    warnings.append(f"Your kernel does not support {what} or the cgroup is not mounted. {outcome}")


def _validate_memory(  # noqa: C901, PLR0912 - a list of rules, in dockerd's order
    limits: Resources, facts: CreateFacts, warnings: list[str], *, update: bool
) -> None:
    features = facts.features
    if limits.memory_swappiness == -1:
        limits.memory_swappiness = None
    if limits.memory and limits.memory < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if limits.memory > 0 and not features.memory_limit:
        _discard(warnings, "memory limit capabilities", "Limitation discarded.")
        limits.memory, limits.memory_swap = 0, -1
    if limits.memory > 0 and limits.memory_swap != -1 and not features.swap_limit:
        _discard(warnings, "swap limit capabilities", "Memory limited without swap.")
        limits.memory_swap = -1
    if limits.memory_swap < -1:
        raise InvalidParameter(
            f"invalid memory swap limit ({limits.memory_swap}): use -1 for no limit"
        )
    if limits.memory > 0 and 0 < limits.memory_swap < limits.memory:
        raise InvalidParameter(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if limits.memory == 0 and limits.memory_swap > 0 and not update:
        raise InvalidParameter(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if limits.memory_swappiness is not None and not features.memory_swappiness:
        _discard(warnings, "memory swappiness capabilities", "Memory swappiness discarded.")
        limits.memory_swappiness = None
    if limits.memory_swappiness is not None and not 0 <= limits.memory_swappiness <= 100:
        raise InvalidParameter(
            f"Invalid value: {limits.memory_swappiness}, valid memory swappiness range is 0-100"
        )
    if limits.memory_reservation > 0 and not features.memory_reservation:
        _discard(warnings, "memory soft limit capabilities", "Limitation discarded.")
        limits.memory_reservation = 0
    if limits.memory_reservation and limits.memory_reservation < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory reservation allowed is 6MB")
    if 0 < limits.memory < limits.memory_reservation:
        raise InvalidParameter(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )
    if limits.oom_kill_disable is not None and not features.oom_kill_disable:
        if limits.oom_kill_disable:
            warnings.append(
                "Your kernel does not support OomKillDisable. OomKillDisable discarded."
            )
        limits.oom_kill_disable = None
    if limits.oom_kill_disable and limits.memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set,"
            " this can result in the system running out of resources."
        )
    if limits.kernel_memory:
        warnings.append("Kernel memory limits are no more. Limitation discarded.")
        limits.kernel_memory = UNSET
    if limits.kernel_memory_tcp and not features.kernel_memory_tcp:
        _discard(warnings, "kernel memory TCP limit", "Limitation discarded.")
        limits.kernel_memory_tcp = UNSET


def _validate_pids(limits: Resources, facts: CreateFacts, warnings: list[str]) -> None:
    if limits.pids_limit is not None and not facts.features.pids_limit:
        if limits.pids_limit > 0:
            _discard(warnings, "PIDs limit capabilities", "PIDs limit discarded.")
        limits.pids_limit = None


def _validate_cpu(limits: Resources, facts: CreateFacts, warnings: list[str]) -> None:
    _validate_nano_cpus(limits, facts)
    features = facts.features
    if limits.cpu_shares < 0:
        raise InvalidParameter(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer"
        )
    if limits.cpu_shares > 0 and not features.cpu_shares:
        _discard(warnings, "CPU shares", "Shares discarded.")
        limits.cpu_shares = 0
    if (limits.cpu_period or limits.cpu_quota) and not _has_cfs(facts):
        warnings.append(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
        )
        limits.cpu_period = limits.cpu_quota = 0
    if limits.cpu_period and not 1_000 <= limits.cpu_period <= 1_000_000:
        raise InvalidParameter(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < limits.cpu_quota < 1_000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    for name, what in (("cpu_percent", "percent"), ("cpu_count", "count")):
        if getattr(limits, name) > 0:
            warnings.append(f"linux does not support CPU {what}. {what.capitalize()} discarded.")
            setattr(limits, name, 0)


def _has_cfs(facts: CreateFacts) -> bool:
    return facts.features.cpu_cfs_period and facts.features.cpu_cfs_quota


def _validate_nano_cpus(limits: Resources, facts: CreateFacts) -> None:
    for value, name in ((limits.cpu_period, "CPU Period"), (limits.cpu_quota, "CPU Quota")):
        if limits.nano_cpus > 0 and value > 0:
            raise InvalidParameter(f"Conflicting options: Nano CPUs and {name} cannot both be set")
    if limits.nano_cpus > 0 and not _has_cfs(facts):
        raise InvalidParameter(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler"
            " or the cgroup is not mounted"
        )
    if not 0 <= limits.nano_cpus <= facts.cpus * 1_000_000_000:
        raise InvalidParameter(
            f"range of CPUs is from 0.01 to {facts.cpus}.00,"
            f" as there are only {facts.cpus} CPUs available"
        )
    if 0 < limits.nano_cpus < 10_000_000:
        # The kernel would refuse less at start: the minimum of a quota is a millisecond.
        raise InvalidParameter(
            f"range of CPUs is from 0.01 to {facts.cpus}.00, but {limits.nano_cpus} billionths"
            " of one were asked for"
        )


def _validate_realtime(limits: Resources, facts: CreateFacts, *, update: bool) -> None:
    period, runtime = limits.cpu_realtime_period, limits.cpu_realtime_runtime
    if (period or runtime) and not facts.features.cpu_realtime:
        raise InvalidParameter("kernel does not support CPU real-time scheduler")
    if runtime and not (facts.realtime or limits.cgroup_parent or update):
        raise InvalidParameter(
            "containers have no real-time time to share: give the engine some (--cpu-rt-runtime),"
            " or put them below a cgroup that has some (CgroupParent)"
        )
    if period and runtime > period:
        raise InvalidParameter("cpu real-time runtime cannot be higher than cpu real-time period")


def _validate_cpuset(limits: Resources, facts: CreateFacts, warnings: list[str]) -> None:
    if (limits.cpuset_cpus or limits.cpuset_mems) and not facts.features.cpuset:
        _discard(warnings, "cpuset", "Cpuset discarded.")
        limits.cpuset_cpus = limits.cpuset_mems = ""
    for asked, short, what, available in (
        (limits.cpuset_cpus, "cpus", "CPUs", facts.cpuset_cpus),
        (limits.cpuset_mems, "mems", "memory nodes", facts.cpuset_mems),
    ):
        try:
            numbers = parse_cpuset(asked)
        except ValueError as error:
            raise InvalidParameter(f"Invalid value {asked} for cpuset {short}: {error}") from None
        if not numbers <= available:
            raise InvalidParameter(
                f"Requested {what} are not available - requested {asked},"
                f" available: {_ranges(available)}"
            )


def _ranges(numbers: frozenset[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in parts)


def _validate_block_io(limits: Resources, facts: CreateFacts, warnings: list[str]) -> None:
    if limits.blkio_weight and not facts.features.blkio_weight:
        _discard(warnings, "Block I/O weight", "Weight discarded.")
        limits.blkio_weight = 0
    for name, feature, what, outcome in _BLOCK_IO:
        if getattr(limits, name) and not getattr(facts.features, feature):
            _discard(warnings, what, f"{outcome} discarded.")
            setattr(limits, name, [])
    weights = [device.weight for device in limits.blkio_weight_device or ()]
    if limits.blkio_weight:
        weights.append(limits.blkio_weight)
    if not all(10 <= weight <= 1000 for weight in weights):
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")
    for value, what in (
        (limits.io_maximum_bandwidth, "bandwidth"),
        (limits.io_maximum_iops, "IOPs"),
    ):
        if value:
            raise InvalidParameter(
                f"invalid option: QoS maximum {what} configuration is not supported on linux"
            )
    for path in block_device_paths(limits):
        if not facts.path_exists(path):
            raise InvalidParameter(f"stat {path}: no such file or directory")
