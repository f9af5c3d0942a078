"""``POST /containers/{id}/wait``: wait for the exit code of a container."""

import asyncio

from palan.api.containers import ContainerWaitExitError, ContainerWaitResponse
from palan.api.errors import InvalidParameter, PalanError
from palan.api.results import Late
from palan.engine.containers.container import Container


__all__ = ["wait"]


def wait(container: Container, condition: str) -> Late:
    """Return the answer, which waits for the exit or the removal of a container.

    The future to wait for is chosen now, before the client reads the head of the answer: a
    client that asks for ``next-exit`` before it starts the container can't miss its exit.

    Raises:
        InvalidParameter: the condition is unknown.
    """
    match condition:
        case "" | "not-running":
            if not container.running and container.record.status != "restarting":
                done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                done.set_result(container.record.exit_code)
                return Late(_answer(container, done))
            return Late(_answer(container, container.exit))
        case "next-exit":
            return Late(_answer(container, container.exit))
        case "removed":
            return Late(_answer(container, container.removal))
        case _:
            raise InvalidParameter(f'invalid condition: "{condition}"')


async def _answer(container: Container, code: asyncio.Future[int]) -> ContainerWaitResponse:
    try:
        # Shielded: a client that disconnects must not cancel the future for the others.
        return ContainerWaitResponse(status_code=await asyncio.shield(code))
    except PalanError as failure:
        return ContainerWaitResponse(
            status_code=container.record.exit_code,
            error=ContainerWaitExitError(message=failure.message),
        )
