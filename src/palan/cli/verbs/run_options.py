"""The options of ``palan run`` and ``create``, and what they ask for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palan.api.containers import HealthConfig, HostConfig, Mount, Ulimit
from palan.cli.verbs.verb import Arguments, Parser, key_values
from palan.client._run_options import creation, memory


__all__ = ["add_run_options", "creation_of", "nanoseconds", "ulimit", "variables"]

_LISTS = (
    ("--add-host", None, "NAME:ADDRESS", "a line of /etc/hosts"),
    ("--cap-add", None, "CAP", "add a capability"),
    ("--cap-drop", None, "CAP", "drop a capability"),
    ("--device", None, "DEVICE", "a device of the host"),
    ("--dns", None, "ADDRESS", "a name server"),
    ("--dns-search", None, "DOMAIN", "a domain that names are looked up in"),
    ("--env", "-e", "NAME=VALUE", "set a variable"),
    ("--env-file", None, "FILE", "variables, one a line"),
    ("--expose", None, "PORT", "a port that can be published"),
    ("--group-add", None, "GROUP", "one more group"),
    ("--label", "-l", "KEY=VALUE", "a label"),
    ("--link", None, "NAME:ALIAS", "another container by a name"),
    ("--log-opt", None, "NAME=VALUE", "an option of the log driver"),
    ("--mount", None, "SPEC", "type=bind,source=...,target=..."),
    ("--network-alias", None, "NAME", "one more name on the network"),
    ("--publish", "-p", "PORTS", "[[address:]port:]port[/protocol]"),
    ("--security-opt", None, "OPTION", "seccomp=..., no-new-privileges, ..."),
    ("--sysctl", None, "NAME=VALUE", "a kernel parameter"),
    ("--tmpfs", None, "PATH[:OPTIONS]", "files in memory"),
    ("--ulimit", None, "NAME=SOFT[:HARD]", "a limit of each process"),
    ("--volume", "-v", "SOURCE:TARGET[:OPTIONS]", "a directory of the host, or a volume"),
    ("--volumes-from", None, "CONTAINER", "all volumes of another container"),
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
"""Options that are a text of ``HostConfig``."""

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
    """Declare them, with image and command."""
    for name, short, metavar, words in _LISTS:
        names = [one for one in (short, name) if one]
        parser.add_argument(*names, action="append", default=[], metavar=metavar, help=words)
    for name, field in (*_TEXTS, *_SIZES):
        parser.add_argument(name, metavar="VALUE", help=f"HostConfig.{field}")
    for name, field in _NUMBERS:
        parser.add_argument(name, type=int, metavar="NUMBER", help=f"HostConfig.{field}")
    parser.add_argument("--name", default="", help="its name")
    parser.add_argument("-i", "--interactive", action="store_true", help="keep stdin open")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-u", "--user", default="", help="name or id, with a group perhaps")
    parser.add_argument("-w", "--workdir", default="", metavar="DIR", help="where it runs")
    parser.add_argument("-h", "--hostname", default="", metavar="NAME", help="its host name")
    parser.add_argument("--domainname", default="", help="its domain")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="instead of the image's")
    parser.add_argument("--network", "--net", default="", help="bridge, host, none or a network")
    parser.add_argument("--ip", default="", help="its address on the network")
    parser.add_argument("-m", "--memory", metavar="SIZE", help="how much memory it may use")
    parser.add_argument("--cpus", type=float, help="how many CPUs it may use")
    parser.add_argument("--restart", default="", metavar="POLICY", help="no, always, ...")
    parser.add_argument("--platform", default="", help="os[/arch[/variant]] of the image")
    parser.add_argument("--pull", default="missing", choices=("missing", "always", "never"))
    parser.add_argument("-P", "--publish-all", action="store_true", help="publish all ports")
    parser.add_argument("--privileged", action="store_true", help="with all that root can do")
    parser.add_argument("--read-only", action="store_true", help="nothing of it can be changed")
    parser.add_argument("--init", action="store_true", help="run an init inside")
    parser.add_argument("--oom-kill-disable", action="store_true")
    parser.add_argument("--stop-signal", default="", metavar="SIGNAL", help="instead of SIGTERM")
    parser.add_argument("--stop-timeout", type=int, metavar="SECONDS", help="before it is killed")
    parser.add_argument("--log-driver", default="", metavar="DRIVER")
    parser.add_argument("--cidfile", metavar="FILE", help="write its id there")
    parser.add_argument("--health-cmd", metavar="COMMAND", help="says whether it is healthy")
    for name in ("interval", "timeout", "start-period", "start-interval"):
        parser.add_argument(f"--health-{name}", metavar="DURATION")
    parser.add_argument("--health-retries", type=int, default=0, metavar="COUNT")
    parser.add_argument("--no-healthcheck", action="store_true", help="none at all")
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("command", nargs="...", metavar="COMMAND")


def creation_of(given: Arguments) -> dict[str, Any]:
    """The arguments of ``containers.create``.

    Raises:
        ValueError: an option cannot be read.
    """
    options: dict[str, Any] = {
        "name": given.name, "user": given.user, "working_dir": given.workdir,
        "hostname": given.hostname, "tty": given.tty, "platform": given.platform,
        "env": _environment(given), "labels": key_values(given.label),
        "ports": {}, "network": given.network, "network_aliases": given.network_alias,
        "ip": given.ip, "dns": given.dns, "extra_hosts": given.add_host,
        "cap_add": given.cap_add, "cap_drop": given.cap_drop,
        "security_opt": [_security(one) for one in given.security_opt],
        "devices": given.device, "sysctls": key_values(given.sysctl),
        "privileged": given.privileged, "read_only": given.read_only,
        "restart": given.restart, "log_driver": given.log_driver,
        "log_options": key_values(given.log_opt), "stop_signal": given.stop_signal or None,
        "host_config": _host_config(given),
        "volumes": [_volume(one) for one in given.volume if ":" in one],
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
    made = creation(given.image, given.command, options)  # type: ignore[arg-type]
    made["domainname"] = given.domainname
    anonymous = [one for one in given.volume if ":" not in one]
    if anonymous:
        made["volumes"] = {path: {} for path in anonymous}
    exposed = {_with_protocol(port) for one in given.expose for port in _each(one)}
    bindings = _published(given.publish)
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


def variables(given: Sequence[str]) -> list[str]:
    """Variables as the API wants them; a name alone takes the value that it has here."""
    made = []
    for one in given:
        if "=" in one:
            made.append(one)
        elif one in os.environ:
            made.append(f"{one}={os.environ[one]}")
    return made


def _environment(given: Arguments) -> list[str]:
    lines: list[str] = []
    for name in given.env_file:
        text = [line.lstrip() for line in Path(name).read_text().splitlines()]
        lines += [line for line in text if line and not line.startswith("#")]
    return variables([*lines, *given.env])


def _security(option: str) -> str:
    """A profile that is a file here is sent as what is in it."""
    name, equals, value = option.replace(":", "=", 1).partition("=")
    if name == "seccomp" and equals and value not in ("unconfined", "builtin"):
        return f"seccomp={Path(value).read_text()}"
    return option


def _volume(text: str) -> str:
    """A relative path of the host, made absolute."""
    source, colon, rest = text.partition(":")
    if source.startswith((".", "~")):
        source = str(Path(source).expanduser().resolve())
    return source + colon + rest


def ulimit(text: str) -> Ulimit:
    """A limit of ``NAME=SOFT[:HARD]``."""
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
        truth = not equals or value.lower() in ("1", "true")
        match name.strip().lower():
            case "type":
                made.type = value
            case "source" | "src":
                made.source = value
            case "target" | "dst" | "destination":
                made.target = value
            case "readonly" | "ro":
                made.read_only = truth
            case "consistency":
                made.consistency = value
            case "bind-propagation":
                made.bind_options = BindOptions(propagation=value)
            case "bind-create-src":
                made.bind_options = BindOptions(create_mountpoint=truth)
            case "volume-nocopy":
                made.volume_options = VolumeOptions(no_copy=truth)
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


def _each(text: str) -> list[str]:
    """The ports of a range, ``8000-8010/udp``."""
    numbers, slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise ValueError(f"invalid port: {text}")
    return [f"{port}{slash}{protocol}" for port in range(int(first), int(last or first) + 1)]


def _published(given: Sequence[str]) -> dict[str, Any]:
    """``--publish`` as ``PortBindings``."""
    from palan.api.containers import PortBinding

    made: dict[str, Any] = {}
    for one in given:
        outside, _, inside = one.rpartition(":")
        address, colon, ports = outside.rpartition(":")
        if not colon:
            address = ""
        inner = _each(inside)
        outer = _each(ports) if ports else [""] * len(inner)
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
    """A duration of Go's, ``1m30s``.

    Raises:
        ValueError: it is none.
    """
    import re

    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return round(sum(float(number) * units[unit] for number, unit in parts) * 1e9)
