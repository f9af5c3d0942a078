"""Containers that run the steps of a build, as the builder uses them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from palan.api.containers import ContainerCreate, ContainerCreateBody
from palan.api.errors import PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.create import create
from palan.engine.containers.lifecycle import start
from palan.engine.containers.remove import remove


__all__ = ["StepContainer", "StepContainers"]


class StepContainers:
    """Creates containers for steps."""

    def __init__(self, context: ContainerContext) -> None:
        self._context = context

    async def create(self, body: ContainerCreateBody, /) -> "StepContainer":
        """Create a container, which the next start of the engine removes.

        Raises:
            PalanError: as at ``docker create``.
        """
        answer = await create(self._context, ContainerCreate(body=body), step=True)
        container = self._context.registry.get(answer.id)
        return StepContainer(self._context, container, answer.warnings)


class StepContainer:
    """The container of one step.

    Attributes:
        id: the container's id, 64 hex digits.
        warnings: the warnings of its creation.
    """

    def __init__(
        self, context: ContainerContext, container: Container, warnings: Sequence[str]
    ) -> None:
        self._context = context
        self._container = container
        self.id = container.id
        self.warnings = warnings

    @property
    def command(self) -> Sequence[str]:
        """The command that it runs."""
        return self._container.record.config.cmd or ()

    async def run(self, write: Callable[[bytes], Awaitable[None]], /) -> int:
        """Run the container to its end, and return its exit code.

        Args:
            write: receives the output, in frames of the attach protocol.

        Raises:
            PalanError: the container can't be started.
        """
        exited = self._container.exit
        session = await self._container.streams.attach(stdout=True, stderr=True)
        try:
            await start(self._context, self._container)
            async for frames in session.output():
                await write(frames)
            return await asyncio.shield(exited)
        finally:
            await session.close()

    @contextlib.asynccontextmanager
    async def changes(self) -> AsyncIterator[Path]:
        """Lock the stopped container, and yield the upper directory of its overlay."""
        async with self._container.lock:
            yield self._context.paths.container(self.id) / "diff"

    async def keep(self) -> None:
        """Keep the container after the build, like any other."""
        self._container.record.step = False
        if not self._container.removed:
            await self._context.save(self._container)

    async def remove(self) -> None:
        """Kill and remove it, and its anonymous volumes; what fails is logged."""
        try:
            await remove(
                self._context, self._container, force=True, volumes=True, name=self.id[:12]
            )
        except PalanError as error:
            self._context.log.warning(
                "container of a build stays", container=self.id, reason=error.message
            )
