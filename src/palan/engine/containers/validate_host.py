"""Validation of namespaces, restart policy, security options, devices and sysctls."""

from collections.abc import Mapping
from typing import Final

from palan.api import Unset
from palan.api.containers import ContainerConfig, HostConfig, RestartPolicy
from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.networks.validate_endpoint import SYSCTLS
from palan.engine.oci.capabilities import granted, missing_warnings, wanted
from palan.engine.oci.devices import check_permissions, parse_cgroup_rule
from palan.engine.oci.rlimits import check_ulimit, merge_ulimits, rlimit_warnings
from palan.engine.oci.seccomp import seccomp_profile
from palan.engine.oci.security_options import parse_security_options
from palan.host.seccomp_bpf import ANNOTATION


__all__ = ["validate_host_config", "validate_modes", "validate_restart_policy", "validate_sysctls"]

_POLICIES: Final = ("no", "always", "on-failure", "unless-stopped")
_IPC_SYSCTLS: Final = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)


def validate_host_config(
    config: ContainerConfig, host_config: HostConfig, facts: CreateFacts
) -> list[str]:
    """Check everything but networks, mounts, limits and logs.

    Returns:
        Warnings.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if host_config.auto_remove and host_config.restart_policy.name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")
    validate_restart_policy(host_config.restart_policy)
    warnings = validate_modes(host_config, facts)
    _check_plain_values(host_config, facts)
    validate_sysctls(host_config)
    warnings += _security(host_config, facts)
    warnings += _limits(host_config, facts)
    _devices(host_config)
    if not facts.init_path and _wants_init(host_config, facts):
        raise InvalidParameter(
            "no init program was found on this machine: install tini or catatonit,"
            " or name one with --init-path"
        )
    if host_config.init is True and host_config.pid_mode:
        warnings.append(
            "An init process needs a PID namespace of its own, which PidMode excludes."
            " Init discarded."
        )
    published = host_config.port_bindings or host_config.publish_all_ports
    if config.network_disabled and published:
        warnings.append("Published ports are discarded when networking is disabled")
    return warnings


def _check_plain_values(host_config: HostConfig, facts: CreateFacts) -> None:
    if host_config.isolation.lower() not in ("", "default"):
        raise InvalidParameter(
            f"invalid isolation ({host_config.isolation}): linux only supports 'default'"
        )
    if not isinstance(host_config.annotations, Unset):
        _check_annotations(host_config.annotations)
    if host_config.shm_size < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= host_config.oom_score_adj <= 1000:
        raise InvalidParameter(
            f"Invalid value {host_config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if min(host_config.console_size) < 0:
        raise InvalidParameter("invalid ConsoleSize: it must not be negative")
    parent = host_config.cgroup_parent
    if parent and facts.systemd_cgroups and not (parent.endswith(".slice") and len(parent) > 6):
        raise InvalidParameter(
            'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'
        )
    if ".." in parent.split("/") or any(character < " " for character in parent):
        raise InvalidParameter(
            f"invalid cgroup-parent {parent!r}: it must name a cgroup, without '..' on the way"
        )
    if host_config.runtime and host_config.runtime not in facts.runtimes:
        raise InvalidParameter(f"unknown or invalid runtime name: {host_config.runtime}")


def _check_annotations(annotations: Mapping[str, str]) -> None:
    """Refuse the annotation that would override the seccomp profile; others go to the runtime.

    crun applies the value of that annotation instead of the filter that inspect shows.
    """
    if "" in annotations:
        raise InvalidParameter(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    if ANNOTATION in annotations:
        raise InvalidParameter(
            f"invalid Annotations: {ANNOTATION} is set by the engine; use the security option"
            " seccomp for a filter of your own"
        )


def validate_restart_policy(policy: RestartPolicy) -> None:
    """Refuse unknown policies, and counts for policies that have none.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    name, count = policy.name, policy.maximum_retry_count
    if not name:
        return
    invalid = "invalid restart policy: "
    if name not in _POLICIES:
        raise InvalidParameter(
            f"{invalid}unknown policy '{name}'; use one of 'no', 'always', 'on-failure',"
            " or 'unless-stopped'"
        )
    if name == "on-failure":
        if count < 0:
            raise InvalidParameter(f"{invalid}maximum retry count cannot be negative")
    elif count:
        also = " and cannot be negative" if count < 0 else ""
        raise InvalidParameter(
            f"{invalid}maximum retry count can only be used with 'on-failure'{also}"
        )


