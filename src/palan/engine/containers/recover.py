"""What happens to the containers when the engine starts.

What runs is adopted, with its logs, streams, ports and exit to come.  What ended while
nobody looked is put down, with the code that its conmon left.  What was half made or half
removed is taken away.  In the end nothing is left that no row accounts for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from palan.engine.containers.connect import drop_pending
from palan.engine.containers.container import Container
from palan.engine.containers.create import unmake
from palan.engine.containers.exit import put_down, watch
from palan.engine.containers.health_monitor import resume_checks
from palan.engine.containers.links import let_links_through
from palan.engine.containers.remove import remove_stopped
from palan.engine.containers.restart import resume_policy
from palan.engine.containers.sweep import kill_strays, sweep
from palan.engine.containers.takedown import take_down
from palan.engine.networks.publish import resume
from palan.engine.networks.sandbox import remove_strays
from palan.host import processes
from palan.host.conmon import Found, find_monitors
from palan.host.filesystem import remove_tree
from palan.host.monitored import read_exit


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["recover"]


async def recover(engine: "Engine") -> None:
    """Reconcile the rows with the machine."""
    containers = list(engine.containers.registry)
    for container in containers:
        for mount in container.record.mounts:
            if mount.volume:
                engine.volumes.use(mount.volume, container.id)
                if container.running:
                    engine.volumes.adopt(mount.volume, container.id)
    alive = [c for c in containers if c.running and not c.record.step and _lives(engine, c)]
    monitors = await asyncio.to_thread(
        find_monitors, engine.paths.bundles, engine.runtimes.conmon.program
    )
    suspects = await kill_strays(engine, {c.id for c in alive}, monitors)
    sandboxes = [c.record.sandbox for c in alive if c.record.sandbox is not None]
    await engine.networks.load(containers, alive)
    for container in alive:
        execs = [m for m in monitors if m.is_exec and m.container == container.id]
        async with _going_on(engine, container):
            await _adopt(engine, container, execs)
    for container in containers:
        if container in alive:
            continue
        async with container.lock, _going_on(engine, container):
            await _settle(engine, container)
    for trash in await asyncio.to_thread(sweep, engine, suspects):
        engine.spawn(asyncio.to_thread(remove_tree, trash))
    await asyncio.to_thread(remove_strays, engine, sandboxes)
    # A driver that does not answer must not keep the engine from its start.
    engine.spawn(engine.volumes.unmount_stale({c.id for c in alive}))
    for container in engine.containers.registry:
        engine.logs.resume(container)
        await resume_policy(engine, container)


@contextlib.asynccontextmanager
async def _going_on(engine: "Engine", container: Container) -> AsyncIterator[None]:
    """Have one container that makes trouble not keep the engine from all others."""
    try:
        yield
    except Exception:
        engine.log.exception("container not recovered", container=container.id)


def _lives(engine: "Engine", container: Container) -> bool:
    """Whether its process or at least its conmon, which knows the exit code, is there."""
    record = container.record
    # A reboot leaves no bundle, but it may give the same numbers to other processes.
    return engine.paths.bundle(container.id).is_dir() and any(
        p is not None and processes.is_alive(p.pid, p.start_time)
        for p in (record.process, record.monitor)
    )


async def _adopt(engine: "Engine", container: Container, execs: list[Found]) -> None:
    record = container.record
    assert record.process is not None and record.monitor is not None  # noqa: S101, PT018
    bundle = engine.paths.bundle(container.id)
    bundle.chmod(0o700)
    (bundle / "execs").mkdir(mode=0o700, exist_ok=True)
    monitored = engine.runtimes.conmon.adopt(
        pid=record.process.pid,
        start_time=record.process.start_time,
        monitor=record.monitor.pid,
        monitor_start_time=record.monitor.start_time,
        directory=bundle,
        exit_file=engine.paths.exits / container.id,
    )
    # Processes are frozen or thawed first, and then it is written down.
    frozen = await asyncio.to_thread(engine.containers.frozen, container)
    if frozen and not container.paused:
        # For a commit, or for a client who was not told so.
        await asyncio.to_thread(engine.containers.thaw, container)
        frozen = await asyncio.to_thread(engine.containers.frozen, container)
    if container.paused != frozen:
        record.status = "paused" if frozen else "running"
        await engine.containers.save(container)
    with contextlib.suppress(OSError):  # it is just ending
        await container.streams.opened(bundle)
    watch(engine, container, monitored)
    engine.exec.adopt(container.id, execs)
    engine.logs.adopt(container)
    if not container.paused:
        resume_checks(engine, container, overdue=True)
    await drop_pending(engine, container)
    if (sandbox := record.sandbox) is not None:
        await resume(engine, container)
        await engine.networks.dns.attach(container, sandbox, fresh=False)
        await let_links_through(engine, container, sandbox)


async def _settle(engine: "Engine", container: Container) -> None:
    """A container that does not run: as far as it got, it is brought to an end."""
    record = container.record
    if record.draft:
        await unmake(engine, record)
    elif record.step:
        await take_down(engine, container, record.sandbox, force=True)
        await remove_stopped(engine, container, volumes=True)
    elif record.status in ("removing", "dead"):
        await take_down(engine, container, record.sandbox, force=True)
        await remove_stopped(engine, container, volumes=record.remove_volumes)
    elif container.running:
        await put_down(
            engine,
            container,
            read_exit(engine.paths.exits / container.id, engine.paths.bundle(container.id)),
        )
    elif record.status == "exited" and record.host_config.auto_remove:
        await remove_stopped(engine, container, volumes=True)
    elif engine.paths.bundle(container.id).exists():
        await take_down(engine, container, None, force=True)
