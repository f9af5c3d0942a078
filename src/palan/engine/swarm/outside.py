"""The answers of a node that is in no swarm to operations that need one.

They are dockerd's, and clients rely on them: docker-py, for one, takes a 503 for "nothing to
leave".  ``init`` and ``join``, which would make a swarm, are pending.
"""

from typing import Final, NoReturn

from palan.api.errors import Unavailable


__all__ = ["OutsideSwarm"]

_NO_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join"'
    " to connect this node to swarm and try again."
)


class OutsideSwarm:
    """The operations of all groups that only a manager of a swarm has."""

    async def _refuse(self, _request: object) -> NoReturn:
        """Answer that this node is no manager.

        Raises:
            Unavailable: always.
        """
        raise Unavailable(_NO_MANAGER)

    list = inspect = create = update = remove = logs = unlock = unlock_key = _refuse

    async def leave(self, _request: object) -> NoReturn:
        """``POST /swarm/leave``.

        Raises:
            Unavailable: always; there is no swarm to leave.
        """
        raise Unavailable("This node is not part of a swarm")
