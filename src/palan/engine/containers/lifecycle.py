"""The life of a container: its start, its end, its restart by a policy, and its removal.

conmon ends after the container's process, with its log complete and the exit code in a file,
so that a client that sees the exit finds all of the output.

The end undoes the steps of the start (:mod:`palan.engine.containers.start_steps`).  Resources
of a step that can't be undone are swept when the engine starts next; the other steps are undone
and waiting clients answered all the same.

A removal is written to the database before anything is deleted, so that the next start of the
engine finishes one that a crash cut short.
"""

import asyncio
import contextlib
import signal
import sqlite3
from pathlib import Path

from palan.api.errors import Conflict, InternalError, NotModified, PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.health_monitor import begin_checks, stop_checks
from palan.engine.containers.link_updates import update_linked_from
from palan.engine.containers.mount_sources import publish_mounts
from palan.engine.containers.oom import note_out_of_memory
from palan.engine.containers.pipeline import do_steps, undo_steps
from palan.engine.containers.record import ProcessRecord
from palan.engine.containers.restart_policy import (
    FIRST_DELAY,
    delays,
    starts_with_engine,
    wants_restart,
)
from palan.engine.containers.spec import cgroup_path, check_joined
from palan.engine.containers.start_steps import Run, start_steps
from palan.engine.machine import StartFailure
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.host import processes
from palan.host.conmon import Exit, Monitored
from palan.host.filesystem import remove_tree
from palan.store.database import StoreFailure


__all__ = [
    "cancel_restart",
    "end",
    "remove_stopped",
    "resume_policy",
    "start",
    "undo_start",
    "watch",
]


# ---- start ----------------------------------------------------------------------


async def start(
    context: ContainerContext,
    container: Container,
    *,
    by_policy: bool = False,
    restore: Path | None = None,
) -> None:
    """Start a container.

    Args:
        context: the context of the room.
        container: the container.
        by_policy: whether a restart policy starts it, and not a client.
        restore: a checkpoint to start from.

    Raises:
        NotModified: it runs already.
        Conflict: it is paused, or being removed.
        Unavailable: there is no runtime that works here.
        PalanError: its network, its root file system or its program can't be used.
    """
    async with container.lock:
        record = container.record
        if by_policy and record.status != "restarting":
            return  # stopped, started or removed meanwhile
        if container.removed or record.status in ("removing", "dead"):
            raise Conflict("container is marked for removal and cannot be started")
        if record.status == "paused":
            raise Conflict("cannot start a paused container, try unpause instead")
        if record.status == "running":
            raise NotModified(f"container {container.id} is already running")
        if not by_policy:
            record.stopped_by_user = False
            record.restart_count = 0
        run = Run(context, container, by_policy=by_policy, restore=restore)
        try:
            await do_steps(start_steps(run), context.log.bind(container=container.id))
        except BaseException as failure:
            error = _reason(context, container, failure)
            await _finish_failed_start(context, container, error)
            if error is not failure:
                raise error from failure
            raise
        await _finish_start(run)


def _reason(
    context: ContainerContext, container: Container, failure: BaseException
) -> BaseException:
    """Return the error for the client about a failed start."""
    if isinstance(failure, OSError):  # such as a full disk
        return InternalError(f"unable to start container: {failure}")
    # A container whose namespace was to be joined may have ended meanwhile.
    if isinstance(failure, StartFailure):
        try:
            check_joined(context, container)
        except PalanError as reason:
            return reason
    return failure


async def _finish_start(run: Run) -> None:
    """Publish and save that a container runs, and begin what goes with it."""
    context, container, sandbox, monitored = run.context, run.container, run.sandbox, run.monitored
    assert monitored is not None  # noqa: S101 - a step has set it
    record = container.record
    # Before it is called running: a client that sees that may kill it at once.
    container.monitored = monitored
    record.sandbox = sandbox
    record.status = "running"
    record.started = run.started
    record.error, record.exit_code, record.oom_killed = "", 0, False
    record.process = ProcessRecord(pid=monitored.pid, start_time=monitored.start_time)
    record.monitor = ProcessRecord(pid=monitored.monitor, start_time=monitored.monitor_start_time)
    context.networks.publish_all("connect", sandbox, container.id)
    publish_mounts(context, container)
    context.events.publish("container", "start", container.id, container.attributes)
    watch(context, container, monitored)
    begin_checks(context, container)
    context.logs.begin(container)
    try:
        await context.save(container)
    except Exception:
        # A container without a row must not run: the next engine would not know it.
        record.stopped_by_user = True
        monitored.signal(signal.SIGKILL)
        raise
    await update_linked_from(context, container)


