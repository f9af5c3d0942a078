"""Images: the endpoints, and operations of several calls or with files: pull, build, import."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from palan.client._async.calls.images import AsyncImagesCalls
from palan.client._async.io import AsyncBody, in_thread
from palan.client._outcomes import BuiltImage
from palan.client.errors import OperationFailed, TransportError


if TYPE_CHECKING:
    from palan.api._progress import JSONMessage
    from palan.api.auth import AuthConfig
    from palan.api.images import ImageInspectResponse
    from palan.client._build_options import BuildOptions

__all__ = ["AsyncImages"]

Progress = Callable[["JSONMessage"], Any]


class AsyncImages(AsyncImagesCalls):
    """Images: their names, content and transfer."""

    async def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        registry_auth: "AuthConfig | str | None" = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> "ImageInspectResponse":
        """Pull an image from its registry, and wait until it is complete.

        Endpoints: ``POST /images/create`` and ``GET /images/{name}/json``.

        Args:
            reference: the image's name; without a tag or digest, ``latest``.
            platform: ``os[/arch[/variant]]``.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends none.
            progress: a function that is called with each message of the engine.
            timeout: seconds to wait for each message; None is no limit.

        Returns:
            The image.

        Raises:
            NotFound: the registry has no such image, or demands credentials.
            OperationFailed: the pull failed after it had begun.
        """
        named = reference
        if "@" not in reference and ":" not in reference.rpartition("/")[2]:
            named = f"{reference}:latest"
        pulling = self.create(
            from_image=named, platform=platform, registry_auth=registry_auth, timeout=timeout
        )
        await pulling.wait(progress)
        return await self.inspect(named)

    async def import_archive(
        self,
        source: AsyncBody,
        repository: str = "",
        *,
        tag: str = "latest",
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
        progress: Progress | None = None,
    ) -> str:
        """Make an image from an archive of a root filesystem.

        Endpoint: ``POST /images/create``.

        Args:
            source: a tar archive: bytes, a file, or an iterable of bytes.
            repository: the image's repository; empty for no name.
            tag: the image's tag.
            changes: instructions of a Dockerfile, such as ``CMD ["sh"]``.
            message: the commit message.
            platform: ``os[/arch[/variant]]``.
            progress: a function that is called with each message of the engine.

        Returns:
            The image's id.
        """
        importing = self.create(
            body=source,
            from_src="-",
            repo=repository,
            tag=tag if repository else "",
            changes=list(changes),
            message=message,
            platform=platform,
            registry_auth="",
        )
        last_status = ""
        async for step in importing:
            last_status = step.status or last_status
            if progress is not None:
                progress(step)
        return last_status

    async def build(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        archive: AsyncBody | None = None,
        tags: str | Sequence[str] = (),
        dockerfile: str | os.PathLike[str] = "Dockerfile",
        build_args: Mapping[str, str | None] | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
        **options: "Unpack[BuildOptions]",
    ) -> BuiltImage:
        """Build an image from a directory with the engine's classic builder.

        The directory's ``.dockerignore`` has the same effect as with Docker.

        Endpoint: ``POST /build``.

        Args:
            path: the directory of the context, instead of ``archive`` or ``remote``.
            archive: the context as a tar archive.
            tags: names for the image.
            dockerfile: the Dockerfile's path below the context; it may lie outside if it begins
                with a slash or leads out of the context.
            build_args: values of ``ARG``; None takes the Dockerfile's default.
            progress: a function that is called with each message of the engine.
            timeout: seconds to wait for each message; None is no limit.
            options: further options, see :class:`palan.client.BuildOptions`.

        Returns:
            The image's id, and the output of the builder.

        Raises:
            TypeError: an option does not exist, or there is not exactly one context.
            OperationFailed: a step failed; ``code`` is its exit code, and ``output`` has the
                messages of the builder until then.
        """
        from palan.client._async.calls.build import AsyncBuildCalls
        from palan.client._build_options import build_arguments, build_context, check_build_options

        check_build_options(path, archive, options)
        name, body = os.fspath(dockerfile), archive
        if path is not None:
            name, body = await in_thread(build_context, os.fspath(path), name)
        known = await in_thread(self._client.environment.all_credentials)
        arguments = build_arguments(tags, name, build_args, options, known)
        calls = AsyncBuildCalls(self._client)
        building = calls.build(body=body, timeout=timeout, **arguments)
        identity = ""
        output: list[str] = []
        try:
            async for step in building:
                output.append(step.stream or "")
                if isinstance(step.aux, dict) and "ID" in step.aux:
                    identity = str(step.aux["ID"])
                elif (step.stream or "").startswith("Successfully built "):
                    identity = identity or (step.stream or "").split()[-1]
                if progress is not None:
                    progress(step)
        except (OperationFailed, TransportError) as error:
            error.output = "".join(output)
            raise
        text = "".join(output)
        identity = identity or text.strip().rpartition("\n")[2]
        if not identity:
            raise OperationFailed("the build ended without an image", method="POST", path="/build")
        return BuiltImage(identity, text)
