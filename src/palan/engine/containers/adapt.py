"""The engine's defaults in a container's configuration, where inspect shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from palan.api import UNSET
from palan.api.containers import ContainerConfig, HostConfig
from palan.engine.oci.mounts import DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS
from palan.engine.oci.security_options import parse_security_options


__all__ = ["Defaults", "adapt_host_config", "default_hostname"]

_MOST: Final = 2**63 - 1

_LEFT_OUT_WHEN_EMPTY: Final = (
    "annotations", "kernel_memory", "kernel_memory_tcp", "mounts", "storage_opt", "sysctls",
    "tmpfs",
)  # fmt: skip
"""Fields that inspect leaves out when they are empty, whether null or an empty list was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The defaults of a container that leaves something out.

    Attributes:
        runtime: the OCI runtime.
        unified: whether the machine has cgroup v2.
        shm_size: bytes of /dev/shm.
        ipc_mode: ``private`` or ``shareable``.
        cgroupns_mode: the configured mode; empty is ``private`` on cgroup v2, else ``host``.
        network_mode: the default network.
        log_driver: the log driver.
        log_options: options of that driver.
        masked_paths: the paths that are hidden from it.
        readonly_paths: the paths that it cannot write.
    """

    runtime: str = "runc"
    unified: bool = True
    shm_size: int = 64 * 1024 * 1024
    ipc_mode: str = "private"
    cgroupns_mode: str = ""
    network_mode: str = "bridge"
    log_driver: str = "json-file"
    log_options: dict[str, str] = field(default_factory=dict)
    masked_paths: Sequence[str] = DEFAULT_MASKED_PATHS
    readonly_paths: Sequence[str] = DEFAULT_READONLY_PATHS


def adapt_host_config(host_config: HostConfig, defaults: Defaults) -> None:
    """Fill in the defaults, in place."""
    if not host_config.restart_policy.name:
        host_config.restart_policy.name = "no"
    if host_config.network_mode in ("", "default"):
        host_config.network_mode = defaults.network_mode
    if host_config.pids_limit is not None and host_config.pids_limit <= 0:
        host_config.pids_limit = None
    if host_config.memory > 0 and host_config.memory_swap == 0:
        host_config.memory_swap = min(host_config.memory * 2, _MOST)
    host_config.shm_size = host_config.shm_size or defaults.shm_size
    host_config.ipc_mode = host_config.ipc_mode or defaults.ipc_mode
    host_config.runtime = host_config.runtime or defaults.runtime
    if not host_config.cgroupns_mode:
        host_config.cgroupns_mode = _cgroupns_mode(host_config, defaults)
    if host_config.oom_kill_disable is None and not defaults.unified:
        host_config.oom_kill_disable = False
    for name in _LEFT_OUT_WHEN_EMPTY:
        if not getattr(host_config, name):
            setattr(host_config, name, UNSET)
    _adapt_log(host_config, defaults)
    _adapt_paths(host_config, defaults)


def _cgroupns_mode(host_config: HostConfig, defaults: Defaults) -> str:
    if host_config.privileged and not defaults.unified:
        return "host"
    return defaults.cgroupns_mode or ("private" if defaults.unified else "host")


def _adapt_log(host_config: HostConfig, defaults: Defaults) -> None:
    log = host_config.log_config
    if not log.type:
        log.type = defaults.log_driver
    if log.type == defaults.log_driver:
        # The engine's options are those of its own driver only.
        log.config = {**defaults.log_options, **(log.config or {})}
    else:
        # The options of the local log file hold for every driver.
        cache = {n: v for n, v in defaults.log_options.items() if n.startswith("cache-")}
        log.config = {**cache, **(log.config or {})}


def _adapt_paths(host_config: HostConfig, defaults: Defaults) -> None:
    if host_config.privileged:
        return
    unconfined = parse_security_options(host_config.security_opt).unconfined_paths
    if host_config.masked_paths is None:
        host_config.masked_paths = [] if unconfined else list(defaults.masked_paths)
    if host_config.readonly_paths is None:
        host_config.readonly_paths = [] if unconfined else list(defaults.readonly_paths)


def default_hostname(
    config: ContainerConfig, host_config: HostConfig, container_id: str, machine: str
) -> str:
    """Return the host name of a container, which need not have one of its own.

    Args:
        config: the container's configuration.
        host_config: the container's host configuration.
        container_id: its full id, of which the first twelve digits are the default.
        machine: the host's own name, for the host's network or UTS namespace.
    """
    if config.hostname:
        return config.hostname
    if host_config.network_mode == "host" or host_config.uts_mode == "host":
        return machine
    return container_id[:12]
