"""The part of a client that the methods of its groups use.

They are written against this protocol, so that no group needs to import the client, which
imports all of them.
"""

from typing import TYPE_CHECKING, Protocol


if TYPE_CHECKING:
    from palan.client._async.calling import AsyncCalling
    from palan.client._environment import Environment
    from palan.client._limits import Limit

__all__ = ["AsyncCaller"]


class AsyncCaller(Protocol):
    """A client, as the groups' methods see it."""

    @property
    def calling(self) -> "AsyncCalling":
        """The sender of declared calls; it imports the API's messages when it is first used."""

    @property
    def environment(self) -> "Environment":
        """The configuration and the credentials of the docker CLI."""

    async def ping(self, method: str = "GET", timeout: "Limit" = ...) -> str:
        """Ask whether the engine is running, and return its answer."""
