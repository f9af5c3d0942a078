"""What happens when a container ends: noticed by its conmon's, then put down.

conmon ends after the container's process, with its log complete and the exit code in a
file, so that whoever learns of the exit finds all of its output.
"""

from typing import TYPE_CHECKING

from palan.engine.containers.container import Container
from palan.engine.containers.health_monitor import stop_checks
from palan.engine.containers.remove import remove_stopped
from palan.engine.containers.restart import schedule_restart
from palan.engine.containers.takedown import note_end, take_down
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.host import processes
from palan.host.conmon import Exit, Monitored


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["put_down", "watch"]


def watch(engine: "Engine", container: Container, monitored: Monitored) -> None:
    """Wait for the end of a container that runs."""
    container.monitored = monitored
    container.ended.clear()
    engine.spawn(_wait(engine, container, monitored))


async def _wait(engine: "Engine", container: Container, monitored: Monitored) -> None:
    result = await monitored.wait()
    ran = processes.age(monitored.start_time)
    async with container.lock:
        container.ran = ran
        await put_down(engine, container, result)


async def put_down(engine: "Engine", container: Container, result: Exit) -> None:
    """Put a container down that has just ended; its lock is held."""
    container.ending = True  # nobody starts anything in it any more
    stop_checks(engine, container)
    try:
        await _put_down(engine, container, result)
    finally:
        container.ending = False


async def _put_down(engine: "Engine", container: Container, result: Exit) -> None:
    record = container.record
    sandbox, record.sandbox = record.sandbox, None
    await take_down(engine, container, sandbox, force=result.lost)
    container.monitored = None
    record.exit_code, record.oom_killed = result.code, result.oom
    # The clock may have been set back while it ran.
    record.finished = max(result.time, record.started)
    record.process = record.monitor = None
    restarts = schedule_restart(engine, container)
    record.status = "restarting" if restarts else "exited"
    _publish(engine, container, sandbox)
    await note_end(engine, container)
    await engine.logs.end(container)
    container.streams.ended()
    container.ended.set()
    engine.exec.discard_unstarted(container.id)
    container.settle_exit(record.exit_code)
    if record.host_config.auto_remove and not restarts and not container.restarting:
        await remove_stopped(engine, container, volumes=True)


def _publish(engine: "Engine", container: Container, sandbox: SandboxRecord | None) -> None:
    """Publish what happened, to be written together with the row."""
    record = container.record
    if record.oom_killed:
        engine.events.publish("container", "oom", container.id, container.attributes)
    engine.networks.publish_all("disconnect", sandbox, container.id)
    seconds = container.lasted // 1_000_000_000
    engine.events.publish(
        "container",
        "die",
        container.id,
        {
            **container.attributes,
            "exitCode": str(record.exit_code),
            "execDuration": str(seconds),
        },
    )
