"""The options of ``palan run`` and ``create``, and their translation to a request."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palan.api.containers import HealthConfig, HostConfig, Mount, Ulimit
from palan.cli.verbs.verb import Arguments, Parser, key_values
from palan.client._run_options import create_arguments, memory


__all__ = ["add_run_options", "arguments_of_create", "environment", "nanoseconds", "ulimit"]

_LISTS = (
    ("--add-host", None, "NAME:ADDRESS", "add a custom host-to-IP mapping"),
    ("--cap-add", None, "CAP", "add a capability"),
    ("--cap-drop", None, "CAP", "drop a capability"),
    ("--device", None, "DEVICE", "add a host device"),
    ("--dns", None, "ADDRESS", "set a DNS server"),
    ("--dns-search", None, "DOMAIN", "set a DNS search domain"),
    ("--env", "-e", "NAME=VALUE", "set an environment variable"),
    ("--env-file", None, "FILE", "read environment variables from a file"),
    ("--expose", None, "PORT", "expose a port or a range of ports"),
    ("--group-add", None, "GROUP", "add an additional group to join"),
    ("--label", "-l", "KEY=VALUE", "set a label"),
    ("--link", None, "NAME:ALIAS", "add a link to another container"),
    ("--log-opt", None, "NAME=VALUE", "set an option of the log driver"),
    ("--mount", None, "SPEC", "type=bind,source=...,target=..."),
    ("--network-alias", None, "NAME", "add a network-scoped alias"),
    ("--publish", "-p", "PORTS", "[[address:]port:]port[/protocol]"),
    ("--security-opt", None, "OPTION", "seccomp=..., no-new-privileges, ..."),
    ("--sysctl", None, "NAME=VALUE", "set a kernel parameter"),
    ("--tmpfs", None, "PATH[:OPTIONS]", "mount a tmpfs directory"),
    ("--ulimit", None, "NAME=SOFT[:HARD]", "set a limit of each process"),
    ("--volume", "-v", "SOURCE:TARGET[:OPTIONS]", "bind mount a path of the host, or a volume"),
    ("--volumes-from", None, "CONTAINER", "mount the volumes of another container"),
)

_TEXTS = (
    ("--cgroup-parent", "cgroup_parent"),
    ("--cgroupns", "cgroupns_mode"),
    ("--cpuset-cpus", "cpuset_cpus"),
    ("--cpuset-mems", "cpuset_mems"),
    ("--ipc", "ipc_mode"),
    ("--isolation", "isolation"),
    ("--pid", "pid_mode"),
    ("--runtime", "runtime"),
    ("--userns", "userns_mode"),
    ("--uts", "uts_mode"),
    ("--volume-driver", "volume_driver"),
)
"""Options with the text field of ``HostConfig`` that each of them sets."""

_NUMBERS = (
    ("--blkio-weight", "blkio_weight"),
    ("--cpu-period", "cpu_period"),
    ("--cpu-quota", "cpu_quota"),
    ("--cpu-shares", "cpu_shares"),
    ("--oom-score-adj", "oom_score_adj"),
    ("--pids-limit", "pids_limit"),
    ("--memory-swappiness", "memory_swappiness"),
)

_SIZES = (
    ("--memory-reservation", "memory_reservation"),
    ("--memory-swap", "memory_swap"),
    ("--shm-size", "shm_size"),
)


def add_run_options(parser: Parser) -> None:
    """Declare the options, the image and the command."""
    for name, short, metavar, help_text in _LISTS:
        names = [one for one in (short, name) if one]
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=help_text)
    for name, field in (*_TEXTS, *_SIZES):
        parser.add_argument(name, metavar="VALUE", help=f"HostConfig.{field}")
    for name, field in _NUMBERS:
        parser.add_argument(name, type=int, metavar="NUMBER", help=f"HostConfig.{field}")
    parser.add_argument("--name", default="", help="assign a name to the container")
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="keep stdin open even if not attached"
    )
    parser.add_argument("-t", "--tty", action="store_true", help="allocate a pseudo-TTY")
    parser.add_argument("-u", "--user", default="", help="user name or uid [:group name or gid]")
    parser.add_argument(
        "-w", "--workdir", default="", metavar="DIR",
        help="working directory inside the container",
    )  # fmt: skip
    parser.add_argument(
        "-h", "--hostname", default="", metavar="NAME", help="the container's host name"
    )
    parser.add_argument("--domainname", default="", help="the container's NIS domain name")
    parser.add_argument(
        "--entrypoint", metavar="PROGRAM", help="overwrite the entrypoint of the image"
    )
    parser.add_argument("--network", "--net", default="", help="bridge, host, none or a network")
    parser.add_argument("--ip", default="", help="IPv4 address on the network")
    parser.add_argument("-m", "--memory", metavar="SIZE", help="memory limit")
    parser.add_argument("--cpus", type=float, help="number of CPUs")
    parser.add_argument("--restart", default="", metavar="POLICY", help="no, always, ...")
    parser.add_argument("--platform", default="", help="os[/arch[/variant]] of the image")
    parser.add_argument("--pull", default="missing", choices=("missing", "always", "never"))
    parser.add_argument(
        "-P", "--publish-all", action="store_true", help="publish all exposed ports to random ports"
    )
    parser.add_argument("--privileged", action="store_true", help="give extended privileges")
    parser.add_argument(
        "--read-only", action="store_true", help="mount the root filesystem as read only"
    )
    parser.add_argument("--init", action="store_true", help="run an init inside the container")
    parser.add_argument("--oom-kill-disable", action="store_true")
    parser.add_argument(
        "--stop-signal", default="", metavar="SIGNAL", help="signal to stop the container"
    )
    parser.add_argument(
        "--stop-timeout", type=int, metavar="SECONDS", help="timeout to stop the container"
    )
    parser.add_argument("--log-driver", default="", metavar="DRIVER")
    parser.add_argument("--cidfile", metavar="FILE", help="write the container's id to a file")
    parser.add_argument("--health-cmd", metavar="COMMAND", help="command to run to check health")
    for name in ("interval", "timeout", "start-period", "start-interval"):
        parser.add_argument(f"--health-{name}", metavar="DURATION")
    parser.add_argument("--health-retries", type=int, default=0, metavar="COUNT")
    parser.add_argument(
        "--no-healthcheck", action="store_true", help="disable the health check of the image"
    )
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("command", nargs="...", metavar="COMMAND")


def arguments_of_create(given: Arguments) -> dict[str, Any]:
    """Return the arguments of ``containers.create``.

    Raises:
        ValueError: the value of an option is malformed.
    """
    # As docker: an address without a network is one on the default network, which has none to give.
    network = given.network or ("default" if given.ip or given.network_alias else "")
    options: dict[str, Any] = {
        "name": given.name, "user": given.user, "working_dir": given.workdir,
        "hostname": given.hostname, "tty": given.tty, "platform": given.platform,
        "env": _whole_environment(given), "labels": key_values(given.label),
        "ports": {}, "network": network, "network_aliases": given.network_alias,
        "ip": given.ip, "dns": given.dns, "extra_hosts": given.add_host,
        "cap_add": given.cap_add, "cap_drop": given.cap_drop,
        "security_opt": [_security_option(one) for one in given.security_opt],
        "devices": given.device, "sysctls": key_values(given.sysctl),
        "privileged": given.privileged, "read_only": given.read_only,
        "restart": given.restart, "log_driver": given.log_driver,
        "log_options": key_values(given.log_opt), "stop_signal": given.stop_signal or None,
        "host_config": _host_config(given),
        "volumes": [_with_absolute_source(one) for one in given.volume if ":" in one],
        "mounts": [_mount(one) for one in given.mount],
        "tmpfs": {path: rest for path, _, rest in (one.partition(":") for one in given.tmpfs)},
        "ulimits": [ulimit(one) for one in given.ulimit],
    }  # fmt: skip
    if given.init:
        options["init"] = True
    if given.memory:
        options["memory"] = given.memory
    if given.cpus is not None:
        options["cpus"] = given.cpus
    if given.entrypoint is not None:
        options["entrypoint"] = [given.entrypoint]
    if given.stop_timeout is not None:
        options["stop_timeout"] = given.stop_timeout
    made = create_arguments(given.image, given.command, options)  # type: ignore[arg-type]
    made["domainname"] = given.domainname
    anonymous = [one for one in given.volume if ":" not in one]
    if anonymous:
        made["volumes"] = {path: {} for path in anonymous}
    exposed = {_with_protocol(port) for one in given.expose for port in _port_range(one)}
    bindings = _port_bindings(given.publish)
    if exposed or bindings:
        made["exposed_ports"] = {port: {} for port in sorted(exposed | set(bindings))}
    made["host_config"].port_bindings = bindings
    health = _health(given)
    if health is not None:
        made["healthcheck"] = health
    return made


def _host_config(given: Arguments) -> HostConfig:
    made = HostConfig()
    for name, field in (*_TEXTS, *_NUMBERS):
        value = getattr(given, name.removeprefix("--").replace("-", "_"))
        if value is not None:
            setattr(made, field, value)
    for name, field in _SIZES:
        value = getattr(given, name.removeprefix("--").replace("-", "_"))
        if value is not None:
            setattr(made, field, -1 if value == "-1" else memory(value))
    made.publish_all_ports = given.publish_all
    made.dns_search = given.dns_search or None
    made.group_add = given.group_add or None
    made.links = given.link or None
    made.volumes_from = given.volumes_from or None
    if given.oom_kill_disable:
        made.oom_kill_disable = True
    return made


def environment(given: Sequence[str]) -> list[str]:
    """Return ``NAME=value`` for each variable; a name alone takes its value in this process."""
    made = []
    for one in given:
        if "=" in one:
            made.append(one)
        elif one in os.environ:
            made.append(f"{one}={os.environ[one]}")
    return made


def _whole_environment(given: Arguments) -> list[str]:
    lines: list[str] = []
    for name in given.env_file:
        text = [line.lstrip() for line in Path(name).read_text().splitlines()]
        lines += [line for line in text if line and not line.startswith("#")]
    return environment([*lines, *given.env])


def _security_option(option: str) -> str:
    """Return a security option, with the content of a local seccomp file instead of its path."""
    name, equals, value = option.replace(":", "=", 1).partition("=")
    if name == "seccomp" and equals and value not in ("unconfined", "builtin"):
        return f"seccomp={Path(value).read_text()}"
    return option


def _with_absolute_source(text: str) -> str:
    """Return ``SOURCE:TARGET`` with a relative source path made absolute."""
    source, colon, rest = text.partition(":")
    if source.startswith((".", "~")):
        source = str(Path(source).expanduser().resolve())
    return source + colon + rest


def ulimit(text: str) -> Ulimit:
    """Parse a limit of the form ``NAME=SOFT[:HARD]``."""
    name, equals, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    if not equals or not soft.lstrip("-").isdigit() or not (hard or "0").lstrip("-").isdigit():
        raise ValueError(f"invalid ulimit argument: {text}")
    return Ulimit(name=name, soft=int(soft), hard=int(hard or soft))


def _mount(text: str) -> Mount:  # noqa: C901, PLR0912 - a table of names
    from palan.api.containers import BindOptions, TmpfsOptions, VolumeOptions

    made = Mount(type="volume")
    for part in text.split(","):
        name, equals, value = part.partition("=")
        enabled = not equals or value.lower() in ("1", "true")
        match name.strip().lower():
            case "type":
                made.type = value
            case "source" | "src":
                made.source = value
            case "target" | "dst" | "destination":
                made.target = value
            case "readonly" | "ro":
                made.read_only = enabled
            case "consistency":
                made.consistency = value
            case "bind-propagation":
                made.bind_options = BindOptions(propagation=value)
            case "bind-create-src":
                made.bind_options = BindOptions(create_mountpoint=enabled)
            case "volume-nocopy":
                made.volume_options = VolumeOptions(no_copy=enabled)
            case "volume-subpath":
                made.volume_options = VolumeOptions(subpath=value)
            case "tmpfs-size":
                made.tmpfs_options = TmpfsOptions(size_bytes=memory(value))
            case "tmpfs-mode":
                made.tmpfs_options = TmpfsOptions(mode=int(value, 8))
            case _:
                raise ValueError(f"invalid field {name!r} in --mount {text}")
    if made.type == "bind" and made.source and made.source.startswith("."):
        made.source = str(Path(made.source).resolve())
    return made


def _with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def _port_range(text: str) -> list[str]:
    """Return the ports of a range such as ``8000-8010/udp``."""
    numbers, slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise ValueError(f"invalid port: {text}")
    return [f"{port}{slash}{protocol}" for port in range(int(first), int(last or first) + 1)]


def _port_bindings(given: Sequence[str]) -> dict[str, Any]:
    """Return the values of ``--publish`` as ``PortBindings``."""
    from palan.api.containers import PortBinding

    made: dict[str, Any] = {}
    for one in given:
        outside, _, inside = one.rpartition(":")
        address, colon, ports = outside.rpartition(":")
        if not colon:
            address = ""
        inner = _port_range(inside)
        outer = _port_range(ports) if ports else [""] * len(inner)
        if len(outer) > 1 and len(inner) == 1:
            outer = [ports]
        if len(outer) != len(inner):
            raise ValueError(f"invalid ranges specified for container and host Ports: {one}")
        for port, host in zip(inner, outer, strict=True):
            made.setdefault(_with_protocol(port), []).append(
                PortBinding(host_ip=address.strip("[]"), host_port=host)
            )
    return made


def _health(given: Arguments) -> HealthConfig | None:
    if given.no_healthcheck:
        return HealthConfig(test=["NONE"])
    made = HealthConfig(retries=given.health_retries)
    if given.health_cmd:
        made.test = ["CMD-SHELL", given.health_cmd]
    for name in ("interval", "timeout", "start_period", "start_interval"):
        text = getattr(given, f"health_{name}")
        if text:
            setattr(made, name, nanoseconds(text))
    return None if made == HealthConfig() else made


def nanoseconds(text: str) -> int:
    """Parse a duration in Go's form, such as ``1m30s``.

    Raises:
        ValueError: the text is not a duration.
    """
    import re

    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration")
    return round(sum(float(number) * units[unit] for number, unit in parts) * 1e9)
