"""The room ``engine.build``: ``POST /build``, and the other operations of its group."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from palan.api import Filters
from palan.api import build as api
from palan.api.build import JSONMessage
from palan.api.errors import InvalidParameter
from palan.api.results import MessageStream
from palan.dockerfile import Dockerfile
from palan.engine.builder.build_context import BuildContext, parse_dockerfile, receive
from palan.engine.builder.builder import Builder
from palan.engine.builder.job import Job
from palan.engine.builder.options import Options, read_options
from palan.engine.builder.output import Output
from palan.engine.builder.remote import Clone, fetch_context, is_git, open_context
from palan.engine.builder.running import CommandFailed
from palan.engine.builder.selection import Picked
from palan.engine.builder.surroundings import Surroundings
from palan.engine.images.fetch import redacted
from palan.engine.images.image import Image
from palan.engine.images.tagging import tag
from palan.engine.threads import BodyReader, in_thread
from palan.engine.until import parse_until
from palan.host.archive.unpack import Abort


__all__ = ["Builds"]

_REMEMBERED: Final = 2000
"""Sources of ``COPY --from`` of which the files are remembered."""


_SINGLE: Final = (
    "until",
    "unused-for",
    "description",
    "id",
    "inuse",
    "parent",
    "private",
    "shared",
    "type",
)
"""The filters of a prune that take one value."""


class Builds:
    """The builds of an engine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._running: dict[str, Output] = {}
        self._known: dict[tuple[str, str], list[Picked]] = {}

    # ---- operations -----------------------------------------------------------------

    async def build(self, request: api.BuildImage) -> MessageStream:
        """``POST /build``."""
        options = read_options(request, experimental=self._surroundings.config.experimental)
        return MessageStream(self._messages(options))

    async def cancel(self, request: api.BuildCancel) -> None:
        """``POST /build/cancel``."""
        if not request.id:
            raise InvalidParameter("build ID not provided")
        if (output := self._running.get(request.id)) is not None:
            output.cancel()

    async def prune(self, request: api.BuildPrune) -> api.BuildPruneResponse:
        """``POST /build/prune``: removes nothing, as the cache consists of images."""
        try:
            _check_filters(request.filters)
        except InvalidParameter as error:
            raise InvalidParameter(f"failed to prune build cache: {error.message}") from None
        self._surroundings.events.publish("builder", "prune", "", {"reclaimed": "0"})
        return api.BuildPruneResponse()

    # ---- inside ---------------------------------------------------------------------

    async def _messages(self, options: Options) -> AsyncIterator[JSONMessage]:
        output = Output(quiet=options.quiet)
        if options.id:
            self._running[options.id] = output
        try:
            async with contextlib.aclosing(output.during(self._build(options, output))) as lines:
                async for line in lines:
                    yield line
        except CommandFailed as failure:
            yield failure.line()
        finally:
            if self._running.get(options.id) is output:
                del self._running[options.id]

    async def _build(self, options: Options, output: Output) -> None:
        images = self._surroundings.images
        with (
            images.context.catalog.lease() as lease,
            contextlib.ExitStack() as held,
            images.context.unpacker.scratch() as scratch,
        ):
            context, dockerfile = await self._begin(options, scratch)
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            job = Job(
                images=images,
                containers=self._surroundings.step_containers,
                view=self._surroundings.paths.view,
                options=options,
                output=output,
                context=context,
                lease=lease,
                held=held,
                made=self._made,
                known=self._known,
            )
            base = await Builder(job).run(dockerfile)
            assert base.image is not None  # noqa: S101 - for the type checker
            await self._conclude(options, output, base.image)

    async def _begin(
        self, options: Options, scratch: Path
    ) -> tuple[BuildContext | None, Dockerfile]:
        """Return the context, None for a build without one, and the Dockerfile."""
        root = scratch / "context"
        remote, name = options.remote, options.dockerfile
        if not remote:
            async with BodyReader(options.request.body) as body:
                abort = Abort(body.abort)
                await in_thread(lambda: receive(body, root, abort), abort)
        elif remote == "client-session":
            raise InvalidParameter(
                "experimental session with v1 builder is no longer supported, use builder version"
                " v2 (BuildKit) instead"
            )
        elif is_git(remote):
            clone = Clone()
            root = await in_thread(lambda: clone.run(remote, scratch / "context"), clone.abort)
        elif remote.startswith(("http://", "https://")):
            # A time-out ends the request after the client has disconnected.
            download = await in_thread(lambda: open_context(remote), lambda: None)
            abort = Abort(download.abort)
            try:
                fetched = await in_thread(lambda: fetch_context(download, root, abort), abort)
            finally:
                download.close()
            if fetched.dockerfile is not None:
                return None, parse_dockerfile(fetched.dockerfile, remote)
        else:
            raise InvalidParameter(f"remoteURL ({redacted(remote)}) could not be recognized as URL")
        context = BuildContext(root)
        return context, await in_thread(lambda: context.read_dockerfile(name))

    def _made(self, image: Image) -> None:
        self._surroundings.events.publish(
            "image", "create", image.id, {**image.labels, "name": image.id}
        )

    async def _conclude(self, options: Options, output: Output, image: Image) -> None:
        await output.say(f"Successfully built {image.short_id}\n")
        catalog = self._surroundings.images.context.catalog
        for name in options.names:
            async with catalog.lock:
                await tag(catalog, image.id, name, self._surroundings.events)
            await output.say(f"Successfully tagged {name.familiar}\n")
        if options.quiet:
            await output.conclude(JSONMessage(stream=f"{image.id}\n"))


def _check_filters(filters: Filters) -> None:
    """Check the filters of a prune, in dockerd's words.

    Raises:
        InvalidParameter: one has several values or a malformed one, or two contradict each other.
    """
    if filters.get("until") and filters.get("unused-for"):
        raise InvalidParameter('conflicting filters: "until" and "unused-for"')
    for name in _SINGLE:
        values = filters.get(name)
        if len(values) > 1:
            raise InvalidParameter("filters expect only one value")
        if values and name in ("until", "unused-for"):
            prefix = f"\"{name}\" filter expects a duration (e.g., '24h') or a timestamp: "
            parse_until(values[0], prefix=prefix)
