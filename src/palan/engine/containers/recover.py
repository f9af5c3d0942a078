"""The recovery of all containers when the engine starts.

Running containers are adopted, with their logs, streams and ports.  Containers that ended while
no engine ran are ended now, with the exit code that conmon left.  Half-done creations, starts
and removals are undone or finished.  Afterwards the rows account for everything on the machine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from palan.engine.containers.connect import remove_pending_endpoints
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.create import undo_create
from palan.engine.containers.freezer import is_frozen, thaw
from palan.engine.containers.health_monitor import resume_checks
from palan.engine.containers.lifecycle import (
    end,
    remove_stopped,
    resume_policy,
    undo_start,
    watch,
)
from palan.engine.containers.members import member
from palan.engine.containers.sweep import kill_strays, sweep
from palan.host import processes
from palan.host.conmon import RunningMonitor, find_monitors
from palan.host.filesystem import remove_tree
from palan.host.monitored import read_exit


__all__ = ["recover"]


async def recover(context: ContainerContext) -> None:
    """Reconcile the rows with the machine."""
    containers = list(context.registry)
    for container in containers:
        for mount in container.record.mounts:
            if mount.volume:
                context.volumes.use(mount.volume, container.id)
                if container.running:
                    context.volumes.adopt(mount.volume, container.id)
    alive = [c for c in containers if c.running and not c.record.step and _is_alive(context, c)]
    monitors = await asyncio.to_thread(
        find_monitors, context.paths.bundles, context.runtimes.conmon.program
    )
    suspects = await kill_strays(context, {c.id for c in alive}, monitors)
    sandboxes = {c.id: c.record.sandbox for c in containers if c.record.sandbox is not None}
    running = {c.id for c in alive}
    await context.networks.load(sandboxes, running)
    for container in alive:
        execs = [m for m in monitors if m.is_exec and m.container == container.id]
        async with _logged(context, container):
            await _adopt(context, container, execs)
    for container in containers:
        if container in alive:
            continue
        async with container.lock, _logged(context, container):
            await _finish(context, container)
    for trash in await asyncio.to_thread(sweep, context, suspects):
        context.spawn(asyncio.to_thread(remove_tree, trash))
    kept = [sandbox for key, sandbox in sandboxes.items() if key in running]
    await asyncio.to_thread(context.networks.sweep_sandboxes, kept)
    # In the background: a driver may not answer.
    context.spawn(context.volumes.unmount_stale(running))
    for container in context.registry:
        context.logs.resume(container)
        await resume_policy(context, container)


@contextlib.asynccontextmanager
async def _logged(context: ContainerContext, container: Container) -> AsyncIterator[None]:
    """Log a failure, so that one container does not keep the engine from the others."""
    try:
        yield
    except Exception:
        context.log.exception("container not recovered", container=container.id)


def _is_alive(context: ContainerContext, container: Container) -> bool:
    """Whether the container's process runs, or at least its conmon, which has the exit code."""
    record = container.record
    # After a reboot there is no bundle, but other processes may have the same pids.
    return context.paths.bundle(container.id).is_dir() and any(
        p is not None and processes.is_alive(p.pid, p.start_time)
        for p in (record.process, record.monitor)
    )


async def _adopt(
    context: ContainerContext, container: Container, execs: list[RunningMonitor]
) -> None:
    record = container.record
    assert record.process is not None and record.monitor is not None  # noqa: S101, PT018
    bundle = context.paths.bundle(container.id)
    bundle.chmod(0o700)
    (bundle / "execs").mkdir(mode=0o700, exist_ok=True)
    monitored = context.runtimes.conmon.adopt(
        pid=record.process.pid,
        start_time=record.process.start_time,
        monitor=record.monitor.pid,
        monitor_start_time=record.monitor.start_time,
        directory=bundle,
        exit_file=context.paths.exits / container.id,
    )
    # Pausing freezes the processes first and saves the row then.
    frozen = await asyncio.to_thread(is_frozen, context, container)
    if frozen and not container.paused:
        # By a commit, or by a pause that was not acknowledged.
        await asyncio.to_thread(thaw, context, container)
        frozen = await asyncio.to_thread(is_frozen, context, container)
    if container.paused != frozen:
        record.status = "paused" if frozen else "running"
        await context.save(container)
    with contextlib.suppress(OSError):  # the container is just ending
        await container.streams.opened(bundle)
    watch(context, container, monitored)
    context.exec.adopt(container.id, execs)
    context.logs.adopt(container)
    if not container.paused:
        resume_checks(context, container, overdue=True)
    await remove_pending_endpoints(context, container)
    await context.networks.adopt(member(context, container))


async def _finish(context: ContainerContext, container: Container) -> None:
    """Undo or finish what an earlier engine left half done with a container that does not run."""
    record = container.record
    if record.draft:
        await undo_create(context, record)
    elif record.step:
        if container.running:
            await _end(context, container)
        else:
            await undo_start(context, container, record.sandbox)
        await remove_stopped(context, container, volumes=True)
    elif record.status in ("removing", "dead"):
        await undo_start(context, container, record.sandbox)
        await remove_stopped(context, container, volumes=record.remove_volumes)
    elif container.running:
        await _end(context, container)
    elif record.status == "exited" and record.host_config.auto_remove:
        await remove_stopped(context, container, volumes=True)
    elif context.paths.bundle(container.id).exists():
        await undo_start(context, container, None)


async def _end(context: ContainerContext, container: Container) -> None:
    """End a container whose process ended while no engine ran."""
    code = read_exit(context.paths.exits / container.id, context.paths.bundle(container.id))
    await end(context, container, code)
