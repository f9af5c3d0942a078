"""The options of ``containers.run`` and ``.launch``, and their translation to the API's fields."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from palan.api.containers import (
    ContainerCreateBody,
    DeviceMapping,
    EndpointIPAMConfig,
    EndpointSettings,
    HealthConfig,
    HostConfig,
    LogConfig,
    Mount,
    NetworkingConfig,
    PortBinding,
    RestartPolicy,
    Ulimit,
)
from palan.client._argument_types import check_seconds, check_type
from palan.client._options import check_options


__all__ = [
    "Command",
    "Environment",
    "Ports",
    "RunOptions",
    "check_run_options",
    "create_arguments",
    "environment",
    "memory",
]

Command = Sequence[str] | str | None
"""A program and its arguments; a string is run by ``sh -c``, as in a Dockerfile."""

Environment = Mapping[str, str] | Sequence[str] | None
"""``{"NAME": "value"}`` or ``["NAME=value"]``."""

HostPort = int | str | tuple[str, int | str] | None
"""``8080``, ``"127.0.0.1:8080"``, ``("127.0.0.1", 8080)``; None is any free port."""

Ports = Mapping[int | str, HostPort | Sequence[HostPort]]
"""Ports of the container (``80``, ``"53/udp"``), each with the host's port that publishes it."""


class RunOptions(TypedDict, total=False):
    """Options of a container; each that is absent has the image's or the engine's default."""

    name: str
    env: Environment
    labels: Mapping[str, str]
    entrypoint: Sequence[str] | str
    user: str
    working_dir: str
    hostname: str
    tty: bool
    volumes: Mapping[str, str] | Sequence[str]
    """``{"/host/path or volume": "/in/container[:ro]"}``, or Docker's ``source:target:options``."""

    mounts: Sequence[Mount]
    tmpfs: Mapping[str, str]
    ports: Ports
    network: str
    network_aliases: Sequence[str]
    ip: str
    """The address on ``network``."""

    dns: Sequence[str]
    extra_hosts: Sequence[str]
    """``name:address``."""

    memory: int | str
    """Bytes, or text such as ``512m``."""

    cpus: float
    pids_limit: int
    shm_size: int | str
    ulimits: Sequence[Ulimit]
    devices: Sequence[str]
    """``host[:container[:permissions]]``."""

    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    sysctls: Mapping[str, str]
    privileged: bool
    read_only: bool
    init: bool
    runtime: str
    restart: str
    """``no``, ``always``, ``unless-stopped`` or ``on-failure[:times]``."""

    healthcheck: HealthConfig
    stop_signal: str
    stop_timeout: int
    """Seconds."""

    log_driver: str
    log_options: Mapping[str, str]
    platform: str
    host_config: HostConfig
    """The base that the other options are added to; for fields without an option of their own."""


_COPIED: Final = {
    "network": "network_mode",
    "privileged": "privileged",
    "init": "init",
    "runtime": "runtime",
    "read_only": "readonly_rootfs",
    "pids_limit": "pids_limit",
}
"""Options that are copied unchanged into this field of ``HostConfig``."""

_HINTS: Final = {
    "cap": "cap_add",
    "command": "the second argument",
    "cpu": "cpus",
    "cpu_count": "cpus",
    "environment": "env",
    "environ": "env",
    "expose": "ports",
    "group": "user",
    "health_check": "healthcheck",
    "image": "the first argument",
    "input": "stdin",
    "ip6": "ip",
    "ip_address": "ip",
    "ipv4_address": "ip",
    "ipv6_address": "ip",
    "links": "host_config=HostConfig(links=...)",
    "log_config": "log_driver and log_options",
    "log_opt": "log_options",
    "log_opts": "log_options",
    "mem_limit": "memory",
    "nano_cpus": "cpus",
    "net": "network",
    "network_mode": "network",
    "publish": "ports",
    "rm": "remove (of run) or auto_remove (of launch)",
    "restart_policy": "restart",
    "stdin_open": "stdin (of run), or create() and attach() to talk with the container",
    "interactive": "stdin (of run), or create() and attach() to talk with the container",
    "stderr": "the stderr of the result, or logs()",
    "stdout": "the stdout of the result, or logs()",
    "stream": "launch() and logs(follow=True)",
    "volume": "volumes",
    "work_dir": "working_dir",
    "workdir": "working_dir",
}
"""The right words for names of docker-py and of the docker command."""