async def _finish_failed_start(
    context: ContainerContext, container: Container, error: BaseException
) -> None:
    """Save why a container could not be started, and remove it if it is to be (``--rm``)."""
    record = container.record
    record.error = error.message if isinstance(error, PalanError) else str(error)
    record.exit_code = error.exit_code if isinstance(error, StartFailure) else 128
    if record.status == "restarting":
        record.status = "exited"
    await _save_end(context, container)
    container.streams.ended()
    container.resolve_exit(record.exit_code)
    if record.host_config.auto_remove:
        try:
            await remove_stopped(context, container, volumes=True)
        except PalanError as failure:  # the client is told why it did not start
            context.log.warning("container stays", container=container.id, reason=failure.message)


async def undo_start(
    context: ContainerContext,
    container: Container,
    sandbox: SandboxRecord | None,
    *,
    force: bool = True,
) -> None:
    """Undo all steps of a container's start, as far as they were done.

    The exit code that its conmon has left stays until the end is saved.

    Args:
        context: the context of the room.
        container: the container; its lock is held.
        sandbox: its network, if it has one.
        force: kill what still runs.
    """
    run = Run(context, container, sandbox=sandbox, force=force)
    await undo_steps(start_steps(run), context.log.bind(container=container.id))


# ---- end ------------------------------------------------------------------------


def watch(context: ContainerContext, container: Container, monitored: Monitored) -> None:
    """Wait for the end of a container that runs, without blocking."""
    container.monitored = monitored
    container.ended = asyncio.Event()
    directories = context.machine.cgroups.paths(cgroup_path(context, container.record))
    context.memory_watches.begin(container, directories.get("memory"))
    context.spawn(_wait(context, container, monitored))


async def _wait(context: ContainerContext, container: Container, monitored: Monitored) -> None:
    result = await monitored.wait()
    ran = processes.age(monitored.start_time)
    async with container.lock:
        container.ran = ran
        await end(context, container, result)


async def end(context: ContainerContext, container: Container, result: Exit) -> None:
    """Undo the start of a container that has ended; then restart or remove it, if that is wanted.

    Args:
        context: the context of the room.
        container: the container; its lock is held.
        result: how its process ended.
    """
    container.ending = True  # no process is started in it any more
    context.memory_watches.end(container)
    stop_checks(context, container)
    try:
        await _end(context, container, result)
    finally:
        container.ending = False


async def _end(context: ContainerContext, container: Container, result: Exit) -> None:
    record = container.record
    if result.lost:
        context.log.warning(
            "no exit code was written",
            container=container.id,
            code=result.code,
            reason=result.problem,
        )
    sandbox, record.sandbox = record.sandbox, None
    await undo_start(context, container, sandbox, force=result.lost)
    container.monitored = None
    record.exit_code = result.code
    if result.oom and not record.oom_killed:
        note_out_of_memory(context, container)  # while no engine ran
    # The clock may have been set back while it ran.
    record.finished = max(result.time, record.started)
    record.process = record.monitor = None
    restarts = _schedule_restart(context, container)
    record.status = "restarting" if restarts else "exited"
    _publish_end(context, container, sandbox)
    await _save_end(context, container)
    await context.logs.end(container)
    container.streams.ended()
    container.ended.set()
    context.exec.discard_unstarted(container.id)
    container.resolve_exit(record.exit_code)
    if record.host_config.auto_remove and not restarts and not container.restarting:
        await remove_stopped(context, container, volumes=True)


def _publish_end(
    context: ContainerContext, container: Container, sandbox: SandboxRecord | None
) -> None:
    """Publish the events of an end, to be written together with the row."""
    record = container.record
    context.networks.publish_all("disconnect", sandbox, container.id)
    seconds = container.lasted // 1_000_000_000
    context.events.publish(
        "container",
        "die",
        container.id,
        {
            **container.attributes,
            "exitCode": str(record.exit_code),
            "execDuration": str(seconds),
        },
    )


