"""``GET /containers/{id}/top``: the processes of a container, as the host's ``ps`` shows them."""

import asyncio

from palan.api.containers import ContainerTopResponse
from palan.api.errors import Conflict, InternalError, InvalidParameter
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.spec import cgroup_path
from palan.host import cgroups
from palan.host.ps import PsFailure, false_pid_column, list_processes


__all__ = ["top"]


async def top(
    context: ContainerContext, container: Container, arguments: str
) -> ContainerTopResponse:
    """List the processes of a container.

    Args:
        context: the context of the room.
        container: the container.
        arguments: the arguments of ``ps``, separated by blanks; empty for ``-ef``.

    Raises:
        InvalidParameter: ``ps`` does not accept them, or shows no process ids with them.
        Conflict: the container does not run.
        InternalError: ``ps`` is not installed.
    """
    arguments = arguments or "-ef"
    if column := false_pid_column(f" {arguments}"):
        raise InvalidParameter(f'specifying "{column}" is not allowed')
    if "\0" in arguments:
        raise InvalidParameter("invalid ps_args: they contain a NUL character")
    if container.record.status == "restarting":
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    try:
        titles, processes = await asyncio.to_thread(_list, context, container, arguments)
    except PsFailure as failure:
        raise InvalidParameter(str(failure)) from None
    except (OSError, TimeoutError) as error:
        raise InternalError(str(error)) from error
    context.events.publish("container", "top", container.id, container.attributes)
    return ContainerTopResponse(processes=processes, titles=titles)


def _list(
    context: ContainerContext, container: Container, arguments: str
) -> tuple[list[str], list[list[str]]]:
    known = context.machine.cgroups.directories(cgroup_path(context, container.record))
    pids = next((found for tree in known if (found := cgroups.processes(tree))), set())
    process = container.record.process
    if not pids and process is not None:  # without cgroups the others are not known
        pids = {process.pid}
    # With no pid, as the container has just ended, ps would show the host's processes.
    return list_processes(arguments.split(), pids or {0})
