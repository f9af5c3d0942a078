"""``POST /containers/{id}/wait``: the exit code, as soon as there is one."""

import asyncio

from palan.api.containers import ContainerWaitExitError, ContainerWaitResponse
from palan.api.errors import InvalidParameter, PalanError
from palan.api.results import Late
from palan.engine.containers.container import Container


__all__ = ["wait"]


def wait(container: Container, condition: str) -> Late:
    """What to wait for is decided now, before the client reads the head of the answer.

    That is why clients may ask for ``next-exit`` before they start the container and
    cannot miss its exit.

    Raises:
        InvalidParameter: an unknown condition.
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
        # Shielded: one client that goes away must not take the result from the others.
        return ContainerWaitResponse(status_code=await asyncio.shield(code))
    except PalanError as failure:
        return ContainerWaitResponse(
            status_code=container.record.exit_code,
            error=ContainerWaitExitError(message=failure.message),
        )
