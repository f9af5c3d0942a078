"""The results of ``run`` of containers and execs, and of builds; no I/O."""

from typing import NamedTuple


__all__ = ["BuiltImage", "ExecResult", "RunResult"]


class RunResult(NamedTuple):
    """The result of a container that ran to its end."""

    exit_code: int
    stdout: bytes
    """The output; with a TTY, of both streams."""

    stderr: bytes
    container: str
    """The container's id; the container is removed already unless ``remove`` was off."""


class ExecResult(NamedTuple):
    """The result of a process in a running container."""

    exit_code: int
    stdout: bytes
    """The output; with a TTY, of both streams."""

    stderr: bytes


class BuiltImage(NamedTuple):
    """The result of a build."""

    id: str
    output: str
    """The output of the builder and of the steps."""
