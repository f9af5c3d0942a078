"""Creation of execs."""

import asyncio
import secrets

from palan.api.errors import InvalidParameter, PalanError
from palan.api.exec import ExecConfig
from palan.engine.exec.context import ExecContext
from palan.engine.exec.instance import ExecInstance
from palan.engine.exec.surroundings import Target
from palan.engine.exec.target import check_running, has_ended, not_running


__all__ = ["check_config", "create_exec"]


def check_config(config: ExecConfig) -> None:
    """Check the texts of a request.

    Raises:
        InvalidParameter: a text can't be passed to a process.
    """
    for text in (*(config.cmd or ()), *(config.env or ()), config.working_dir, config.user):
        if "\0" in text:
            raise InvalidParameter("invalid exec: it contains a NUL character")
    for entry in config.env or ():
        if entry.startswith("=") or not entry:
            raise InvalidParameter(f"invalid environment variable: {entry}")


async def create_exec(
    context: ExecContext, target: Target, config: ExecConfig, keys: bytes = b"", *, name: str
) -> ExecInstance:
    """Create an exec that can be started.

    Args:
        context: the execs.
        target: the container in which it is to run.
        config: the process.
        keys: the bytes by which a client detaches.
        name: the reference by which the client named the container, for messages.

    Raises:
        InvalidParameter: there is no such user.
        Conflict: the container has ended, or is paused.
    """
    try:
        user = await asyncio.to_thread(target.user, config.user)
    except (OSError, PalanError):
        if has_ended(target):
            raise not_running(target) from None
        raise
    check_running(target, name)  # it may have ended meanwhile
    instance = ExecInstance(secrets.token_hex(32), target, config, user, keys)
    context.add(instance)
    context.publish(instance, f"exec_create: {instance.command}")
    return instance
