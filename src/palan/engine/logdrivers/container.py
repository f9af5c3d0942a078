"""Protocols of a container, as the log drivers see it."""

from collections.abc import Sequence
from typing import Protocol

from palan.api.containers import ContainerConfig, HostConfig


__all__ = ["ContainerFacts", "LogWriter", "LoggedContainer"]


class ContainerFacts(Protocol):
    """The facts about a container that log drivers send or select by."""

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def name(self) -> str:
        """The container's name, without a slash."""

    @property
    def created(self) -> int:
        """The time of its creation in nanoseconds since the epoch."""

    @property
    def started(self) -> int:
        """The time of its last start in nanoseconds since the epoch; 0 for never."""

    @property
    def image(self) -> str:
        """The id of its image."""

    @property
    def path(self) -> str:
        """The program that it runs."""

    @property
    def args(self) -> Sequence[str]:
        """The arguments of the program."""

    @property
    def config(self) -> ContainerConfig:
        """The configuration: image name, labels and environment are used."""

    @property
    def host_config(self) -> HostConfig:
        """The host configuration, which has the log driver and its options."""


class LogWriter(Protocol):
    """The conmon of a container."""

    def reopen_log(self) -> None:
        """Make conmon begin a new log file.

        Raises:
            OSError: conmon has ended.
        """


class LoggedContainer(Protocol):
    """A container, as far as its log is concerned."""

    @property
    def id(self) -> str:
        """The container's id, 64 hex digits."""

    @property
    def running(self) -> bool:
        """Whether the container has processes, so that its log may grow."""

    @property
    def record(self) -> ContainerFacts:
        """The facts about it."""

    @property
    def monitored(self) -> LogWriter | None:
        """Its conmon, while it runs."""
