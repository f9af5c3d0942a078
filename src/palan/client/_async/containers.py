"""Containers, with what takes several calls: running them, copying files, waiting for health."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from palan.client._async.calls.containers import AsyncContainersCalls
from palan.client._async.images import AsyncImages
from palan.client._async.io import consume, in_thread, now, sleep
from palan.client._async.shielded import shielded, undone
from palan.client._outcomes import RunResult
from palan.client._run_options import Command, RunOptions, creation
from palan.client.errors import (
    APIError,
    ClientError,
    ContainerFailed,
    NotFound,
    Timeout,
)


if TYPE_CHECKING:
    from palan.api.containers import ContainerCreateResponse, ContainerInspectResponse
    from palan.api.results import PathStat

__all__ = ["AsyncContainers"]

_FIRST_LOOK: Final = 0.05
_LAST_LOOK: Final = 1.0
"""Seconds between looks at a container's health; they grow."""

_LINKS: Final = 8
"""Links in a container that are followed to where something is copied to."""


class AsyncContainers(AsyncContainersCalls):
    """Containers: their life, their streams, their files."""

    async def run(
        self,
        image: str,
        command: Command = None,
        *,
        stdin: bytes | None = None,
        check: bool = True,
        remove: bool = True,
        pull: str = "missing",
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Run a container to its end and collect what it writes.

        Endpoints: create, attach, start, wait and remove of ``/containers``, and a pull if the
        image is not there.

        Args:
            image: what to run.
            command: instead of the image's; a string is run by ``sh -c``.
            stdin: what it reads; None is nothing at all.
            check: raise when it does not end with 0.
            remove: remove it afterwards, with its anonymous volumes.
            pull: ``missing``, ``always`` or ``never``.
            timeout: seconds in which it must end, else it is killed; None is for ever.
            options: how to run it, see :class:`palan.client.RunOptions`.

        Returns:
            Exit code and output.

        Raises:
            ContainerFailed: it did not end with 0; has the exit code and the output.
            Timeout: it ran for too long, and is gone.
            NotFound: there is no such image, here nor in its registry.
        """
        deadline = None if timeout is None else now() + timeout
        identity = await self._create(image, command, options, pull, stdin=stdin is not None)
        done = False
        try:
            result = await self._run(identity, stdin, deadline)
            done = True
        finally:
            if remove or not done:
                await shielded(self._discard, identity)
        if check and result.exit_code:
            words = result.stderr or result.stdout
            last = words.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise ContainerFailed(
                f"{image} ended with {result.exit_code}" + (f": {last}" if last else ""),
                container=identity,
                exit_code=result.exit_code,
                stdout=result.stdout,
                stderr=result.stderr,
            )
        return result

    async def launch(
        self,
        image: str,
        command: Command = None,
        *,
        auto_remove: bool = False,
        pull: str = "missing",
        **options: Unpack[RunOptions],
    ) -> str:
        """Start a container and leave it running.

        Endpoints: create and start of ``/containers``, and a pull if the image is not there.
        A container that cannot be started is removed again.

        Args:
            image: what to run.
            command: instead of the image's; a string is run by ``sh -c``.
            auto_remove: the engine removes it when it ends.
            pull: ``missing``, ``always`` or ``never``.
            options: how to run it, see :class:`palan.client.RunOptions`.

        Returns:
            The container's id.
        """
        identity = await self._create(image, command, options, pull, auto_remove=auto_remove)
        try:
            await self.start(identity)
        except BaseException:
            await shielded(self._discard, identity)
            raise
        return identity

    async def wait_healthy(
        self, id: str, *, timeout: float | None = 60.0
    ) -> "ContainerInspectResponse":
        """Wait until a container's health check says that it is healthy.

        Endpoint: ``GET /containers/{id}/json``, again and again.

        Args:
            id: which one.
            timeout: seconds; None is for ever.

        Returns:
            The container.

        Raises:
            Timeout: it is not healthy yet.
            ContainerFailed: it has ended, or is unhealthy.
            ClientError: it has no health check.
        """
        deadline = None if timeout is None else now() + timeout
        pause = _FIRST_LOOK
        while True:
            found = await self.inspect(id)
            state = found.state
            health = state.health.status if state.health else "none"
            if health == "healthy" and state.running:
                return found
            if not state.running and state.status != "created":
                raise ContainerFailed(
                    f"{id} has ended with {state.exit_code}",
                    container=found.id,
                    exit_code=state.exit_code,
                )
            if health == "unhealthy":
                checks = state.health.log if state.health else []
                words = checks[-1].output.strip() if checks else ""
                raise ContainerFailed(
                    f"{id} is unhealthy: {words}", container=found.id, exit_code=0
                )
            if health == "none" and state.running:
                raise ClientError(f"{id} has no health check")
            if deadline is not None and now() + pause > deadline:
                raise Timeout(f"{id} was not healthy within {timeout} seconds: {health}")
            await sleep(pause)
            pause = min(_LAST_LOOK, pause * 1.5)

    async def copy_in(
        self,
        id: str,
        source: str | os.PathLike[str],
        target: str,
        *,
        keep_owner: bool = False,
    ) -> None:
        """Copy a file or a directory into a container, as ``docker cp`` does.

        Into a directory that is there it goes under its own name, or only its contents if
        ``source`` ends in ``/.``; else ``target`` is its new name.

        Endpoint: ``PUT /containers/{id}/archive``, after a ``HEAD`` of the same.

        Args:
            id: which container; it need not run.
            source: a path here.
            target: a path there.
            keep_owner: keep the numbers of users and groups; else all is root's.

        Raises:
            FileNotFoundError: there is nothing at ``source``.
            NotFound: there is no such container, or no directory to copy into.
        """
        # Archives are a lot to import, and most programs copy nothing.
        from palan.client._paths import incoming

        path = Path(source)
        is_directory = await in_thread(path.is_dir)
        await in_thread(os.lstat, path)
        target, there = await self._resolve(id, target)
        directory, pieces = incoming(
            os.fspath(source), target, there, is_directory=is_directory, keep_owner=keep_owner
        )
        await self.archive_put(id, directory, pieces, copy_uidgid=keep_owner)

    async def copy_out(
        self,
        id: str,
        source: str,
        target: str | os.PathLike[str],
        *,
        keep_owner: bool = False,
    ) -> None:
        """Copy a file or a directory out of a container, as ``docker cp`` does.

        Into a directory that is there it goes under its own name, or only its contents if
        ``source`` ends in ``/.``; else ``target`` is its new name. What the archive says is
        not trusted: nothing is written but below ``target``.

        Endpoint: ``GET /containers/{id}/archive``.

        Args:
            id: which container; it need not run.
            source: a path there.
            target: a path here.
            keep_owner: keep the numbers of users and groups, as root can.

        Raises:
            NotFound: there is no such container, or nothing at ``source``.
        """
        async with self.archive_get(id, source) as archive:
            kind = await archive.path_stat()
            from palan.client._paths import outgoing

            work = await in_thread(outgoing, source, kind, os.fspath(target), keep_owner)
            await consume(archive.chunk, work)

    # ---- parts ---------------------------------------------------------------------

    async def _create(
        self,
        image: str,
        command: Command,
        options: RunOptions,
        pull: str,
        *,
        stdin: bool = False,
        auto_remove: bool = False,
    ) -> str:
        if pull not in ("missing", "always", "never"):
            raise ValueError(f"pull is missing, always or never, not {pull!r}")
        given = creation(image, command, options)
        if auto_remove:
            given["host_config"].auto_remove = True
        if stdin:
            given |= {"attach_stdin": True, "open_stdin": True, "stdin_once": True}
        given |= {"attach_stdout": True, "attach_stderr": True}
        platform = options.get("platform", "")
        if pull == "always":
            await AsyncImages(self._client).pull(image, platform=platform)
        try:
            created = await undone(self.create, self._discard_created, **given)
        except NotFound as error:
            if pull != "missing" or "image" not in error.message.lower():
                raise
            await AsyncImages(self._client).pull(image, platform=platform)
            created = await undone(self.create, self._discard_created, **given)
        return created.id

    async def _run(self, identity: str, stdin: bytes | None, deadline: float | None) -> RunResult:
        # Attached before it starts, so that nothing is missed, whatever becomes of its log.
        session = self.attach(
            identity, stream=True, stdin=stdin is not None, stdout=True, stderr=True
        )
        async with session:
            session.limit(deadline)
            await self.start(identity)
            if stdin is None:
                stdout, stderr = await session.read_split()
            else:
                stdout, stderr = await session.communicate(stdin)
        left = None if deadline is None else max(0.1, deadline - now())
        ended = await self.wait(identity, timeout=left)
        return RunResult(ended.status_code, stdout, stderr, identity)

    async def _discard_created(self, created: "ContainerCreateResponse") -> None:
        await self._discard(created.id)

    async def _discard(self, identity: str) -> None:
        """Remove what may be in any state, or gone."""
        try:
            await self.remove(identity, force=True, v=True)
        except APIError as error:
            if error.status not in (404, 409):
                raise

    async def _resolve(self, id: str, target: str) -> "tuple[str, PathStat | None]":
        """A path in a container without a link at its end, and what is there."""
        from palan.client._paths import is_link

        for _ in range(_LINKS):
            try:
                found = await self.archive_info(id, target)
            except NotFound:
                # No container is an error, no file is a new one.
                await self.inspect(id)
                return target, None
            if not found.link_target or not is_link(found):
                return target, found
            target = found.link_target
        return target, None
