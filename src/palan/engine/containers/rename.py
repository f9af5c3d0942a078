"""``POST /containers/{id}/rename``."""

from palan.api.errors import Conflict, InvalidParameter
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.members import member
from palan.engine.containers.naming import check_name


__all__ = ["rename"]


async def rename(context: ContainerContext, container: Container, name: str) -> None:
    """Give a container another name.

    Raises:
        InvalidParameter: the name is empty, malformed or the present one.
        Conflict: the name is in use, or the container is being removed.
    """
    if not name:
        raise InvalidParameter("Neither old nor new names may be empty")
    new = name.removeprefix("/")
    try:
        check_name(f"/{new}")
    except InvalidParameter as error:
        raise InvalidParameter(f"Error when allocating new name: {error.message}") from None
    registry = context.registry
    async with container.lock:
        if container.removed or container.record.status in ("removing", "dead"):
            raise Conflict(f"container {container.id} is marked for removal")
        old = container.name
        if new == old:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        try:
            registry.reserve(new, container.id)
        except Conflict as error:
            raise Conflict(f"Error when allocating new name: {error.message}") from None
        container.record.name = new
        context.events.publish(
            "container", "rename", container.id, {**container.attributes, "oldName": f"/{old}"}
        )
        try:
            await context.save(container)
        except BaseException:
            container.record.name = old
            registry.release(new)
            raise
        context.networks.rename(member(context, container))
        registry.release(old)