def validate_modes(host_config: HostConfig, facts: CreateFacts) -> list[str]:
    """Check the form of the namespace modes, not whether a named container exists.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    for what, mode, known in (
        ("IPC", host_config.ipc_mode, ("", "none", "private", "shareable", "host")),
        ("PID", host_config.pid_mode, ("", "host")),
    ):
        scheme, _, container = mode.partition(":")
        if mode not in known and not (scheme == "container" and container):
            raise InvalidParameter(f"invalid {what} mode: {mode}")
    for what, mode, allowed in (
        ("UTS", host_config.uts_mode, ("", "host")),
        ("user namespace", host_config.userns_mode, ("", "host")),
        ("cgroup namespace", host_config.cgroupns_mode, ("", "private", "host")),
    ):
        if mode not in allowed:
            raise InvalidParameter(f"invalid {what} mode: {mode}")
    warnings = []
    mode = host_config.network_mode
    if not facts.ip_forwarding and mode not in ("host", "none"):
        warnings.append("IPv4 forwarding is disabled. Networking will not work.")
    if mode == "host" and host_config.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    if host_config.cgroupns_mode == "private" and not facts.cgroup_namespaces:
        warnings.append(
            "Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded."
        )
    return warnings


def validate_sysctls(host_config: HostConfig) -> None:
    """Refuse sysctls of the whole machine, and those of a namespace shared with the host.

    Raises:
        InvalidParameter: in the words of the runtimes, which would refuse them at start.
    """
    if isinstance(host_config.sysctls, Unset):
        return
    for name in host_config.sysctls:
        why = _sysctl_problem(name, host_config)
        if why:
            raise InvalidParameter(f'sysctl "{name}" {why}')
        parts = name.split(".", 4)
        private = host_config.network_mode != "host" and ":" not in host_config.network_mode
        if private and len(parts) == 5 and parts[0] == "net" and parts[3].startswith("eth"):
            raise InvalidParameter(
                f'interface specific sysctl setting "{name}" must be supplied using'
                f" driver option '{SYSCTLS}'"
            )


def _sysctl_problem(name: str, host_config: HostConfig) -> str:
    if "/" in name.partition(".")[0]:
        name = name.replace("/", ".")
    if name == "kernel.hostname":
        return "is not allowed as it conflicts with the host name"
    for namespaced, is_host, why in (
        (
            name in _IPC_SYSCTLS or name.startswith("fs.mqueue."),
            host_config.ipc_mode == "host",
            "is not allowed in the hosts ipc namespace",
        ),
        (
            name.startswith("net."),
            host_config.network_mode == "host",
            "not allowed in host network namespace",
        ),
        (
            name == "kernel.domainname",
            host_config.uts_mode == "host",
            "is not allowed in the hosts uts namespace",
        ),
    ):
        if namespaced:
            return why if is_host else ""
    return "is not in a separate kernel namespace"


def _security(host_config: HostConfig, facts: CreateFacts) -> list[str]:
    host = facts.host
    options = parse_security_options(
        host_config.security_opt, no_new_privileges=facts.no_new_privileges
    )
    asked = wanted(host_config.cap_add, host_config.cap_drop, privileged=host_config.privileged)
    seccomp_profile(
        options.seccomp,
        default=facts.default_seccomp,
        privileged=host_config.privileged,
        capabilities=granted(asked, host.bounding),
        architecture=host.architecture,
        kernel=host.kernel,
        enabled=host.seccomp,
    )
    warnings = missing_warnings(
        host_config.cap_add, host.bounding, privileged=host_config.privileged
    )
    if any(label != "disable" for label in options.labels):
        warnings.append("SELinux is not supported; the label options are discarded.")
    if options.apparmor not in ("", "unconfined") and not host.apparmor:
        warnings.append(f"AppArmor is not enabled; the profile {options.apparmor} is not applied.")
    if not host.seccomp and not options.seccomp and not host_config.privileged:
        warnings.append(
            "seccomp is not enabled in your kernel, running container without default profile"
        )
    return warnings


def _limits(host_config: HostConfig, facts: CreateFacts) -> list[str]:
    for limit in host_config.ulimits or ():
        check_ulimit(limit)
    limits = facts.host.limits
    warnings = rlimit_warnings(merge_ulimits(host_config.ulimits, facts.default_ulimits), limits)
    if host_config.oom_score_adj < min(0, limits.oom_score_floor):
        warnings.append(
            f"The engine cannot lower oom_score_adj to {host_config.oom_score_adj};"
            f" it is {limits.oom_score_floor}."
        )
    return warnings


def _devices(host_config: HostConfig) -> None:
    for device in host_config.devices or ():
        check_permissions(device.cgroup_permissions)
        if not device.path_on_host.startswith("/"):
            raise InvalidParameter(f"invalid device path: '{device.path_on_host}'")
        if device.path_in_container and not device.path_in_container.startswith("/"):
            raise InvalidParameter(f"invalid device path: '{device.path_in_container}'")
    for rule in host_config.device_cgroup_rules or ():
        parse_cgroup_rule(rule)


def _wants_init(host_config: HostConfig, facts: CreateFacts) -> bool:
    if isinstance(host_config.init, Unset):
        return facts.default_init
    return host_config.init
