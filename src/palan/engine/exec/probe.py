"""Health checks as execs: run a command in a container, with an end to patience.

They take the way of every exec, and dockerd's events tell of them likewise.  One that an
engine leaves behind when it dies is of no use to the next, which kills it.
"""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from palan.api.errors import PalanError
from palan.api.exec import ExecConfig
from palan.engine.containers.container import Container
from palan.engine.exec.session import ExecInstance
from palan.engine.streams.attach import AttachSession
from palan.engine.timestamps import go_duration
from palan.host import processes


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Outcome", "kill_probe", "probe"]

START_TIMEOUT: Final = 30.0
"""Seconds that the start of a check may take; they do not count as the check's own."""

KILL_TIMEOUT: Final = 10.0
"""Seconds that a check which was killed may take to go."""

FAILED: Final = -1
_MARK: Final = "probe"


class Outcome(NamedTuple):
    """What became of a command.

    Attributes:
        code: its exit code; -1 if it could not be run, or took too long.
        output: what it wrote, or why it was not run.
    """

    code: int
    output: str


async def probe(
    engine: "Engine", container: Container, command: list[str], *, patience: int, most: int
) -> Outcome:
    """Run a command in a container as its health check.

    When this is cancelled, the command is killed.

    Args:
        engine: the engine.
        container: a container that runs.
        command: program and arguments.
        patience: nanoseconds that it may take.
        most: bytes of its output that are wanted; the rest is dropped.
    """
    config = ExecConfig(cmd=command, attach_stdout=True, attach_stderr=True)
    try:
        async with engine.exec.probing:
            instance = await engine.exec.set_up(container, config, name=container.name)
            session = await _started(engine, instance)
    except TimeoutError:
        return Outcome(FAILED, f"timed out starting health check for container {container.id}")
    except (OSError, PalanError) as error:
        return Outcome(FAILED, error.message if isinstance(error, PalanError) else str(error))
    output = _Output(most)
    try:
        async with asyncio.timeout(patience / 1e9):
            await output.take(session)
    except TimeoutError:
        _kill(instance)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_TIMEOUT):
                await output.take(session)
        text = f"Health check exceeded timeout ({go_duration(patience)})"
        return Outcome(FAILED, f"{text}: {output.text()}" if output.data else text)
    except BaseException:
        _kill(instance)
        raise
    finally:
        await session.close()
        engine.exec.forget_one(instance)
    if instance.exit_code is None:
        return Outcome(FAILED, f"healthcheck for container {container.id} has no exit code")
    return Outcome(instance.exit_code, output.text())


async def _started(engine: "Engine", instance: ExecInstance) -> AttachSession:
    """Start the process, and be attached to it.

    Raises:
        PalanError, OSError: as :meth:`Execs.run`.
        TimeoutError: it takes too long; it is killed as soon as it is there.
    """
    instance.started = True
    directory = engine.paths.bundle(instance.container.id) / "execs" / instance.id
    session = await instance.streams.attach(stdout=True, stderr=True, raw=True)
    starting: asyncio.Future[None] | None = None
    try:
        directory.mkdir(mode=0o700)
        (directory / _MARK).touch()
        starting = asyncio.ensure_future(engine.exec.run(instance))
        async with asyncio.timeout(START_TIMEOUT):
            await asyncio.shield(starting)
    except BaseException:
        await session.close()
        engine.exec.forget_one(instance)
        if starting is not None and not starting.done():
            engine.spawn(_kill_late(starting, instance))
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
    """The beginning of what a process writes."""

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        self._most = most
        self._longer = False

    async def take(self, session: AttachSession) -> None:
        """Read to the end, which comes when the exit code is known."""
        async for chunk in session.output():
            room = self._most - len(self.data)
            self.data += chunk[:room]
            self._longer = self._longer or len(chunk) > room

    def text(self) -> str:
        """What was read; what is no UTF-8 is replaced, as Go does it."""
        return self.data.decode("utf-8", "replace") + ("..." if self._longer else "")


def kill_probe(directory: Path, monitor: int) -> bool:
    """Kill a health check that an engine before us has started.  Blocking, shortly.

    Args:
        directory: that of an exec whose conmon runs.
        monitor: the pid of that conmon.

    Returns:
        Whether it was a health check; what has ended by itself is as well.
    """
    if not (directory / _MARK).exists():
        return False
    for pid in processes.children(monitor):
        processes.kill(pid)
    return True
