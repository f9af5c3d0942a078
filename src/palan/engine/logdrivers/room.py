"""``engine.logs``: the logs of containers are rotated, and sent to the receivers of drivers."""

from typing import Final

from palan.engine.logdrivers.container import LoggedContainer
from palan.engine.logdrivers.positions import TABLE
from palan.engine.logdrivers.rotation import LogRotation
from palan.engine.logdrivers.shipping import Shipping
from palan.engine.logdrivers.surroundings import Surroundings
from palan.engine.logdrivers.watches import FileWatches


__all__ = ["SCHEMA", "Logs"]

SCHEMA: Final = TABLE.schema


class Logs:
    """The logs of all containers.

    Args:
        surroundings: the rest of the engine.
        hostname: the machine's name, which drivers send.
    """

    def __init__(self, surroundings: Surroundings, *, hostname: str) -> None:
        self._watches = FileWatches()
        self._shipping = Shipping(surroundings, self._watches, hostname)
        self._rotation = LogRotation(surroundings, self._watches, self._shipping.rotated)

    async def connect(self, container: LoggedContainer, *, by_policy: bool) -> None:
        """Connect to the receiver before a container is started, see :meth:`Shipping.connect`."""
        await self._shipping.connect(container, by_policy=by_policy)

    async def disconnect(self, container: LoggedContainer) -> None:
        """Undo :meth:`connect` for a container that was not started after all."""
        await self._shipping.disconnect(container)

    def begin(self, container: LoggedContainer) -> None:
        """Rotate and send the log of a container that was started."""
        self._rotation.begin(container)
        self._shipping.begin(container)

    def adopt(self, container: LoggedContainer) -> None:
        """Rotate the log of a container that was started by an earlier engine."""
        self._rotation.begin(container)
        self._rotation.check(container.id)

    def resume(self, container: LoggedContainer) -> None:
        """Send the lines that an earlier engine has not sent, and those still to come."""
        self._shipping.resume(container)

    async def end(self, container: LoggedContainer) -> None:
        """Complete the log of a container that has ended."""
        await self._rotation.end(container)
        self._shipping.end(container)

    async def remove(self, container: LoggedContainer) -> None:
        """Send the last lines of a container that is removed, unless its receiver fails."""
        await self._shipping.remove(container)

    def close(self) -> None:
        """Close the watches on files; shippers are tasks, which end by themselves."""
        self._watches.close()