async def _save_end(context: ContainerContext, container: Container) -> None:
    """Save that a container has ended, and then remove the file with the exit code.

    If the row can't be written, the next start of the engine reads the code from the file:
    clients that wait for the end must be answered all the same.
    """
    try:
        await context.save(container)
    except (PalanError, sqlite3.Error, OSError) as failure:
        context.log.warning(
            "the end of a container is not saved", container=container.id, reason=str(failure)
        )
    else:
        (context.paths.exits / container.id).unlink(missing_ok=True)


# ---- restart policy -------------------------------------------------------------


def _schedule_restart(context: ContainerContext, container: Container) -> bool:
    """Start a container that has ended again after a delay, if its policy wants that.

    Returns:
        Whether it will be started again.
    """
    record = container.record
    if not wants_restart(record):
        container.restart_delay = 0.0
        return False
    delay, container.restart_delay = delays(container.restart_delay, container.lasted)
    record.restart_count += 1
    context.spawn(_restart(context, container, delay))
    return True


async def _restart(context: ContainerContext, container: Container, delay: float) -> None:
    # A start that is half done is not to be taken for the leftovers of a crash.
    await context.recovered.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await context.stopping.wait()
            return  # the next start of the engine restarts it
    try:
        await start(context, container, by_policy=True)
    except PalanError as error:
        context.log.warning("restart failed", container=container.id, reason=error.message)


async def cancel_restart(context: ContainerContext, container: Container) -> bool:
    """Stop a container that waits for its restart.

    Returns:
        False when it was not waiting.
    """
    async with container.lock:
        record = container.record
        if record.status != "restarting":
            return False
        record.stopped_by_user = True
        record.status = "exited"
        try:
            await context.save(container)
        finally:
            container.resolve_exit(record.exit_code)
    return True


async def resume_policy(context: ContainerContext, container: Container) -> None:
    """Continue to restart a container, or start one that starts with the engine.

    A container that ran when the engine or the machine went down, and has ended since, was
    ended by the recovery, with its policy.
    """
    record = container.record
    if starts_with_engine(record):
        record.status, record.stopped_by_user = "restarting", False
        await context.save(container)
    if record.status == "restarting" and not container.restart_delay:
        container.restart_delay = FIRST_DELAY
        context.spawn(_restart(context, container, 0))


# ---- removal --------------------------------------------------------------------


async def remove_stopped(context: ContainerContext, container: Container, *, volumes: bool) -> None:
    """Remove a container that does not run; its lock is held by the caller.

    Raises:
        InternalError: its files or its row can't be deleted; it stays, as a dead container
            whose removal can be tried again.
    """
    record = container.record
    record.status, record.remove_volumes = "removing", volumes
    # On a full disk nothing can be saved, and the removal makes room.
    with contextlib.suppress(StoreFailure):
        await context.save(container)
    try:
        await _remove(context, container)
    except BaseException as error:
        record.status = "dead"
        failure = InternalError(f"unable to remove filesystem: {error}")
        with contextlib.suppress(StoreFailure):
            await context.save(container)
        container.resolve_removal(failure)
        if isinstance(error, OSError):
            raise failure from error
        raise


async def _remove(context: ContainerContext, container: Container) -> None:
    record = container.record
    await context.logs.remove(container)
    await asyncio.to_thread(_remove_files, context, container.id)
    context.volumes.release(container.id)
    if record.remove_volumes:
        for volume in record.anonymous_volumes:
            try:
                await context.volumes.remove_anonymous(volume)
            except (OSError, PalanError) as error:
                context.log.warning("volume stays", volume=volume, reason=str(error))
    # The row is deleted last: until then, the next start finishes what a crash cuts short.
    context.events.publish("container", "destroy", container.id, container.attributes)
    await context.delete(record)
    context.registry.discard(container)
    for image in {record.image, *(m.image for m in record.mounts if m.image)}:
        try:
            await context.images.release(image)
        except (OSError, PalanError) as error:
            context.log.warning("image stays", image=image, reason=str(error))
    context.exec.discard(container.id)
    container.streams.ended()
    container.removed = True
    if not container.exit.done():
        container.exit.set_result(record.exit_code)
    container.resolve_removal(record.exit_code)


def _remove_files(context: ContainerContext, container_id: str) -> None:
    """Remove a container's directory; blocking.

    It is renamed first, which can't fail half-way.
    """
    trash = context.paths.tmp / f"removed-{container_id}"
    directory = context.paths.container(container_id)
    if directory.exists():
        directory.rename(trash)
    if trash.exists():
        remove_tree(trash)
