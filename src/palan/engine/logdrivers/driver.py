"""The base classes of log drivers: a driver, its receiver, and what it knows of a container."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from palan.api.containers import LogConfig
from palan.engine.logdrivers.entry import Entry


__all__ = ["Driver", "Origin", "Retry", "Sink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The facts that drivers send about the container whose lines they send.

    Attributes:
        id: the container's id.
        name: its name, without a slash.
        image_id: ``sha256:`` and the digest.
        image_name: the image as the client named it.
        command: program and arguments, joined by spaces.
        created: the time of its creation, as Go formats times.
        hostname: the machine's name.
        tag: the result of the option ``tag``, or of its default.
        extra: labels and variables that the options select.
        options: the options of the driver.
    """

    id: str
    name: str
    image_id: str
    image_name: str
    command: str
    created: str
    hostname: str
    tag: str
    extra: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """The delays of a driver between attempts to send.

    Attributes:
        first: the first delay in seconds.
        factor: by which each further delay is longer.
        longest: the longest delay in seconds.
        attempts: the number of failures in a row after which lines are dropped; None for never.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 10.0
    attempts: int | None = None


class Sink(ABC):
    """The receiver of one container's lines.

    After any :class:`OSError` the lines are sent again on a new connection.
    """

    retry: Retry = Retry()
    must_connect = True
    """Whether the start of a container fails when its receiver can't be reached."""

    linger = 0.0
    """Seconds to wait for more lines, to send them together."""

    @abstractmethod
    async def open(self) -> None:
        """Connect to the receiver."""

    @abstractmethod
    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; idempotent."""


class Driver(ABC):
    """A log driver: its options, their validation, and its receivers."""

    options: frozenset[str]
    default_tag = "{{.ID}}"

    def rename(self, name: str) -> str:
        """Return the name under which a label or variable is sent."""
        return name

    @abstractmethod
    def check(self, options: Mapping[str, str]) -> None:
        """Check the values of options.

        Raises:
            InvalidParameter: in dockerd's words.
        """

    def warnings(self, config: LogConfig) -> list[str]:  # noqa: ARG002 - few have any
        """Return warnings about options without effect."""
        return []

    @abstractmethod
    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
