"""Limits of the descriptors that the userland proxy may hold, for each port and in all.

Every forwarded connection takes two descriptors of the engine, and anybody who reaches a published
port can open connections.  The limits keep the greater part of the descriptors for the API and
the containers.  At a limit, the longest silent connection of the port with the most descriptors
makes room.
"""

import resource
from typing import Final, Protocol


__all__ = ["Budget", "PortConnections", "default_limit"]

PATIENCE: Final = 5.0
"""Seconds of silence before a connection may be closed for another one of the same port."""
_SHARE: Final = 2
"""All proxies together may have this part of the engine's descriptors: a half."""
_MOST: Final = 65536
"""More connections would take too much memory."""


class PortConnections(Protocol):
    """The connections that a proxy forwards for one port."""

    def close_longest_silent(self, silent: float) -> bool:
        """Close the longest silent connection, and release its descriptors.

        Args:
            silent: the seconds for which it must have been silent.

        Returns:
            Whether there was such a connection.
        """


def default_limit() -> int:
    """Return the number of descriptors that all proxies may have together."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // _SHARE)


class Budget:
    """The descriptors of all proxies of an engine.

    Args:
        limit: the largest number of descriptors of all ports; a port may have the half of it.
        patience: the seconds after which a silent connection may be closed for another one.

    Attributes:
        used: the descriptors of all ports.
    """

    def __init__(self, limit: int, *, patience: float = PATIENCE) -> None:
        self._limit = limit
        self._patience = patience
        self._held: dict[PortConnections, int] = {}
        self.used = 0

    def reserve(self, port: PortConnections, descriptors: int) -> bool:
        """Reserve descriptors for a new connection; return whether it may be forwarded.

        A port with many connections closes one of its own for a port with fewer, even if
        it was not silent for long: one flooded port can't take the descriptors of the others.
        """
        held = self._held.get(port, 0)
        if held + descriptors > self._limit // 2:
            if not port.close_longest_silent(self._patience):
                return False
        elif self.used + descriptors > self._limit:
            largest = max(self._held, key=self._held.__getitem__)
            unfair = self._held[largest] > held + descriptors
            if not largest.close_longest_silent(0 if unfair else self._patience):
                return False
        self._held[port] = self._held.get(port, 0) + descriptors
        self.used += descriptors
        return True

    def release(self, port: PortConnections, descriptors: int) -> None:
        """Release the descriptors of a connection that is closed."""
        self.used -= descriptors
        self._held[port] -= descriptors
        if not self._held[port]:
            del self._held[port]