_OTHER_TYPES: Final[Mapping[str, Any]] = {"image": str, "command": Command, "stdin": bytes}

_OF_RUN: Final[tuple[str, ...]] = ("stdin", "check", "remove", "pull", "timeout")
_OF_LAUNCH: Final[tuple[str, ...]] = ("auto_remove", "pull")

_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)


def memory(size: int | str) -> int:
    """Return the bytes of a size such as ``512m``; units are powers of 1024, as Docker's.

    Raises:
        ValueError: the text is not a size.
    """
    if isinstance(size, int):
        return size
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise ValueError(f"{size!r} is no size")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _check_environment(given: Any) -> None:
    if isinstance(given, Mapping):
        # Numbers have only one form as text.
        given = {
            name: "" if isinstance(value, int | float) else value for name, value in given.items()
        }
    check_type(Environment, given, "env")


def environment(given: Environment) -> list[str]:
    """Return environment variables in the API's form, ``NAME=value``.

    Raises:
        TypeError: the type is wrong.
    """
    _check_environment(given)
    if isinstance(given, Mapping):
        return [f"{name}={value}" for name, value in given.items()]
    return list(given or ())


def command_words(command: Command) -> list[str] | None:
    """Return a command in the API's form, a list of words; None for the image's own command.

    Raises:
        TypeError: the type is wrong.
    """
    check_type(Command, command, "command")
    return ["sh", "-c", command] if isinstance(command, str) else list(command or ()) or None


