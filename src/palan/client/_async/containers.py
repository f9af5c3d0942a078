"""Containers: the endpoints, and operations of several calls: run, copy files, wait for health."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from palan.client._async.calls.containers import AsyncContainersCalls
from palan.client._async.images import AsyncImages
from palan.client._async.io import consume, in_thread, now, sleep
from palan.client._async.shielded import shielded, undo_if_cancelled
from palan.client._outcomes import RunResult
from palan.client._run_options import Command, RunOptions, check_run_options, create_arguments
from palan.client.errors import (
    APIError,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    ContainerFailed,
    NotFound,
    Timeout,
    TransportError,
)


if TYPE_CHECKING:
    from palan.api.containers import ContainerCreateResponse, ContainerInspectResponse
    from palan.api.results import PathStat

__all__ = ["AsyncContainers"]

_FIRST_PAUSE: Final = 0.05
_MAX_PAUSE: Final = 1.0
"""Seconds between queries of a container's health, which grow from the first to the last."""

_MAX_LINKS: Final = 8
"""The most symbolic links that are followed at the target of a copy."""


class AsyncContainers(AsyncContainersCalls):
    """Containers: their lifecycle, streams and files."""

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
        """Run a container to its end and collect its output.

        Endpoints: create, attach, start, wait and remove of ``/containers``, and a pull if the
        engine does not have the image.

        Args:
            image: the image to run.
            command: replaces the image's command; a string is run by ``sh -c``.
            stdin: the input of the container; None attaches no stdin.
            check: raise an exception if the exit code is not 0.
            remove: remove the container afterwards, with its anonymous volumes.
            pull: ``missing``, ``always`` or ``never``.
            timeout: seconds until the container is killed; None is no limit.
            options: further options, see :class:`palan.client.RunOptions`.

        Returns:
            Exit code and output.

        Raises:
            TypeError: an option does not exist, or needs another one that is absent.
            ContainerFailed: the exit code is not 0; has the exit code and the output.
            Timeout: the container ran for too long, and was removed; has the output until then.
            ConnectionLost: the engine ended meanwhile; has the output until then. The container
                may be running.
            NotFound: neither the engine nor the registry has the image.
        """
        check_run_options(
            "run", options, image=image, command=command, stdin=stdin, timeout=timeout
        )
        deadline = None if timeout is None else now() + timeout
        identity = await self._create(image, command, options, pull, stdin=stdin is not None)
        try:
            result = await self._run(identity, stdin, deadline)
        except BaseException as error:
            if isinstance(error, Timeout):
                error.message = f"{image} ran for longer than {timeout} seconds"
            await shielded(self._remove_after, error, identity)
            if isinstance(error, TransportError):
                raise _with_container(error, identity) from None
            raise
        if remove:
            try:
                await shielded(self._remove_if_present, identity)
            except TransportError as error:
                error.message = f"{identity[:12]} ended, and may be left: {error.message}"
                error.stdout, error.stderr = result.stdout, result.stderr
                raise _with_container(error, identity) from None
        if check and result.exit_code:
            text = result.stderr or result.stdout
            last = text.decode("utf-8", "replace").strip().rpartition("\n")[2]
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

        Endpoints: create and start of ``/containers``, and a pull if the engine does not have
        the image. A container that cannot be started is removed again.

        Args:
            image: the image to run.
            command: replaces the image's command; a string is run by ``sh -c``.
            auto_remove: let the engine remove the container when it ends.
            pull: ``missing``, ``always`` or ``never``.
            options: further options, see :class:`palan.client.RunOptions`.

        Returns:
            The container's id.
        """
        check_run_options("launch", options, image=image, command=command)
        identity = await self._create(image, command, options, pull, auto_remove=auto_remove)
        try:
            await self.start(identity)
        except BaseException as error:
            await shielded(self._remove_after, error, identity)
            if isinstance(error, TransportError):
                raise _with_container(error, identity) from None
            raise
        return identity

    async def wait_healthy(
        self, id: str, *, timeout: float | None = 60.0
    ) -> "ContainerInspectResponse":
        """Wait until a container is healthy according to its health check.

        Endpoint: ``GET /containers/{id}/json``, repeatedly.

        Args:
            id: the container's name or id.
            timeout: seconds; None is no limit.

        Returns:
            The container.

        Raises:
            Timeout: the container is not healthy yet.
            ContainerFailed: the container has ended, or is unhealthy.
            ClientError: the container has no health check.
        """
        deadline = None if timeout is None else now() + timeout
        pause = _FIRST_PAUSE
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
                output = checks[-1].output.strip() if checks else ""
                raise ContainerFailed(
                    f"{id} is unhealthy: {output}", container=found.id, exit_code=0
                )
            if health == "none" and state.running:
                raise ClientError(f"{id} has no health check")
            if deadline is not None and now() + pause > deadline:
                raise Timeout(f"{id} was not healthy within {timeout} seconds: {health}")
            await sleep(pause)
            pause = min(_MAX_PAUSE, pause * 1.5)

    async def copy_in(
        self,
        id: str,
        source: str | os.PathLike[str],
        target: str,
        *,
        keep_owner: bool = False,
    ) -> None:
        """Copy a file or a directory into a container, as ``docker cp`` does.

        If ``target`` is an existing directory, the copy keeps its name, or only the contents are
        copied if ``source`` ends in ``/.``; else ``target`` is the new name.

        Endpoint: ``PUT /containers/{id}/archive``, after a ``HEAD`` of the same.

        Args:
            id: the container's name or id; it need not be running.
            source: a local path.
            target: a path in the container.
            keep_owner: keep the user and group ids; else root owns all files.

        Raises:
            FileNotFoundError: ``source`` does not exist.
            NotFound: the container, or the directory to copy into, does not exist.
        """
        # Imported late: archives take long to import, and most programs copy nothing.
        from palan.client._paths import plan_copy_in

        path = Path(source)
        is_directory = await in_thread(path.is_dir)
        await in_thread(os.lstat, path)
        target, there = await self._resolve(id, target)
        directory, chunks = plan_copy_in(
            os.fspath(source), target, there, is_directory=is_directory, keep_owner=keep_owner
        )
        await self.archive_put(id, directory, chunks, copy_uidgid=keep_owner)

    async def copy_out(
        self,
        id: str,
        source: str,
        target: str | os.PathLike[str],
        *,
        keep_owner: bool = False,
    ) -> None:
        """Copy a file or a directory out of a container, as ``docker cp`` does.

        If ``target`` is an existing directory, the copy keeps its name, or only the contents are
        copied if ``source`` ends in ``/.``; else ``target`` is the new name. The archive is not
        trusted: nothing is written outside of ``target``.

        Endpoint: ``GET /containers/{id}/archive``.

        Args:
            id: the container's name or id; it need not be running.
            source: a path in the container.
            target: a local path.
            keep_owner: keep the user and group ids; this needs root.

        Raises:
            NotFound: the container or ``source`` does not exist.
        """
        async with self.archive_get(id, source) as archive:
            kind = await archive.path_stat()
            from palan.client._paths import plan_copy_out

            unpack = await in_thread(plan_copy_out, source, kind, os.fspath(target), keep_owner)
            await consume(archive.chunk, unpack)

    # ---- steps ---------------------------------------------------------------------

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
        given = create_arguments(image, command, options)
        if auto_remove:
            given["host_config"].auto_remove = True
        if stdin:
            given |= {"attach_stdin": True, "open_stdin": True, "stdin_once": True}
        given |= {"attach_stdout": True, "attach_stderr": True}
        platform = options.get("platform", "")
        if pull == "always":
            await AsyncImages(self._client).pull(image, platform=platform)
        try:
            created = await undo_if_cancelled(self.create, self._remove_created, **given)
        except NotFound as error:
            if pull != "missing" or "image" not in error.message.lower():
                raise
            await AsyncImages(self._client).pull(image, platform=platform)
            created = await undo_if_cancelled(self.create, self._remove_created, **given)
        return created.id

    async def _run(self, identity: str, stdin: bytes | None, deadline: float | None) -> RunResult:
        # Attached before the start, so that no output is missed, whatever the log driver.
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
        try:
            ended = await self.wait(identity, timeout=left)
        except TransportError as error:
            error.stdout, error.stderr = stdout, stderr
            raise
        return RunResult(ended.status_code, stdout, stderr, identity)

    async def _remove_created(self, created: "ContainerCreateResponse") -> None:
        await self._remove_if_present(created.id)

    async def _remove_after(self, error: BaseException, identity: str) -> None:
        """Remove a container after an error, which is raised whether this succeeds or not."""
        try:
            await self._remove_if_present(identity)
        except ClientError as second:
            text = f"the container {identity[:12]} could not be removed: {second.message}"
            if isinstance(error, TransportError):
                error.message += f"; {text}"
            else:
                error.add_note(text)

    async def _remove_if_present(self, identity: str) -> None:
        """Remove a container in any state; it may have been removed already."""
        try:
            await self.remove(identity, force=True, v=True)
        except APIError as error:
            if error.status not in (404, 409):
                raise

    async def _resolve(self, id: str, target: str) -> "tuple[str, PathStat | None]":
        """Follow links at the end of a path; return the final path and its properties, or None."""
        from palan.client._paths import is_link

        for _ in range(_MAX_LINKS):
            try:
                found = await self.archive_info(id, target)
            except NotFound:
                # An absent path will be created, but an absent container is an error.
                await self.inspect(id)
                return target, None
            if not found.link_target or not is_link(found):
                return target, found
            target = found.link_target
        return target, None


def _with_container(error: TransportError, identity: str) -> TransportError:
    """Return the error of a call after a container was created, with the container's id."""
    if isinstance(error, ConnectFailed):
        # Nothing was sent by the last call only: the container exists, and may be running.
        lost = ConnectionLost(error.message, method=error.method, path=error.path)
        lost.stdout, lost.stderr = error.stdout, error.stderr
        error = lost
    error.container = identity
    return error
