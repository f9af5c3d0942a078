"""What happens to the containers when the engine starts.

What runs is adopted, with its logs, streams, ports and exit to come.  What ended while
nobody looked is put down, with the code that its conmon left.  What was half made or half
removed is taken away.  In the end nothing is left that no row accounts for.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from palan.engine.containers.container import Container
from palan.engine.containers.exit import put_down, watch
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.remove import remove_stopped
from palan.engine.containers.restart import resume_policy
from palan.engine.containers.takedown import take_down
from palan.engine.networks.ports import publications
from palan.engine.networks.sandbox import remove_strays
from palan.host import cgroups, processes
from palan.host.conmon import find_monitors
from palan.host.filesystem import remove_tree
from palan.host.mounts import unmount_below
from palan.host.oci_runtime import RuntimeFailure


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
    alive = [c for c in containers if c.running and _lives(c.record)]
    await _kill_strays(engine, alive)
    sandboxes = [c.record.sandbox for c in alive if c.record.sandbox is not None]
    await engine.networks.load(
        [p for s in sandboxes for p in publications(s.ports, s.address)],
        [s.address for s in sandboxes if s.address],
    )
    for container in alive:
        await _adopt(engine, container)
    for container in containers:
        if container in alive:
            continue
        async with container.lock:
            await _settle(engine, container)
    await asyncio.to_thread(_sweep, engine)
    await asyncio.to_thread(remove_strays, engine, sandboxes)
    for container in engine.containers.registry:
        resume_policy(engine, container)


def _lives(record: ContainerRecord) -> bool:
    """Whether its process or at least its conmon, which knows the exit code, is there."""
    return any(
        p is not None and processes.is_alive(p.pid, p.start_time)
        for p in (record.process, record.monitor)
    )


async def _adopt(engine: "Engine", container: Container) -> None:
    record = container.record
    assert record.process is not None and record.monitor is not None  # noqa: S101, PT018
    bundle = engine.paths.bundle(container.id)
    monitored = engine.runtimes.conmon.adopt(
        pid=record.process.pid,
        start_time=record.process.start_time,
        monitor=record.monitor.pid,
        monitor_start_time=record.monitor.start_time,
        directory=bundle,
        exit_file=engine.paths.exits / container.id,
    )
    with contextlib.suppress(OSError):  # it is just ending
        await container.streams.opened(bundle)
    watch(engine, container, monitored)
    if (sandbox := record.sandbox) is not None and sandbox.ports:
        for failure in await engine.networks.ports.resume(
            container.id, sandbox.ports, sandbox.address
        ):
            engine.log.warning("published port is lost", container=container.id, reason=failure)


async def _settle(engine: "Engine", container: Container) -> None:
    """A container that does not run: as far as it got, it is brought to an end."""
    record = container.record
    if record.status == "removing":
        await take_down(engine, container, record.sandbox, force=True)
        await remove_stopped(engine, container, volumes=record.host_config.auto_remove)
    elif container.running:
        await put_down(
            engine,
            container,
            engine.runtimes.exit_status(engine.paths.exits / container.id),
        )
    elif engine.paths.bundle(container.id).exists():
        await take_down(engine, container, None, force=True)


async def _kill_strays(engine: "Engine", alive: list[Container]) -> None:
    """End the conmons, and with them the processes, of starts that nobody was told about."""
    known = {c.record.monitor.pid for c in alive if c.record.monitor is not None}
    ids = {c.id for c in alive}
    found = await asyncio.to_thread(find_monitors, engine.paths.exec_root, known=known)
    for stray in found:
        if stray.container not in ids:
            for pid in [stray.pid, *processes.descendants(stray.pid)]:
                processes.kill(pid)
    for runtime in engine.runtimes.usable.values():
        for name in await asyncio.to_thread(runtime.containers):
            if name not in ids:
                try:
                    await runtime.delete(name, force=True)
                except RuntimeFailure as failure:
                    # Its state was half written; what it had made is swept away later.
                    engine.log.debug("stale runtime state", id=name, reason=failure.message)
                    await asyncio.to_thread(remove_tree, runtime.root / name)


def _sweep(engine: "Engine") -> None:
    """Remove bundles, mounts, directories, exit files and cgroups that belong to nobody."""
    paths = engine.paths
    registry = engine.containers.registry
    ids = {c.id for c in registry}
    running = {c.id for c in registry if c.running}
    for bundle in paths.bundles.iterdir():
        if bundle.name not in running:
            unmount_below(bundle)
            remove_tree(bundle)
    for directory in paths.containers.iterdir():
        if directory.name not in ids:
            directory.rename(paths.tmp / f"removed-{directory.name}")
    for path in paths.exits.iterdir():
        if path.name not in running:
            path.unlink()
    _sweep_cgroups(engine, running)


def _sweep_cgroups(engine: "Engine", running: set[str]) -> None:
    for tree in engine.runtimes.cgroups.directories(engine.config.cgroup_root):
        if tree.is_dir():
            for path in tree.iterdir():
                if path.is_dir() and path.name not in running:
                    cgroups.kill_all(path)
                    cgroups.remove([path])
