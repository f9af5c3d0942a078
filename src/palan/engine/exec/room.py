"""``engine.exec``: the operations on execs, and what containers need of them."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any, Final

import structlog

from palan.api.detach_keys import parse_keys
from palan.api.errors import Conflict, InvalidParameter, NotFound, PalanError
from palan.api.exec import (
    ExecCreate,
    ExecInspect,
    ExecInspectResponse,
    ExecResize,
    ExecStart,
    IDResponse,
)
from palan.api.results import Session
from palan.engine.exec.context import ExecContext
from palan.engine.exec.create import check_config, create_exec
from palan.engine.exec.instance import ExecInstance
from palan.engine.exec.leftovers import adopt_execs
from palan.engine.exec.probe import Outcome, probe
from palan.engine.exec.run import run_exec
from palan.engine.exec.session import StartingSession, error_session
from palan.engine.exec.surroundings import Surroundings
from palan.engine.exec.target import check_running
from palan.host.conmon import RunningMonitor


__all__ = ["Execs"]

UP_TIMEOUT: Final = 10.0
"""Seconds that a change of size waits for a process that is being started."""

_log: Any = structlog.get_logger("palan.engine")


class Execs:
    """The execs of all containers."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._context = ExecContext(surroundings)

    # ---- operations --------------------------------------------------------------

    async def create(self, request: ExecCreate) -> IDResponse:
        """``POST /containers/{id}/exec``.

        Raises:
            InvalidParameter: the command is empty, or there is no such user.
            Conflict: the container does not run, or is paused.
        """
        target = self._surroundings.containers.exec_target(request.id)
        config = request.body
        if not config.cmd:
            raise InvalidParameter("No exec command specified")
        keys = parse_keys(config.detach_keys, what="escape keys")
        check_running(target, request.id)
        check_config(config)
        instance = await create_exec(self._context, target, config, keys, name=request.id)
        return IDResponse(id=instance.id)

    async def start(self, request: ExecStart) -> Session | None:
        """``POST /exec/{id}/start``.

        Attached, the process is started after the answer's head was sent, and errors are
        written to the stream, as dockerd does; detached they are errors of the request, which
        is answered when the process runs.

        Raises:
            NotFound: there is no such exec.
            Conflict: it runs already, or its container does not.
        """
        instance = self._context.get(request.id)
        body = request.body
        check_running(instance.target, instance.target.id)
        if instance.started:
            if not instance.finished:
                raise Conflict(f"exec command {instance.id} is already running")
            problem = f"exec command {instance.id} has already run"
            if body.detach:
                raise Conflict(problem)
            return error_session(problem, tty=body.tty)
        instance.started = True
        size = body.console_size or instance.config.console_size or (0, 0)
        if body.detach:
            await run_exec(self._context, instance, size)
            return None
        config = instance.config
        session = await instance.streams.attach(
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            detach_keys=instance.keys,
            detached=lambda: self._context.publish(instance, "exec_detach"),
            raw=body.tty,
        )
        return StartingSession(session, lambda: self._start_attached(instance, size, tty=body.tty))

    async def _start_attached(
        self, instance: ExecInstance, size: tuple[int, int], *, tty: bool
    ) -> Session | None:
        """Start a process for a client that has its stream; return an error to show there.

        The start is completed even if the client disconnects meanwhile.
        """

        async def attempt() -> Session | None:
            try:
                await run_exec(self._context, instance, size)
            except PalanError as error:
                return error_session(error.message, tty=tty)
            except Exception as error:  # noqa: BLE001 - logged
                # The head of the answer is sent, so only the stream can show the error.
                _log.exception("an exec failed", exec=instance.id)
                return error_session(f"the exec could not be started: {error}", tty=tty)
            return None

        return await asyncio.shield(self._surroundings.spawn(attempt()))

    async def resize(self, request: ExecResize) -> None:
        """``POST /exec/{id}/resize``.

        Raises:
            NotFound: there is no such exec, or it does not run.
            Conflict: its container does not run, or is paused.
        """
        instance = self._context.get(request.id)
        check_running(instance.target, instance.target.id)
        if instance.started:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UP_TIMEOUT):
                    await instance.up.wait()
        if instance.monitored is None or instance.finished:
            raise NotFound(f"NotFound: process does not exist {instance.id}: not found")
        with contextlib.suppress(OSError):  # it has just ended
            instance.monitored.resize(request.h, request.w)

    async def inspect(self, request: ExecInspect) -> ExecInspectResponse:
        """``GET /exec/{id}/json``."""
        return self._context.get(request.id).describe()

    # ---- for containers ----------------------------------------------------------

    def unfinished(self, container_id: str) -> list[str]:
        """Return the ids of a container's execs that have not ended."""
        return sorted(i.id for i in self._context.of_container(container_id) if not i.finished)

    def drop_clients(self, container_id: str) -> None:
        """Disconnect the clients of a container's execs."""
        for instance in self._context.of_container(container_id):
            instance.streams.drop()

    def discard_unstarted(self, container_id: str) -> None:
        """Discard the execs of an ended container that were not started.

        Those that have run can still be asked for their exit codes.
        """
        for instance in self._context.of_container(container_id):
            if not instance.started:
                self._context.discard(instance)

    def discard(self, container_id: str) -> None:
        """Discard all execs of a container that is removed."""
        for instance in self._context.of_container(container_id):
            self._context.discard(instance)

    def adopt(self, container_id: str, monitors: Collection[RunningMonitor]) -> None:
        """Take over the execs of a running container that an earlier engine started.

        Args:
            container_id: the container's id.
            monitors: the conmons of its execs that still run.
        """
        target = self._surroundings.containers.exec_target(container_id)
        adopt_execs(self._surroundings, target, monitors)

    async def probe(
        self, container_id: str, command: list[str], *, timeout_ns: int, max_output: int
    ) -> Outcome:
        """Run a command in a container as its health check, see :func:`probe`."""
        target = self._surroundings.containers.exec_target(container_id)
        return await probe(
            self._context, target, command, timeout_ns=timeout_ns, max_output=max_output
        )

    def release(self) -> None:
        """Stop watching all execs, whose processes continue."""
        for instance in self._context.all():
            if instance.monitored is not None:
                instance.monitored.release()
