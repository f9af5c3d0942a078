"""Health checks as execs: commands that run in a container with a time limit.

They are started like every exec, and publish the same events, as with dockerd.
"""

import asyncio
import contextlib
import signal
from typing import Final, NamedTuple

from palan.api.errors import PalanError
from palan.api.exec import ExecConfig
from palan.engine.exec.context import ExecContext
from palan.engine.exec.create import create_exec
from palan.engine.exec.instance import ExecInstance
from palan.engine.exec.mark import mark_check
from palan.engine.exec.run import run_exec
from palan.engine.exec.surroundings import Target
from palan.engine.streams.attach import AttachSession
from palan.engine.timestamps import go_duration


__all__ = ["Outcome", "probe"]

START_TIMEOUT: Final = 30.0
"""Seconds that the start of a check may take; they do not count as the check's own."""

KILL_TIMEOUT: Final = 10.0
"""Seconds that a check may take to end after SIGKILL."""

FAILED: Final = -1


class Outcome(NamedTuple):
    """The result of a health check.

    Attributes:
        code: the exit code; -1 if the command could not be run, or took too long.
        output: its output, or the reason why it was not run.
    """

    code: int
    output: str


async def probe(
    context: ExecContext, target: Target, command: list[str], *, timeout_ns: int, max_output: int
) -> Outcome:
    """Run a command in a container as its health check.

    When this is cancelled, the command is killed.

    Args:
        context: the execs.
        target: a container that runs.
        command: program and arguments.
        timeout_ns: nanoseconds that it may take.
        max_output: bytes of its output that are returned; the rest is dropped.
    """
    config = ExecConfig(cmd=command, attach_stdout=True, attach_stderr=True)
    try:
        async with context.starting_checks:
            instance = await create_exec(context, target, config, name=target.name)
            session = await _start(context, instance)
    except TimeoutError:
        return Outcome(FAILED, f"timed out starting health check for container {target.id}")
    except (OSError, PalanError) as error:
        return Outcome(FAILED, error.message if isinstance(error, PalanError) else str(error))
    output = _Output(max_output)
    try:
        async with asyncio.timeout(timeout_ns / 1e9):
            await output.read(session)
    except TimeoutError:
        _kill(instance)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                await output.read(session)
        text = f"Health check exceeded timeout ({go_duration(timeout_ns)})"
        return Outcome(FAILED, f"{text}: {output.text()}" if output.data else text)
    except BaseException:
        _kill(instance)
        raise
    finally:
        await session.close()
        context.discard(instance)
    if instance.exit_code is None:
        return Outcome(FAILED, f"healthcheck for container {target.id} has no exit code")
    return Outcome(instance.exit_code, output.text())


async def _start(context: ExecContext, instance: ExecInstance) -> AttachSession:
    """Start the process, and return a session that is attached to it.

    Raises:
        PalanError, OSError: as :func:`run_exec`.
        TimeoutError: it takes too long; it is killed as soon as it runs.
    """
    instance.started = True
    session = await instance.streams.attach(stdout=True, stderr=True, raw=True)
    starting: asyncio.Future[None] | None = None
    try:
        mark_check(context.directory(instance))
        starting = asyncio.ensure_future(run_exec(context, instance))
        async with asyncio.timeout(START_TIMEOUT):
            await asyncio.shield(starting)
    except BaseException:
        await session.close()
        context.discard(instance)
        if starting is not None and not starting.done():
            context.surroundings.spawn(_kill_late(starting, instance))
        raise
    return session


async def _kill_late(starting: asyncio.Future[None], instance: ExecInstance) -> None:
    with contextlib.suppress(OSError, PalanError):
        await starting
    _kill(instance)


def _kill(instance: ExecInstance) -> None:
    if instance.monitored is not None:
        instance.monitored.signal(signal.SIGKILL)


class _Output:
    """The beginning of a process's output."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit
        self._truncated = False

    async def read(self, session: AttachSession) -> None:
        """Read to the end, which comes when the exit code is known."""
        async for chunk in session.output():
            room = self._limit - len(self.data)
            self.data += chunk[:room]
            self._truncated = self._truncated or len(chunk) > room

    def text(self) -> str:
        """Return the output as text; invalid UTF-8 is replaced, as Go does."""
        return self.data.decode("utf-8", "replace") + ("..." if self._truncated else "")
