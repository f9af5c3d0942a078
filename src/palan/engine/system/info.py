"""``GET /info``: facts about this engine and this machine."""

import asyncio
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import palan
from palan.api import UNSET
from palan.api.system import (
    Commit,
    DeviceInfo,
    FirewallInfo,
    IndexInfo,
    PluginsInfo,
    RegistryServiceConfig,
    Runtime,
    SystemInfo,
)
from palan.engine.config import EngineConfig
from palan.engine.logdrivers.drivers import LOG_DRIVERS
from palan.engine.system.surroundings import Surroundings
from palan.host import facts


__all__ = ["info"]


async def info(surroundings: Surroundings) -> SystemInfo:
    """Return what ``docker info`` shows."""
    return await asyncio.to_thread(_info, surroundings, len(asyncio.all_tasks()))


def _info(surroundings: Surroundings, tasks: int) -> SystemInfo:
    from palan.registry.proxies import Proxies, mask_credentials  # noqa: PLC0415 - as the registry client does

    config, runtimes, machine = surroundings.config, surroundings.runtimes, surroundings.machine
    firewall = surroundings.networks.firewall
    states = surroundings.containers.statuses()
    host, features = machine.facts, runtimes.cgroup_features
    warnings = [*runtimes.warnings]
    if host.apparmor:
        warnings.append("WARNING: No AppArmor profile: containers run without one by default")
    if not features.swap_limit:
        warnings.append("WARNING: No swap limit support")
    if not firewall.rules and config.bridge != "none":
        warnings.append("WARNING: No firewall rules: ports are published by a userland proxy")
    warnings += [f"WARNING: {text}" for text in firewall.warnings]
    proxies = Proxies.configured(
        os.environ, http=config.http_proxy, https=config.https_proxy, no_proxy=config.no_proxy
    )
    devices, problems = machine.cdi.devices()
    warnings += [f"CDI: Error associated with spec file {problem}" for problem in problems]
    return SystemInfo(
        id=surroundings.id,
        containers=len(states),
        containers_running=states.count("running"),
        containers_paused=states.count("paused"),
        containers_stopped=len(states) - states.count("running") - states.count("paused"),
        images=surroundings.images.count(),
        driver="overlay2",
        driver_status=[
            ("Backing Filesystem", facts.filesystem_name(surroundings.paths.data_root)),
            ("Supports d_type", "true"),
            ("Using metacopy", "false"),
            ("Native Overlay Diff", "true"),
            ("userxattr", "false"),
        ],
        plugins=PluginsInfo(
            volume=["local"],
            network=surroundings.networks.driver_names,
            authorization=None,
            log=sorted(name for name in LOG_DRIVERS if name != "none"),
        ),
        memory_limit=features.memory_limit,
        swap_limit=features.swap_limit,
        cpu_cfs_period=features.cpu_cfs_period,
        cpu_cfs_quota=features.cpu_cfs_quota,
        cpu_shares=features.cpu_shares,
        cpu_set=features.cpuset,
        pids_limit=features.pids_limit,
        oom_kill_disable=features.oom_kill_disable,
        ipv4_forwarding=facts.ip_forwarding(),
        debug=config.debug,
        nfd=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        ngoroutines=tasks + threading.active_count(),
        system_time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        logging_driver=config.log_driver,
        cgroup_driver="cgroupfs",
        cgroup_version=machine.cgroups.version,
        n_events_listener=surroundings.events.followers,
        kernel_version=host.kernel_version,
        operating_system=host.operating_system,
        os_version=host.os_version,
        os_type="linux",
        architecture=host.architecture,
        index_server_address="https://index.docker.io/v1/",
        registry_config=_registries(config),
        ncpu=host.ncpu,
        mem_total=host.memory_total,
        docker_root_dir=str(surroundings.paths.data_root),
        http_proxy=mask_credentials(proxies.http),
        https_proxy=mask_credentials(proxies.https),
        no_proxy=proxies.no_proxy,
        name=host.hostname,
        labels=list(config.labels),
        experimental_build=config.experimental,
        server_version=palan.__version__,
        runtimes={name: Runtime(path=str(r.path)) for name, r in runtimes.usable.items()},
        default_runtime=runtimes.default,
        live_restore_enabled=True,
        init_binary=machine.init_binary,
        containerd_commit=Commit(),
        runc_commit=Commit(id=runtimes.default_version),
        init_commit=Commit(),
        security_options=_security_options(config, seccomp=host.seccomp),
        firewall_backend=FirewallInfo(driver=firewall.backend),
        cdi_spec_dirs=list(machine.cdi.directories),
        discovered_devices=[DeviceInfo(source="cdi", id=name) for name in devices] or UNSET,
        warnings=warnings or None,
    )


def _registries(config: EngineConfig) -> RegistryServiceConfig:
    from palan.registry.names import ALWAYS_INSECURE  # noqa: PLC0415 - as the registry client does

    mirrors = [f"{mirror.removesuffix('/')}/" for mirror in config.registry_mirrors]
    indexes = {
        "docker.io": IndexInfo(name="docker.io", mirrors=mirrors, secure=True, official=True)
    }
    cidrs = list(ALWAYS_INSECURE)
    for entry in config.insecure_registries:
        if "/" in entry:
            cidrs.append(entry)
        else:
            indexes[entry] = IndexInfo(name=entry, mirrors=[], secure=False, official=False)
    return RegistryServiceConfig(
        insecure_registry_cidrs=cidrs, index_configs=indexes, mirrors=mirrors
    )


def _security_options(config: EngineConfig, *, seccomp: bool) -> list[str]:
    options = []
    if seccomp:
        profile = config.seccomp_profile or "builtin"
        options.append(f"name=seccomp,profile={profile}")
    if config.default_cgroupns_mode == "private":
        options.append("name=cgroupns")
    return options
