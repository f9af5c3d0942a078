"""``engine.exec``: setting processes up in containers, starting and watching them."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from palan.api.detach_keys import parse_keys
from palan.api.errors import Conflict, InvalidParameter, NotFound, PalanError
from palan.api.exec import (
    ExecConfig,
    ExecCreate,
    ExecInspect,
    ExecInspectResponse,
    ExecResize,
    ExecStart,
    IDResponse,
)
from palan.api.frames import STDOUT, frame
from palan.api.results import Session
from palan.engine.containers.container import Container
from palan.engine.exec.leftovers import remove_directory
from palan.engine.exec.run import run
from palan.engine.exec.session import ExecInstance, StartingSession
from palan.engine.streams.attach import OutputSession
from palan.host import processes


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Execs"]

FORGET_AFTER: Final = 300.0
"""Seconds that an ended exec can still be asked for its exit code."""

ENDING: Final = 3.0
"""Seconds in which a container has ended whose end, perhaps, made an exec fail."""

PROBES_STARTING: Final = 4
"""Health checks that are started at once, which is most of their work; clients come first."""

UP_TIMEOUT: Final = 10.0
"""Seconds that a change of size waits for a process that is being started."""


class Execs:
    """The execs of all containers."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._by_id: dict[str, ExecInstance] = {}
        self.probing = asyncio.Semaphore(PROBES_STARTING)
        """Held while a health check is started."""

    def _get(self, exec_id: str) -> ExecInstance:
        try:
            return self._by_id[exec_id]
        except KeyError:
            raise NotFound(f"No such exec instance: {exec_id}") from None

    async def create(self, request: ExecCreate) -> IDResponse:
        """``POST /containers/{id}/exec``.

        Raises:
            InvalidParameter: there is no command, or no such user.
            Conflict: the container does not run, or is paused.
        """
        container = self._engine.containers.registry.get(request.id)
        config = request.body
        if not config.cmd:
            raise InvalidParameter("No exec command specified")
        keys = parse_keys(config.detach_keys, what="escape keys")
        _check_runs(container, request.id)
        for text in (*config.cmd, *(config.env or ()), config.working_dir, config.user):
            if "\0" in text:
                raise InvalidParameter("invalid exec: it contains a NUL character")
        for entry in config.env or ():
            if entry.startswith("=") or not entry:
                raise InvalidParameter(f"invalid environment variable: {entry}")
        instance = await self.set_up(container, config, keys, name=request.id)
        return IDResponse(id=instance.id)

    async def set_up(
        self, container: Container, config: ExecConfig, keys: bytes = b"", *, name: str
    ) -> ExecInstance:
        """Make an exec that can be started.

        Args:
            container: where it is to run.
            config: what is to run.
            keys: the keys by which a client detaches.
            name: what the client called the container, for messages.

        Raises:
            InvalidParameter: there is no such user.
            Conflict: the container has ended, or is paused.
        """
        try:
            user = await asyncio.to_thread(self._engine.containers.user, container, config.user)
        except (OSError, PalanError):
            if _has_ended(container):
                raise _not_running(container) from None
            raise
        _check_runs(container, name)  # it may have ended meanwhile
        instance = ExecInstance(secrets.token_hex(32), container, config, user, keys)
        self._forget_old()
        self._by_id[instance.id] = instance
        container.execs[instance.id] = instance
        self._publish(instance, f"exec_create: {instance.command}")
        return instance

    async def start(self, request: ExecStart) -> Session | None:
        """``POST /exec/{id}/start``.

        Attached, the process is started after the answer's head was sent, and what goes
        wrong is told on the stream, as dockerd does; detached it is an error, and the
        answer comes when the process runs.

        Raises:
            NotFound: there is no such exec.
            Conflict: it runs already, or its container does not.
        """
        instance = self._get(request.id)
        body = request.body
        detach = body.detach
        _check_runs(instance.container, instance.container.name)
        if instance.started:
            if not instance.finished:
                raise Conflict(f"exec command {instance.id} is already running")
            problem = f"exec command {instance.id} has already run"
            if detach:
                raise Conflict(problem)
            return _complaint(problem, tty=body.tty)
        instance.started = True
        size = body.console_size or instance.config.console_size or (0, 0)
        if detach:
            await self.run(instance, size)
            return None
        config = instance.config
        session = await instance.streams.attach(
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            detach_keys=instance.keys,
            detached=lambda: self._publish(instance, "exec_detach"),
            raw=body.tty,
        )
        return StartingSession(session, lambda: self._attempt(instance, size, tty=body.tty))

    async def _attempt(
        self, instance: ExecInstance, size: tuple[int, int], *, tty: bool
    ) -> Session | None:
        """Start a process for a client that has its stream; what to show if that fails.

        Its end is waited for even if the client goes meanwhile.
        """

        async def attempt() -> Session | None:
            try:
                await self.run(instance, size)
            except PalanError as error:
                return _complaint(error.message, tty=tty)
            except Exception as error:
                # The head of the answer is sent, so it can be told on the stream only.
                self._engine.log.exception("an exec failed", exec=instance.id)
                return _complaint(f"the exec could not be started: {error}", tty=tty)
            return None

        return await asyncio.shield(self._engine.spawn(attempt()))

    async def run(self, instance: ExecInstance, size: tuple[int, int] = (0, 0)) -> None:
        """Start the process of an exec; it runs when this returns.

        Must not be cancelled.

        Raises:
            PalanError: it can't be run, in dockerd's words.
            OSError: something of the container is not there any more.
        """
        self._publish(instance, f"exec_start: {instance.command}")
        try:
            await run(self._engine, instance, size)
        except BaseException as error:
            self._ended(instance)
            if isinstance(error, OSError | PalanError) and await _ends(instance.container, error):
                raise _not_running(instance.container) from None
            raise
        instance.up.set()
        self._engine.spawn(self._watch(instance))

    async def _watch(self, instance: ExecInstance) -> None:
        assert instance.monitored is not None  # noqa: S101 - it was just started
        result = await instance.monitored.wait()
        instance.exit_code = result.code
        self._ended(instance)
        self._publish(instance, "exec_die", exitCode=str(result.code))
        await remove_directory(instance.container, instance.monitored.directory)

    def _ended(self, instance: ExecInstance) -> None:
        instance.finished = True
        instance.ended_at = time.monotonic()
        instance.up.set()
        instance.streams.ended()

    async def resize(self, request: ExecResize) -> None:
        """``POST /exec/{id}/resize``.

        Raises:
            NotFound: there is no such exec, or it does not run.
        """
        instance = self._get(request.id)
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
        return self._get(request.id).describe()

    def release(self) -> None:
        """Let go of all execs; they go on."""
        for instance in self._by_id.values():
            if instance.monitored is not None:
                instance.monitored.release()

    def forget_unstarted(self, container: Container) -> None:
        """Forget the execs of a container that has ended which can't be started any more.

        Those that have run can still be asked for their exit codes.
        """
        for exec_id, instance in list(container.execs.items()):
            if not instance.started:
                self._by_id.pop(exec_id, None)
                del container.execs[exec_id]

    def forget_one(self, instance: ExecInstance) -> None:
        """Forget an exec that nobody will ask for."""
        self._by_id.pop(instance.id, None)
        instance.container.execs.pop(instance.id, None)

    def forget(self, container: Container) -> None:
        """Forget the execs of a container that is removed."""
        for exec_id in container.execs:
            self._by_id.pop(exec_id, None)
        container.execs.clear()

    def _forget_old(self) -> None:
        limit = time.monotonic() - FORGET_AFTER
        for instance in list(self._by_id.values()):
            if instance.ended_at is not None and instance.ended_at < limit:
                self.forget_one(instance)

    def _publish(self, instance: ExecInstance, action: str, **more: str) -> None:
        container = instance.container
        self._engine.events.publish(
            "container",
            action,
            container.id,
            {**container.attributes, "execID": instance.id, **more},
        )


def _check_runs(container: Container, name: str) -> None:
    if container.paused:
        raise Conflict(f"Container {name} is paused, unpause the container before exec")
    if not container.running or container.ending:
        raise _not_running(container)


def _has_ended(container: Container) -> bool:
    """Whether a container has ended, even if nobody has noticed so far."""
    process = container.record.process
    if not container.running or container.ending or process is None:
        return True
    return not processes.is_alive(process.pid, process.start_time)


async def _ends(container: Container, error: OSError | PalanError) -> bool:
    """Whether an exec failed because its container ends.

    Of the container's processes the first is the last to go, so that it may be there still.
    """
    if _has_ended(container):
        return True
    if container.monitored is not None and not (
        isinstance(error, PalanError) and error.status < 500
    ):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING):
                await container.monitored.wait()
    return _has_ended(container)


def _not_running(container: Container) -> Conflict:
    return Conflict(f"container {container.id} is not running")


def _complaint(text: str, *, tty: bool) -> Session:
    data = f"{text}\r\n".encode("utf-8", "replace")

    async def once() -> AsyncIterator[bytes]:
        yield data if tty else frame(STDOUT, data)

    return OutputSession(once(), tty=tty)
