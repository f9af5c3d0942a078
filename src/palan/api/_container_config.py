"""What a container runs: the part of its configuration that does not depend on the machine.

``ContainerConfig`` is both what a client asks for at create (and commit) and what
inspect answers, so absent, empty and null are told apart as dockerd answers them.
"""

from typing import Any

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = ["ContainerConfig", "EmptyObject", "HealthConfig", "StrSlice"]

StrSlice = list[str] | None
"""A command line.  Below 1.52, requests may give a plain string, which means one word."""

EmptyObject = dict[str, Any]
"""The values of Go's sets: always ``{}``.  Requests may give null."""


class HealthConfig(Message, omit_defaults=True):
    """How to find out whether a container is healthy.

    All times are in nanoseconds; 0 means the image's value, or else the default.
    """

    test: list[str] = field(default_factory=list)
    """``[]`` inherits, ``["NONE"]`` disables, else ``CMD`` or ``CMD-SHELL`` and the command."""

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
    """A set of ``port/protocol``."""

    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    """Close the process's stdin when the first client that attached to it goes."""

    env: list[str] | None = None
    """``NAME=value`` to set, ``NAME`` to remove what the image sets."""

    cmd: StrSlice = None
    healthcheck: HealthConfig | Unset = UNSET
    args_escaped: bool | Unset = UNSET
    """Windows only."""

    image: str = ""
    volumes: dict[str, EmptyObject] | None = None
    """A set of paths that get an anonymous volume each."""

    working_dir: str = ""
    entrypoint: StrSlice = None
    network_disabled: bool | Unset = UNSET
    mac_address: str | Unset = UNSET
    """Below 1.44: the address on the network of ``network_mode``.  Since 1.44 it stands
    in the endpoint's settings; since 1.52 giving it here is an error."""

    on_build: list[str] | Unset = UNSET
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | Unset = UNSET
    """Name or number; the default is SIGTERM."""

    stop_timeout: int | Unset = UNSET
    """Seconds from the stop signal to SIGKILL; -1 waits for ever."""

    shell: list[str] | Unset = UNSET
    """What runs the shell forms of CMD, ENTRYPOINT, RUN and health checks."""