def _hints_for(call: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the hints for wrong names, and the arguments beside the options."""
    hints = dict(_HINTS)
    if call == "run":
        hints["detach"] = hints["auto_remove"] = "launch()"
        hints["rm"] = hints["force_rm"] = "remove"
        names = _OF_RUN
    else:
        hints["detach"] = "launch() without it: the container keeps running"
        hints["rm"] = hints["remove"] = "auto_remove"
        hints["stdin"] = hints["check"] = hints["timeout"] = "run()"
        names = _OF_LAUNCH
    for name in HostConfig.__struct_fields__:
        hints.setdefault(name, f"host_config=HostConfig({name}=...)")
    for name in ContainerCreateBody.__struct_fields__:
        hints.setdefault(name, f"create({name}=...) and start()")
    return hints, names


def check_run_options(call: str, options: Mapping[str, Any], **others: Any) -> None:
    """Refuse options that do not exist or have the wrong type, and options without an effect.

    Args:
        call: ``run`` or ``launch``.
        options: the options by name.
        others: the other arguments of the call: ``image``, ``command``, ``stdin``, ``timeout``.

    Raises:
        TypeError: an option does not exist, has the wrong type, or needs another one that is
            absent.
    """
    hints, names = _hints_for(call)
    check_options(call, options, RunOptions.__annotations__, hints, names)
    for name, value in others.items():
        if name == "timeout":
            check_seconds(value)
        else:
            check_type(_OTHER_TYPES[name], value, name)
    for name, value in options.items():
        if name == "env":
            _check_environment(value)
        else:
            check_type(RunOptions.__annotations__[name], value, name)
    base = options.get("host_config")
    if not options.get("network") and not (base and base.network_mode):
        for name in ("ip", "network_aliases"):
            if options.get(name):
                raise TypeError(f"{call}() needs network for the option {name}")


def create_arguments(image: str, command: Command, options: RunOptions) -> dict[str, Any]:
    """Return the arguments of ``containers.create``.

    Raises:
        ValueError: the value of an option is malformed.
    """
    made: dict[str, Any] = {"image": image, "cmd": command_words(command)}
    for name in (
        "name", "user", "working_dir", "hostname", "tty", "healthcheck", "stop_signal",
        "stop_timeout", "platform",
    ):  # fmt: skip
        if name in options:
            made[name] = options.get(name)
    if options.get("env"):
        made["env"] = environment(options["env"])
    if options.get("labels"):
        made["labels"] = dict(options["labels"])
    if "entrypoint" in options:
        given = options["entrypoint"]
        made["entrypoint"] = [given] if isinstance(given, str) else list(given)
    if options.get("ports"):
        made["exposed_ports"] = {_port(port): {} for port in options["ports"]}
    made["host_config"] = _host_config(options)
    network = options.get("network") or made["host_config"].network_mode
    if network and (options.get("network_aliases") or options.get("ip")):
        address = options.get("ip", "")
        settings = EndpointSettings(aliases=list(options.get("network_aliases", ())) or None)
        if address:
            settings.ipam_config = EndpointIPAMConfig()
            family = "ipv6_address" if ":" in address else "ipv4_address"
            setattr(settings.ipam_config, family, address)
        made["networking_config"] = NetworkingConfig(endpoints_config={network: settings})
    return made


def _host_config(options: RunOptions) -> HostConfig:  # noqa: C901 - one line per option
    made = copy.deepcopy(options.get("host_config") or HostConfig())
    _add_limits(made, options)
    for name in ("dns", "extra_hosts", "cap_add", "cap_drop", "security_opt"):
        if options.get(name):
            setattr(made, name, list(options[name]))
    for name, field in _COPIED.items():
        if name in options:
            setattr(made, field, options[name])  # type: ignore[literal-required]
    for name in ("tmpfs", "sysctls"):
        if options.get(name):
            setattr(made, name, dict(options[name]))  # type: ignore[literal-required]
    if options.get("volumes"):
        made.binds = [*(made.binds or ()), *_binds(options["volumes"])]
    if options.get("mounts"):
        made.mounts = [*(made.mounts or ()), *options["mounts"]]
    if options.get("ports"):
        made.port_bindings = {
            _port(port): _bindings(where) for port, where in options["ports"].items()
        }
    if options.get("restart"):
        name, _, times = options["restart"].partition(":")
        if times and not times.isdigit():
            raise ValueError(f"restart: {times!r} is no number of times")
        made.restart_policy = RestartPolicy(name=name, maximum_retry_count=int(times or 0))
    if options.get("log_driver") or options.get("log_options"):
        made.log_config = LogConfig(
            type=options.get("log_driver", ""), config=dict(options.get("log_options", {}))
        )
    return made


def _add_limits(made: HostConfig, options: RunOptions) -> None:
    if "memory" in options:
        made.memory = memory(options["memory"])
    if "shm_size" in options:
        made.shm_size = memory(options["shm_size"])
    if "cpus" in options:
        made.nano_cpus = round(options["cpus"] * 1e9)
    if options.get("ulimits"):
        made.ulimits = list(options["ulimits"])
    if options.get("devices"):
        made.devices = [_device(one) for one in options["devices"]]


def _device(text: str) -> DeviceMapping:
    here, _, rest = text.partition(":")
    there, _, permissions = rest.partition(":")
    return DeviceMapping(
        path_on_host=here,
        path_in_container=there or here,
        cgroup_permissions=permissions or "rwm",
    )


def _binds(given: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(given, Mapping):
        return [f"{source}:{target}" for source, target in given.items()]
    return list(given)


def _port(port: int | str) -> str:
    text = str(port)
    return text if "/" in text else f"{text}/tcp"


def _bindings(where: HostPort | Sequence[HostPort]) -> list[PortBinding]:
    if isinstance(where, list):
        return [_binding(one) for one in where]
    return [_binding(where)]  # type: ignore[arg-type]  # a tuple is an address and a port


def _binding(where: HostPort) -> PortBinding:
    if where is None:
        return PortBinding()
    if isinstance(where, tuple):
        address, port = where
        return PortBinding(host_ip=address, host_port=str(port))
    address, _, port = str(where).rpartition(":")
    return PortBinding(host_ip=address.strip("[]"), host_port=port)
