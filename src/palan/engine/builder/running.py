"""``RUN``: a container runs, and what it has changed becomes a layer."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from palan.api.build import ErrorDetail, JSONMessage
from palan.api.containers import ContainerCreate, ContainerCreateBody, HealthConfig
from palan.api.errors import PalanError
from palan.api.frames import STDERR, STDOUT, FrameDecoder
from palan.api.images import ImageConfig
from palan.engine.containers.container import Container
from palan.engine.containers.create import create
from palan.engine.containers.remove import remove
from palan.engine.containers.start import start
from palan.engine.images.layer_stream import NewLayer, copy_layer


if TYPE_CHECKING:
    from palan.engine.builder.builder import Builder


__all__ = ["CommandFailed", "Containers", "short"]


class CommandFailed(PalanError):
    """What was run did not succeed.

    Attributes:
        code: its exit code.
    """

    status = 500

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def line(self) -> JSONMessage:
        """As the client is told."""
        detail = ErrorDetail(code=self.code, message=self.message)
        return JSONMessage(error=self.message, error_detail=detail)


def short(container_id: str) -> str:
    """An id as lines show it."""
    return container_id[:12]


class Containers:
    """The containers of one build's steps."""

    def __init__(self, builder: "Builder") -> None:
        self._builder = builder
        self._engine = builder.engine
        self._made: list[Container] = []

    async def make(
        self,
        image: str,
        config: ImageConfig,
        cmd: Sequence[str],
        env: Sequence[str],
        *,
        binds: Sequence[str] = (),
    ) -> Container:
        """Make a container for a step, and say so.

        Args:
            image: its id.
            config: the stage's configuration.
            cmd: what it runs.
            env: what it finds in its environment beside the image's.
            binds: directories of the host that it sees.

        Raises:
            PalanError: as at ``docker create``.
        """
        host_config = self._builder.options.host_config()
        host_config.binds = list(binds) or None
        body = ContainerCreateBody(
            image=image,
            cmd=list(cmd),
            env=[*config.env, *env],
            # Neither the image's entrypoint nor its checks are for steps.
            entrypoint=[""],
            healthcheck=HealthConfig(test=["NONE"]),
            user=config.user,
            working_dir=config.working_dir,
            volumes=dict(config.volumes) or None,
            labels=dict(config.labels),
            host_config=host_config,
        )
        answer = await create(self._engine, ContainerCreate(body=body), step=True)
        container = self._engine.containers.registry.get(answer.id)
        self._made.append(container)
        for warning in answer.warnings:
            await self._builder.output.say(f" ---> [Warning] {warning}\n")
        await self._builder.output.say(f" ---> Running in {short(answer.id)}\n")
        return container

    async def run(self, container: Container) -> None:
        """Run it to its end; its output goes to the client.

        Raises:
            CommandFailed: it did not exit with 0.
            PalanError: it can't be started.
        """
        exited = container.exit
        session = await container.streams.attach(stdout=True, stderr=True)
        try:
            await start(self._engine, container)
            await self._pass_on(session.output())
            code = await asyncio.shield(exited)
        finally:
            await session.close()
        if code:
            command = " ".join(container.record.config.cmd or ())
            raise CommandFailed(f"The command '{command}' returned a non-zero code: {code}", code)

    async def _pass_on(self, frames: AsyncIterator[bytes]) -> None:
        output = self._builder.output
        frame = FrameDecoder()
        # A character may be cut into two pieces.
        decoders: dict[int, Any] = {
            stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (STDOUT, STDERR)
        }
        says = {STDOUT: output.say, STDERR: output.warn}
        async for chunk in frames:
            for stream, data in frame.feed(chunk):
                if stream in says and (text := decoders[stream].decode(data)):
                    await says[stream](text)
        for stream, decoder in decoders.items():
            if text := decoder.decode(b"", final=True):
                await says[stream](text)

    async def layer(self, container: Container, lower: Sequence[str]) -> NewLayer:
        """What a container that has ended has changed.

        Raises:
            InternalError: the file system refuses.
        """
        stock = self._builder.stock
        upper = self._engine.paths.container(container.id) / "diff"
        with stock.unpacker.scratch() as scratch:
            async with container.lock:
                return await copy_layer(
                    stock.catalog,
                    stock.unpacker,
                    upper,
                    scratch,
                    self._builder.lease,
                    lower=lower,
                    still=True,
                )

    async def settle(self, *, failed: bool, quiet: bool = False) -> None:
        """Remove the containers of a step that is over, unless they are to be kept.

        Args:
            failed: the step did not succeed.
            quiet: nobody listens any more.
        """
        options = self._builder.options
        keep = not (options.remove_failed if failed else options.remove)
        made, self._made = self._made, []
        for container in made:
            if keep and not quiet:
                container.record.step = False
                if not container.removed:
                    await self._engine.containers.save(container)
                continue
            await self._remove(container)
            if not quiet:
                await self._builder.output.say(
                    f" ---> Removed intermediate container {short(container.id)}\n"
                )

    async def _remove(self, container: Container) -> None:
        try:
            await remove(
                self._engine, container, force=True, volumes=True, name=short(container.id)
            )
        except PalanError as error:
            self._engine.log.warning(
                "container of a build stays", container=container.id, reason=error.message
            )
