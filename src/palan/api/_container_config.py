"""The part of a container's configuration that does not depend on the machine.

``ContainerConfig`` is used in requests (create, commit) and in results (inspect), so absent,
empty and null are distinguished as in dockerd's answers.
"""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = ["ContainerConfig", "EmptyObject", "HealthConfig", "StrSlice"]

StrSlice = list[str] | None
"""A command line. In requests below 1.52, a string means a single word."""

EmptyObject = dict[str, Any]
"""The value of an element of a Go set: ``{}``, or null in requests."""


class HealthConfig(Message, omit_defaults=True):
    """A health check.

    All times are in nanoseconds; 0 means the image's value, or else the default.
    """

    test: list[str] = field(default_factory=list)
    """``[]`` inherits, ``["NONE"]`` disables; else ``CMD`` or ``CMD-SHELL`` and the command."""

    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(Message):
    """The portable configuration of a container: its command, environment, ports, labels."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    """``name``, ``uid``, ``name:group`` or ``uid:gid``; empty is root."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, EmptyObject] | Unset = UNSET
    """The exposed ports, a set of ``port/protocol``."""

    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    """Close the process's stdin when the first attached client detaches."""

    env: list[str] | None = None
    """``NAME=value`` sets a variable, ``NAME`` removes one of the image."""

    cmd: StrSlice = None
    healthcheck: HealthConfig | Unset = UNSET
    args_escaped: bool | Unset = UNSET
    """Windows only."""

    image: str = ""
    volumes: dict[str, EmptyObject] | None = None
    """A set of paths for anonymous volumes."""

    working_dir: str = ""
    entrypoint: StrSlice = None
    network_disabled: bool | Unset = UNSET
    mac_address: str | Unset = UNSET
    """Below 1.44, the address on the network of ``network_mode``. Since 1.44 the address is part
    of the endpoint's settings; since 1.52 it is an error here."""

    on_build: list[str] | Unset = UNSET
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | Unset = UNSET
    """The name or number of the signal to stop; SIGTERM by default."""

    stop_timeout: int | Unset = UNSET
    """Seconds from the stop signal to SIGKILL; -1 is unlimited."""

    shell: list[str] | Unset = UNSET
    """The shell that runs the shell forms of CMD, ENTRYPOINT, RUN and health checks."""
