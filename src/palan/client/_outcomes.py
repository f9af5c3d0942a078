"""What the conveniences answer; no I/O."""

from typing import NamedTuple


__all__ = ["BuiltImage", "ExecResult", "RunResult"]


class RunResult(NamedTuple):
    """What came of running a container to its end."""

    exit_code: int
    stdout: bytes
    """With a TTY, of both streams."""

    stderr: bytes
    container: str
    """Its id; it is removed by now unless ``remove`` was off."""


class ExecResult(NamedTuple):
    """What came of a process in a running container."""

    exit_code: int
    stdout: bytes
    """With a TTY, of both streams."""

    stderr: bytes


class BuiltImage(NamedTuple):
    """What came of a build."""

    id: str
    output: str
    """What the builder and the steps wrote."""
