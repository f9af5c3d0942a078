"""``RUN``: a container runs, and the files that it changed become a layer."""

import codecs
from collections.abc import Sequence
from typing import Any

from palan.api.build import ErrorDetail, JSONMessage
from palan.api.containers import ContainerCreateBody, HealthConfig
from palan.api.errors import PalanError
from palan.api.frames import STDERR, STDOUT, FrameDecoder
from palan.api.images import ImageConfig
from palan.engine.builder.job import Job
from palan.engine.builder.output import Output
from palan.engine.builder.surroundings import StepContainer
from palan.engine.images.layer_stream import NewLayer, copy_layer


__all__ = ["CommandFailed", "IntermediateContainers"]


class CommandFailed(PalanError):
    """The command of a step did not succeed.

    Attributes:
        code: its exit code.
    """

    status = 500

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def line(self) -> JSONMessage:
        """Return the line that the client gets."""
        detail = ErrorDetail(code=self.code, message=self.message)
        return JSONMessage(error=self.message, error_detail=detail)


class IntermediateContainers:
    """The containers of one build's steps."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._created: list[StepContainer] = []

    async def create(
        self,
        image: str,
        config: ImageConfig,
        cmd: Sequence[str],
        env: Sequence[str],
        *,
        binds: Sequence[str] = (),
    ) -> StepContainer:
        """Create a container for a step, and send its id to the client.

        Args:
            image: the image's id.
            config: the stage's configuration.
            cmd: the command that the container runs.
            env: environment variables besides the image's.
            binds: directories of the host to mount.

        Raises:
            PalanError: as at ``docker create``.
        """
        job = self._job
        host_config = job.options.host_config()
        host_config.binds = list(binds) or None
        body = ContainerCreateBody(
            image=image,
            cmd=list(cmd),
            env=[*config.env, *env],
            # Neither the image's entrypoint nor its checks are for steps; but without a command
            # (``RUN []``) the image's own program runs.
            entrypoint=[""] if cmd else None,
            healthcheck=HealthConfig(test=["NONE"]),
            user=config.user,
            working_dir=config.working_dir,
            volumes=dict(config.volumes) or None,
            labels=dict(config.labels),
            host_config=host_config,
        )
        container = await job.containers.create(body)
        self._created.append(container)
        for warning in container.warnings:
            await job.output.say(f" ---> [Warning] {warning}\n")
        await job.output.say(f" ---> Running in {_short(container)}\n")
        return container

    async def run(self, container: StepContainer) -> None:
        """Run a container to its end, and send its output to the client.

        Raises:
            CommandFailed: it did not exit with 0.
            PalanError: it can't be started.
        """
        relay = _Relay(self._job.output)
        code = await container.run(relay.write)
        await relay.finish()
        if code:
            command = " ".join(container.command)
            raise CommandFailed(f"The command '{command}' returned a non-zero code: {code}", code)

    async def layer(self, container: StepContainer, lower: Sequence[str]) -> NewLayer:
        """Return the files that an ended container has changed, as a layer.

        Args:
            container: the container.
            lower: the diff ids of its image's layers.

        Raises:
            InternalError: the file system refuses.
        """
        context = self._job.image_context
        with self._job.scratch() as scratch:
            async with container.changes() as upper:
                return await copy_layer(
                    context.catalog,
                    context.unpacker,
                    upper,
                    scratch,
                    self._job.lease,
                    lower=lower,
                    still=True,
                )

    async def finish_step(self, *, failed: bool, quiet: bool = False) -> None:
        """Remove the containers of a finished step, unless the client wants to keep them.

        Args:
            failed: the step did not succeed.
            quiet: the client has disconnected: remove all, send nothing.
        """
        options = self._job.options
        keep = not (options.remove_failed if failed else options.remove)
        created, self._created = self._created, []
        for container in created:
            if keep and not quiet:
                await container.keep()
                continue
            await container.remove()
            if not quiet:
                await self._job.output.say(
                    f" ---> Removed intermediate container {_short(container)}\n"
                )


class _Relay:
    """Sends a container's output to the client, as text."""

    def __init__(self, output: Output) -> None:
        self._frames = FrameDecoder()
        # A character may be cut into two pieces.
        self._decoders: dict[int, Any] = {
            stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (STDOUT, STDERR)
        }
        self._senders = {STDOUT: output.say, STDERR: output.warn}

    async def write(self, chunk: bytes) -> None:
        """Send the text of a piece of the output."""
        for stream, data in self._frames.feed(chunk):
            if stream in self._senders and (text := self._decoders[stream].decode(data)):
                await self._senders[stream](text)

    async def finish(self) -> None:
        """Send the text of characters that were cut off at the end."""
        for stream, decoder in self._decoders.items():
            if text := decoder.decode(b"", final=True):
                await self._senders[stream](text)


def _short(container: StepContainer) -> str:
    return container.id[:12]
